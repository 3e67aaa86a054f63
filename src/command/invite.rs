//! `invite`: codes that let people register where REGISTRATION is `invite`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::person::{Missing, directory, life, refused, say_json, say_table};
use super::{runtime, say};
use crate::admission::accounts::Directory;
use crate::config::{Config, Registration};
use crate::store::{Invite, now_ms, timestamp};

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
    /// Make an invite; its code is printed once
    Create {
        /// How many may register with it
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        uses: u32,
        /// How long it is good, such as 12h or 7d
        #[arg(long, default_value = "7d", value_parser = life)]
        expires: Duration,
        /// For the list
        #[arg(long, default_value = "")]
        note: String,
    },
    /// List invites
    List,
    /// Take an invite back
    Revoke {
        /// As the list shows it
        id: String,
    },
}

pub(super) fn run(arguments: Arguments, config: &Config) -> Result<ExitCode> {
    runtime()?.block_on(async {
        let is_json = arguments.json;
        let missing = match arguments.verb {
            Verb::Create { .. } => Missing::Made,
            Verb::List | Verb::Revoke { .. } => Missing::Refused,
        };
        let directory = directory(config, missing, is_json).await?;
        match arguments.verb {
            Verb::Create {
                uses,
                expires,
                note,
            } => {
                let registration = config.accounts.as_ref().map(|one| one.registration);
                let is_used = registration == Some(Registration::Invite);
                create(&directory, uses, expires, &note, is_used, is_json).await?;
            }
            Verb::List => list(&directory, is_json).await?,
            Verb::Revoke { id } => {
                directory.revoke_invite(&id).await.map_err(refused)?;
                match is_json {
                    true => say_json(&json!({ "revoked": id }))?,
                    false => say("the invite is taken back"),
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn create(
    directory: &Directory,
    uses: u32,
    life: Duration,
    note: &str,
    is_used: bool,
    is_json: bool,
) -> Result<()> {
    let expires_at_ms = now_ms() + i64::try_from(life.as_millis())?;
    let made = directory.invite(uses, expires_at_ms, note).await;
    let (id, code) = made.map_err(refused)?;
    let expires_at = timestamp(expires_at_ms);
    if is_json {
        return say_json(
            &json!({ "id": id, "code": code, "uses": uses, "expires_at": expires_at }),
        );
    }
    say(&code);
    say(&format!(
        "Shown once. Good for {uses} registration{} until {expires_at}, as `invite` in POST /api/v1/auth/register.",
        if uses == 1 { "" } else { "s" }
    ));
    if !is_used {
        say("REGISTRATION is not `invite` here, so nobody is asked for it.");
    }
    Ok(())
}

async fn list(directory: &Directory, is_json: bool) -> Result<()> {
    let invites = directory.invites().await.map_err(refused)?;
    let now_ms = now_ms();
    if is_json {
        let invites: Vec<Value> = invites
            .iter()
            .map(|invite| {
                json!({
                    "id": invite.id,
                    "note": invite.note,
                    "state": state(invite, now_ms),
                    "uses_left": invite.uses_left,
                    "created_at": timestamp(invite.created_at_ms),
                    "expires_at": timestamp(invite.expires_at_ms),
                })
            })
            .collect();
        return say_json(&invites);
    }
    let rows = invites.iter().map(|invite| {
        [
            invite.id.clone(),
            state(invite, now_ms).to_owned(),
            invite.uses_left.to_string(),
            timestamp(invite.expires_at_ms),
            invite.note.clone(),
        ]
    });
    say_table(
        ["ID", "STATE", "USES LEFT", "EXPIRES", "NOTE"],
        rows.collect(),
    );
    Ok(())
}

fn state(invite: &Invite, now_ms: i64) -> &'static str {
    if invite.is_revoked {
        "revoked"
    } else if invite.uses_left < 1 {
        "used"
    } else if invite.expires_at_ms <= now_ms {
        "expired"
    } else {
        "good"
    }
}
