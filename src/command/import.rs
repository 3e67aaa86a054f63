//! `user import`: users of another database or a list, and what became of each.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::person::{refused, say_json};
use super::{csv, say};
use crate::admission::accounts::Directory;
use crate::config::DatabaseUrl;
use crate::store::{Adoption, ForeignUser, Lack, Taken, now_ms, read_old_users};

/// The users of a database, or of a CSV file.
pub(super) async fn read(source: &str) -> Result<Vec<ForeignUser>> {
    let path = Path::new(source);
    let is_file = !source.contains("://") && !source.starts_with("sqlite:");
    let url = if is_file {
        if !path.is_file() {
            bail!("{source}: there is no such file");
        }
        if path
            .extension()
            .is_some_and(|kind| kind.eq_ignore_ascii_case("csv"))
        {
            let text = std::fs::read_to_string(path).with_context(|| source.to_owned())?;
            return csv::users(&text, now_ms()).with_context(|| source.to_owned());
        }
        DatabaseUrl::Sqlite(Some(path.to_owned()))
    } else {
        DatabaseUrl::read(source).map_err(|fault| anyhow::anyhow!("the source {fault}"))?
    };
    let read = read_old_users(&url).await;
    read.with_context(|| url.shown())
}

/// Takes them over, and says who was left out and why.
pub(super) async fn run(directory: &Directory, users: &[ForeignUser], is_json: bool) -> Result<()> {
    let adopted = directory.import(users).await.map_err(refused)?;
    let count = |is: fn(&Adoption) -> bool| adopted.iter().filter(|one| is(one)).count();
    let added = count(|one| *one == Adoption::Added);
    let known = count(|one| *one == Adoption::Known);
    let taken = count(|one| matches!(one, Adoption::Taken(_)));
    let unusable = count(|one| matches!(one, Adoption::Unusable(_)));
    let skipped = users
        .iter()
        .zip(&adopted)
        .filter_map(|(user, adoption)| Some((user, why(*adoption)?)));
    if is_json {
        let skipped: Vec<Value> = skipped
            .map(|(user, why)| json!({ "line": user.line, "username": user.username, "why": why }))
            .collect();
        return say_json(&json!({
            "read": users.len(),
            "added": added,
            "known": known,
            "taken": taken,
            "unusable": unusable,
            "skipped": skipped,
        }));
    }
    for (user, why) in skipped {
        let line = user.line.map(|line| format!("line {line}: "));
        let (line, name) = (line.unwrap_or_default(), user.username.escape_debug());
        say(&format!("left out: {line}{name}: {why}"));
    }
    say(&format!(
        "{} users read: {added} added, {known} taken over before, {taken} whose name or address somebody else has, {unusable} without what every user needs",
        users.len(),
    ));
    Ok(())
}

/// Why a user was left out, if it was.
fn why(adoption: Adoption) -> Option<&'static str> {
    match adoption {
        Adoption::Added | Adoption::Known => None,
        Adoption::Taken(Taken::Username) => Some("another user has this name"),
        Adoption::Taken(Taken::Email) => Some("another user has this address"),
        Adoption::Unusable(Lack::Id) => Some("it has no id"),
        Adoption::Unusable(Lack::Username) => Some("it has no name"),
        Adoption::Unusable(Lack::Email) => Some("it has no address"),
        Adoption::Unusable(Lack::Hash) => Some(
            "no password can match its hash: it is neither bcrypt's nor argon2id's, or not whole",
        ),
    }
}
