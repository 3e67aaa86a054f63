//! `key`: relay keys, one for each client, with rules.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::person::{Missing, life, refused, say_json, say_table, store};
use super::{runtime, say};
use crate::admission::accounts::Directory;
use crate::admission::keys::rules::RulesText;
use crate::admission::keys::{Registry, Wish};
use crate::config::Config;
use crate::store::{Key, now_ms, timestamp};

/// How many keys are read at once.
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
    /// Make a key; it is printed once
    Create(Box<Create>),
    /// List keys
    List {
        /// A user's alone, by name or id
        #[arg(long)]
        user: Option<String>,
    },
    /// Show a key and its rules
    Show {
        /// As the list shows it, or the key itself
        id: String,
    },
    /// Put a new key in the place of one: the old one, what runs by it and its tokens are over
    Rotate {
        /// As the list shows it, or the key itself
        id: String,
    },
    /// Revoke a key, with what runs by it and its tokens
    Revoke {
        /// As the list shows it, or the key itself
        id: String,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// What to call it
    name: String,
    /// Whose it is, by name or id; the operator's if left out
    #[arg(long)]
    user: Option<String>,
    /// How long it is good, such as 12h or 90d; for ever if left out
    #[arg(long, value_parser = life)]
    expires: Option<Duration>,
    /// Families of routes that it opens, such as chat,responses
    #[arg(long = "families", alias = "family", value_delimiter = ',')]
    families: Vec<String>,
    /// Models that it opens, such as gpt-6-luna,gpt-realtime-*
    #[arg(long = "models", alias = "model", value_delimiter = ',')]
    models: Vec<String>,
    #[arg(
        long = "origins",
        alias = "origin",
        value_delimiter = ',',
        help = "Pages that may use it, such as https://app.example.com"
    )]
    origins: Vec<String>,
    /// Addresses and networks that may use it, such as 192.0.2.0/24
    #[arg(long = "addresses", alias = "address", value_delimiter = ',')]
    addresses: Vec<String>,
    /// A limit of its own, such as "chat=60/1m"; may be given several times
    #[arg(long = "limit")]
    limits: Vec<String>,
    /// What a client may not set on a socket: model, instructions, tools, voice
    #[arg(long = "pin", value_delimiter = ',')]
    pinned: Vec<String>,
    /// What becomes of a request whose client leaves: cancel, or finish
    #[arg(long)]
    on_leave: Option<String>,
    /// Let OpenAI-Organization and OpenAI-Project go up
    #[arg(long)]
    organization: bool,
}

pub(super) fn run(arguments: Arguments, config: &Config) -> Result<ExitCode> {
    runtime()?.block_on(async {
        let is_json = arguments.json;
        let missing = match arguments.verb {
            Verb::Create(_) => Missing::Made,
            Verb::List { .. } | Verb::Show { .. } | Verb::Rotate { .. } | Verb::Revoke { .. } => {
                Missing::Refused
            }
        };
        let store = store(config, missing, is_json).await?;
        let (directory, registry) = (Directory::new(store.clone()), Registry::new(store));
        match arguments.verb {
            Verb::Create(new) => create(&directory, &registry, *new, is_json).await?,
            Verb::List { user } => list(&directory, &registry, user, is_json).await?,
            Verb::Show { id } => {
                let key = registry.key(&id).await.map_err(refused)?;
                say_json(&view(&key))?;
            }
            Verb::Rotate { id } => {
                let id = registry.key(&id).await.map_err(refused)?.id;
                let key = registry.rotate(&id).await.map_err(refused)?;
                match is_json {
                    true => say_json(&json!({ "id": id, "key": key }))?,
                    false => {
                        say(&key);
                        say("Shown once. The old key is over, within a minute on relays that run.");
                    }
                }
            }
            Verb::Revoke { id } => {
                let id = registry.key(&id).await.map_err(refused)?.id;
                registry.revoke(&id).await.map_err(refused)?;
                match is_json {
                    true => say_json(&json!({ "revoked": id }))?,
                    false => say("The key is revoked, within a minute on relays that run."),
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn create(
    directory: &Directory,
    registry: &Registry,
    new: Create,
    is_json: bool,
) -> Result<()> {
    let owner = owner(directory, new.user.as_deref()).await?;
    let expires_at_ms = match new.expires {
        Some(life) => Some(now_ms() + i64::try_from(life.as_millis())?),
        None => None,
    };
    let wish = Wish {
        name: new.name,
        expires_at_ms,
        rules: RulesText {
            families: new.families,
            models: new.models,
            origins: new.origins,
            addresses: new.addresses,
            limits: new.limits,
            pinned: new.pinned,
            organization: new.organization,
            on_leave: new.on_leave,
        },
    };
    let (key, known) = registry
        .create(&wish, owner.as_deref())
        .await
        .map_err(refused)?;
    if is_json {
        let mut shown = view(&known);
        shown["key"] = json!(key);
        return say_json(&shown);
    }
    say(&key);
    say(
        "Shown once. It goes wherever an OpenAI key goes: OPENAI_API_KEY of a client, Authorization: Bearer.",
    );
    Ok(())
}

async fn list(
    directory: &Directory,
    registry: &Registry,
    user: Option<String>,
    is_json: bool,
) -> Result<()> {
    let owner = owner(directory, user.as_deref()).await?;
    let mut keys = Vec::new();
    loop {
        let offset = i64::try_from(keys.len())?;
        let page = registry.keys(owner.as_deref(), PAGE, offset).await;
        let page = page.map_err(refused)?;
        let is_last = page.len() < usize::try_from(PAGE)?;
        keys.extend(page);
        if is_last {
            break;
        }
    }
    if is_json {
        let keys: Vec<Value> = keys.iter().map(view).collect();
        return say_json(&keys);
    }
    let rows = keys.iter().map(|key| {
        [
            key.id.clone(),
            format!("{}…", key.hint),
            state(key).to_owned(),
            key.username.clone().unwrap_or_else(|| "-".to_owned()),
            key.expires_at_ms
                .map_or_else(|| "never".to_owned(), timestamp),
            key.name.clone(),
        ]
    });
    say_table(
        ["ID", "KEY", "STATE", "USER", "EXPIRES", "NAME"],
        rows.collect(),
    );
    Ok(())
}

async fn owner(directory: &Directory, user: Option<&str>) -> Result<Option<String>> {
    Ok(match user {
        Some(user) => Some(directory.user(user).await.map_err(refused)?.id),
        None => None,
    })
}

fn view(key: &Key) -> Value {
    let rules: Value = serde_json::from_str(&key.rules).unwrap_or_default();
    json!({
        "id": key.id,
        "hint": key.hint,
        "name": key.name,
        "state": state(key),
        "user": key.username,
        "rules": rules,
        "created_at": timestamp(key.created_at_ms),
        "expires_at": key.expires_at_ms.map(timestamp),
    })
}

fn state(key: &Key) -> &'static str {
    if key.is_revoked {
        "revoked"
    } else if !key.is_owner_active {
        "owner disabled"
    } else if key.expires_at_ms.is_some_and(|at| at <= now_ms()) {
        "expired"
    } else {
        "good"
    }
}
