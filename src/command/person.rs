//! What the commands about accounts share: the directory, passwords from a terminal or a pipe, and
//! how lists are shown.

use std::io::{BufRead, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde::Serialize;

use super::say;
use crate::admission::accounts::Directory;
use crate::config::{Config, aligned};
use crate::error::Refusal;
use crate::store::{Condition, Store};

/// The longest life of an invite, and of a key that has an end.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The directory of the configured database.
pub(super) async fn directory(config: &Config) -> Result<Directory> {
    if config.accounts.is_none() {
        let note = "note: SECRET_KEY is not set, so the relay serves no accounts; this goes into the database all the same";
        let _ = writeln!(std::io::stderr(), "{note}");
    }
    Ok(Directory::new(store(config).await?))
}

/// The configured database.
pub(super) async fn store(config: &Config) -> Result<Arc<Store>> {
    let store = Store::open(&config.database).await?;
    if store.condition() != Condition::Up {
        bail!(
            "DATABASE_URL ({}): it does not answer",
            config.database.shown()
        );
    }
    Ok(Arc::new(store))
}

/// A whole number with s, m, h or d.
pub(super) fn life(text: &str) -> Result<Duration, String> {
    let fault = || "use a number with s, m, h or d, such as 12h or 7d; at most 365d".to_owned();
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 24 * 3600,
        _ => return Err(fault()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| fault())?;
    let life = Duration::from_secs(u64::from(number) * unit);
    match life.is_zero() || life > LONGEST {
        true => Err(fault()),
        false => Ok(life),
    }
}

/// A refusal in the words of a terminal.
#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(super) fn refused(refusal: Refusal) -> anyhow::Error {
    let problems = refusal.problems().iter();
    let problems: Vec<String> = problems
        .map(|problem| format!("{}: {}", problem.field, problem.message))
        .collect();
    match problems.is_empty() {
        true => anyhow::anyhow!("{}", refusal.message()),
        false => anyhow::anyhow!("{}", problems.join(" ")),
    }
}

/// Prints a value for programs.
pub(super) fn say_json(value: &impl Serialize) -> Result<()> {
    say(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints a list for people.
pub(super) fn say_table<const COLUMNS: usize>(head: [&str; COLUMNS], rows: Vec<[String; COLUMNS]>) {
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows);
    say(aligned(&lines).trim_end());
}

/// Asks for a new password: twice at a terminal, without showing it; else the first line of what
/// is piped in.
pub(super) fn ask_password() -> Result<String> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let mut line = String::new();
        stdin
            .lock()
            .read_line(&mut line)
            .context("reading the password")?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let (first, second) = (ask_unseen("Password: ")?, ask_unseen("Again: ")?);
    if first != second {
        bail!("the two passwords differ");
    }
    Ok(first)
}

fn ask_unseen(prompt: &str) -> Result<String> {
    let _ = write!(std::io::stderr(), "{prompt}");
    let _ = std::io::stderr().flush();
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut unseen = before.clone();
    unseen.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &unseen)?;
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    tcsetattr(&stdin, OptionalActions::Now, &before)?;
    let _ = writeln!(std::io::stderr());
    read.context("reading the password")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
