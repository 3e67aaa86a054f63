//! What the commands about accounts share: the directory, passwords from a terminal or a pipe, and
//! how lists are shown.

use std::io::{BufRead, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use serde::Serialize;

use super::say;
use crate::admission::accounts::Directory;
use crate::config::{Config, DatabaseUrl, aligned};
use crate::error::Refusal;
use crate::store::{self, Condition, Store};

/// The longest life of an invite, and of a key that has an end.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// What becomes of a file that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is made: something is to be kept in it.
    Made,
    /// It is an error: nobody is in it.
    Refused,
}

/// The directory of the configured database, which people are told.
pub(super) async fn directory(
    config: &Config,
    missing: Missing,
    is_json: bool,
) -> Result<Directory> {
    let store = store(config, missing, is_json).await?;
    if config.accounts.is_none() {
        note(
            "note: SECRET_KEY is not set, so the relay serves no accounts; this goes into the database all the same",
        );
    }
    Ok(Directory::new(store))
}

/// The configured database, which people are told.
pub(super) async fn store(config: &Config, missing: Missing, is_json: bool) -> Result<Arc<Store>> {
    let database = place(&config.database);
    if missing == Missing::Refused && is_missing(&config.database) {
        bail!(
            "there is no database {database}: DATABASE_URL names it, a relay with SECRET_KEY, `user add` or `key create` makes it"
        );
    }
    if !is_json {
        note(&format!("database: {database}"));
    }
    let store = Store::open(&config.database, config.database_timeout).await?;
    if store.condition() != Condition::Up {
        let reached = store::reach(&config.database, config.database_timeout).await;
        reached.with_context(|| format!("DATABASE_URL ({database})"))?;
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

/// Where a database is, wherever one stands.
fn place(url: &DatabaseUrl) -> String {
    let DatabaseUrl::Sqlite(Some(path)) = url else {
        return url.shown();
    };
    let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
    path.display().to_string()
}

/// Whether a database is a file that is not there.
fn is_missing(url: &DatabaseUrl) -> bool {
    matches!(url, DatabaseUrl::Sqlite(Some(path)) if !path.exists())
}

/// Says something beside the answer.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
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
    // Before the prompt: what is typed as soon as it shows is not to be seen either.
    let unseen = Unseen::begin()?;
    let _ = write!(std::io::stderr(), "{prompt}");
    let _ = std::io::stderr().flush();
    let interrupt = unseen.before.special_codes[SpecialCodeIndex::VINTR];
    read_typed(std::io::stdin().lock(), interrupt)
}

/// The terminal without an echo. Keys arrive one by one, the one that interrupts included: a process
/// that ended by its signal would leave the terminal without an echo.
struct Unseen {
    before: Termios,
}

impl Unseen {
    fn begin() -> Result<Unseen> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut unseen = before.clone();
        let seen = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        unseen.local_modes.remove(seen);
        unseen.special_codes[SpecialCodeIndex::VMIN] = 1;
        unseen.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&stdin, OptionalActions::Flush, &unseen)?;
        Ok(Unseen { before })
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
        let _ = writeln!(std::io::stderr());
    }
}

const END_OF_INPUT: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const KILL: u8 = 0x15;
const DELETE: u8 = 0x7f;

/// A line as it is typed, which can be mended until it ends.
fn read_typed(keys: impl BufRead, interrupt: u8) -> Result<String> {
    let mut line = Vec::new();
    for key in keys.bytes() {
        match key.context("reading the password")? {
            b'\r' | b'\n' => break,
            key if key == interrupt => bail!("interrupted"),
            END_OF_INPUT if line.is_empty() => bail!("no password was typed"),
            // To the start of a character of UTF-8.
            BACKSPACE | DELETE => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            KILL => line.clear(),
            key => line.push(key),
        }
    }
    String::from_utf8(line).context("reading the password")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_be_mended_and_given_up_while_it_is_typed() {
        let typed = |keys: &str| read_typed(keys.as_bytes(), 0x03).ok();
        assert_eq!(typed("secret\rmore").as_deref(), Some("secret"));
        assert_eq!(typed("sö\u{7f}ecret\n").as_deref(), Some("secret"));
        assert_eq!(typed("wrong\u{15}right\n").as_deref(), Some("right"));
        assert_eq!(typed("\u{8}\n").as_deref(), Some(""));
        assert_eq!(typed("sec\u{3}ret\n"), None);
        assert_eq!(typed("\u{4}"), None);
    }
}
