//! `user`: the operator looks after users, beside a running relay or without one.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::person::{Missing, ask_password, directory, note, refused, say_json, say_table};
use super::{import, runtime, say};
use crate::admission::accounts::{Details, Directory};
use crate::config::Config;
use crate::store::{LastAdmin, Role, User, UserChange, timestamp};

/// How many users are read at once for a list of all.
const PAGE: i64 = 500;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    /// Write JSON, for programs
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Add a user; the password is asked for, or read from standard input
    Add {
        /// 3 to 50 characters
        name: String,
        /// Its e-mail address
        email: String,
        /// Make it an admin
        #[arg(long)]
        admin: bool,
        /// Make a password up and print it
        #[arg(long)]
        generate: bool,
    },
    /// List users
    List {
        /// Those whose name or address contains this
        #[arg(default_value = "")]
        search: String,
    },
    /// Keep a user out; on running relays within a minute, whatever it does
    Disable { name: String },
    /// Let a user in again
    Enable { name: String },
    /// Give a user a role
    Role { name: String, role: RoleName },
    /// Give a user another password; its logins end
    Passwd {
        name: String,
        /// Make one up and print it
        #[arg(long)]
        generate: bool,
    },
    /// Delete a user
    Delete { name: String },
    /// Take users over, with their passwords: from another relay's database with their roles, from a
    /// database with a table `users`, or from a CSV file with the columns username, email, hashed_password and perhaps id, is_active, created_at
    Import {
        /// A database URL, or the path of a SQLite or CSV file
        source: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    User,
    Admin,
}

pub(super) fn run(arguments: Arguments, config: &Config) -> Result<ExitCode> {
    runtime()?.block_on(async {
        // Read before the database is touched: it may be what is wrong.
        let foreign = match &arguments.verb {
            Verb::Import { source } => Some(import::read(source).await?),
            _ => None,
        };
        let missing = match arguments.verb {
            Verb::Add { .. } | Verb::Import { .. } => Missing::Made,
            _ => Missing::Refused,
        };
        let directory = directory(config, missing, arguments.json).await?;
        match foreign {
            Some(users) => import::run(&directory, &users, arguments.json).await,
            None => one(&directory, arguments).await,
        }?;
        Ok(ExitCode::SUCCESS)
    })
}

async fn one(directory: &Directory, arguments: Arguments) -> Result<()> {
    let is_json = arguments.json;
    match arguments.verb {
        Verb::Add {
            name,
            email,
            admin,
            generate,
        } => {
            let role = if admin { Role::Admin } else { Role::User };
            add(directory, name, email, role, generate, is_json).await
        }
        Verb::List { search } => list(directory, &search, is_json).await,
        Verb::Disable { name } => let_in(directory, &name, false, is_json).await,
        Verb::Enable { name } => let_in(directory, &name, true, is_json).await,
        Verb::Role { name, role } => {
            let (role, words) = match role {
                RoleName::User => (Role::User, "is a user"),
                RoleName::Admin => (Role::Admin, "is an admin"),
            };
            let user = find(directory, &name).await?;
            let change = UserChange {
                role: Some(role),
                ..UserChange::default()
            };
            change_user(directory, &user, change).await?;
            told(directory, &user, words, is_json).await
        }
        Verb::Passwd { name, generate } => passwd(directory, &name, generate, is_json).await,
        Verb::Delete { name } => {
            let user = find(directory, &name).await?;
            let deleted = directory.delete(&user.id, LastAdmin::MayGo).await;
            deleted.map_err(refused)?;
            warn_without_admin(directory, &user).await?;
            match is_json {
                true => say_json(&json!({ "deleted": user.id })),
                false => {
                    say(&format!("{} is deleted", user.username));
                    Ok(())
                }
            }
        }
        Verb::Import { .. } => unreachable!("read and done before"),
    }
}

/// Lets a user in, or keeps it out.
async fn let_in(directory: &Directory, name: &str, is_active: bool, is_json: bool) -> Result<()> {
    let user = find(directory, name).await?;
    let change = UserChange {
        is_active: Some(is_active),
        ..UserChange::default()
    };
    change_user(directory, &user, change).await?;
    let words = match (user.is_active, is_active) {
        (true, true) => "was let in already",
        (false, true) => "is let in",
        (true, false) => "is disabled",
        (false, false) => "was disabled already",
    };
    told(directory, &user, words, is_json).await
}

