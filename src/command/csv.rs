//! Pure: users from CSV, by the names of its columns.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use uuid::Uuid;

use crate::store::{ForeignUser, Role, is_yes, parse_time};

/// Other names under which a column comes.
const ALIASES: [(&str, &str); 5] = [
    ("name", "username"),
    ("mail", "email"),
    ("password", "hashed_password"),
    ("password_hash", "hashed_password"),
    ("active", "is_active"),
];

/// Reads users. Those without an id get one that follows from their name, so that the same file
/// can be read twice.
pub(super) fn users(text: &str, now_ms: i64) -> Result<Vec<ForeignUser>> {
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = ::csv::ReaderBuilder::new()
        .flexible(true)
        .trim(::csv::Trim::All)
        .from_reader(text.as_bytes());
    let head = reader.headers().context("its first line")?;
    let columns: HashMap<String, usize> = head
        .iter()
        .enumerate()
        .map(|(at, name)| (column(name), at))
        .collect();
    for wanted in ["username", "email", "hashed_password"] {
        if !columns.contains_key(wanted) {
            bail!("its first line names no column `{wanted}`");
        }
    }
    let mut users = Vec::new();
    let mut lines = Lines {
        text: text.as_bytes(),
        counted: 0,
        line: 1,
    };
    for (number, record) in reader.records().enumerate() {
        let record = record.with_context(|| format!("entry {}", number + 1))?;
        let field = |name: &str| record.get(*columns.get(name)?);
        let Some((username, email)) = field("username").zip(field("email")) else {
            bail!("entry {} has too few fields", number + 1);
        };
        if username.is_empty() {
            bail!("entry {} has no name", number + 1);
        }
        let id = field("id").filter(|id| !id.is_empty());
        users.push(ForeignUser {
            id: id.map_or_else(|| id_of(username), str::to_owned),
            username: username.to_owned(),
            email: email.to_owned(),
            password_hash: field("hashed_password").unwrap_or_default().to_owned(),
            role: Role::User,
            is_active: field("is_active").is_none_or(|text| text.is_empty() || is_yes(text)),
            created_at_ms: field("created_at").and_then(parse_time).or(Some(now_ms)),
            line: record.position().map(|at| lines.of(at.byte())),
        });
    }
    Ok(users)
}

/// Counts lines; the reader's own count lags where they end with CRLF.
struct Lines<'a> {
    text: &'a [u8],
    /// How far it has counted.
    counted: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of the record that the reader has from this byte on, which may be the end of the line
    /// before it. Positions only grow.
    fn of(&mut self, byte: u64) -> u64 {
        let byte = usize::try_from(byte).unwrap_or(usize::MAX);
        for (at, one) in self.text.iter().enumerate().skip(self.counted) {
            if at >= byte && !matches!(one, b'\r' | b'\n') {
                break;
            }
            self.line += u64::from(*one == b'\n');
            self.counted = at + 1;
        }
        self.line
    }
}

fn column(name: &str) -> String {
    let name = name.to_lowercase();
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    alias.map_or(name, |(_, column)| (*column).to_owned())
}

fn id_of(username: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, username.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_come_by_the_names_of_the_columns() {
        let text = "\u{feff}email,\"username\",password_hash,is_active,created_at\r\n\
                    a@example.com,\"a, \"\"the\"\" first\",$2b$12$x,true,2024-01-02 03:04:05\r\n\
                    \r\n\
                    b@example.com,b,$2b$12$y,0,\n";
        let users = users(text, 7).expect("users");
        assert_eq!(users.len(), 2);
        assert_eq!(users[0].username, "a, \"the\" first");
        assert_eq!(users[0].created_at_ms, Some(1_704_164_645_000));
        assert!(users[0].is_active && !users[1].is_active);
        assert_eq!(users[1].created_at_ms, Some(7));
        assert_eq!((users[0].line, users[1].line), (Some(2), Some(4)));
        assert_ne!(users[0].id, users[1].id);
        assert_eq!(users, super::users(text, 7).expect("the same again"));
    }

    #[test]
    fn what_is_no_list_of_users_says_why() {
        for (text, why) in [
            ("", "no column `username`"),
            ("a,b\n1,2", "no column `username`"),
            ("username,email,hashed_password\nx", "too few fields"),
            (
                "username,email,hashed_password\n,x@example.com,h",
                "no name",
            ),
        ] {
            let error = users(text, 0).expect_err(text).to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