async fn find(directory: &Directory, name: &str) -> Result<User> {
    let user = directory.user(name).await.map_err(refused);
    user.with_context(|| name.to_owned())
}

/// Changes a user, whoever it is.
async fn change_user(directory: &Directory, user: &User, change: UserChange) -> Result<()> {
    let changed = directory.change(&user.id, change, LastAdmin::MayGo).await;
    changed.map_err(refused)?;
    warn_without_admin(directory, user).await
}

/// Says so if what was done to this user left nobody who looks after the others.
async fn warn_without_admin(directory: &Directory, before: &User) -> Result<()> {
    let was_admin = before.role == Role::Admin && before.is_active;
    if was_admin && !directory.has_admin().await.map_err(refused)? {
        note("warning: no admin is left who can log in; `user role NAME admin` makes one");
    }
    Ok(())
}

/// Says what a user is now.
async fn told(directory: &Directory, user: &User, words: &str, is_json: bool) -> Result<()> {
    if is_json {
        return say_json(&user_json(&find(directory, &user.id).await?));
    }
    say(&format!("{} {words}", user.username));
    Ok(())
}

async fn add(
    directory: &Directory,
    username: String,
    email: String,
    role: Role,
    generate: bool,
    is_json: bool,
) -> Result<()> {
    let password = match generate {
        true => Directory::made_up_password(),
        false => ask_password()?,
    };
    let details = Details {
        username,
        email,
        password: password.clone(),
    };
    let user = directory.add(details, role, None).await.map_err(refused)?;
    let shown = generate.then_some(password);
    if is_json {
        let mut json = user_json(&user);
        json["password"] = json!(shown);
        return say_json(&json);
    }
    say(&format!(
        "{} is added as {}",
        user.username,
        user.role.name()
    ));
    say_password(shown.as_deref());
    Ok(())
}

async fn passwd(directory: &Directory, name: &str, generate: bool, is_json: bool) -> Result<()> {
    let user = find(directory, name).await?;
    let asked = match generate {
        true => None,
        false => Some(ask_password()?),
    };
    let made = directory.set_password(&user, asked.as_deref(), None);
    let made = made.await.map_err(refused)?;
    if is_json {
        return say_json(&json!({ "id": user.id, "password": made }));
    }
    say(&format!(
        "{} has another password, and is logged out",
        user.username
    ));
    say_password(made.as_deref());
    Ok(())
}

fn say_password(made_up: Option<&str>) {
    if let Some(password) = made_up {
        say(&format!("password: {password}"));
    }
}

async fn list(directory: &Directory, search: &str, is_json: bool) -> Result<()> {
    let mut users = Vec::new();
    loop {
        let offset = i64::try_from(users.len())?;
        let page = directory
            .users(search, PAGE, offset)
            .await
            .map_err(refused)?;
        let is_last = page.users.is_empty();
        users.extend(page.users);
        if is_last || i64::try_from(users.len())? >= page.total {
            break;
        }
    }
    if is_json {
        let users: Vec<Value> = users.iter().map(user_json).collect();
        return say_json(&users);
    }
    let rows = users.iter().map(|user| {
        let state = if user.is_active { "active" } else { "disabled" };
        [
            user.username.clone(),
            user.email.clone(),
            user.role.name().to_owned(),
            state.to_owned(),
            timestamp(user.created_at_ms),
            user.last_login_at_ms.map_or("-".to_owned(), timestamp),
        ]
    });
    let head = ["NAME", "EMAIL", "ROLE", "STATE", "CREATED", "LAST LOGIN"];
    say_table(head, rows.collect());
    Ok(())
}

fn user_json(user: &User) -> Value {
    json!({
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "role": user.role.name(),
        "is_active": user.is_active,
        "created_at": timestamp(user.created_at_ms),
        "last_login_at": user.last_login_at_ms.map(timestamp),
    })
}
