//! What may be printed of a value: everything that goes from a value into a text passes here.
//!
//! It must never let through a secret, not even one that was put into the wrong variable.

use super::row::Row;

/// The shortest secret that is looked for inside other values; shorter ones would match by chance.
const SHORTEST: usize = 6;
/// How much of a long value is printed.
const LONGEST: usize = 120;

/// The secrets of one configuration, to keep them out of every text.
pub(super) struct Mask {
    secrets: Vec<String>,
}

impl Mask {
    /// A mask that knows these secrets.
    pub(super) fn new(secrets: impl Iterator<Item = String>) -> Self {
        Self {
            secrets: secrets.filter(|secret| secret.len() >= SHORTEST).collect(),
        }
    }

    /// A row's value in quotes, as an error shows it.
    pub(super) fn quoted(&self, row: &Row, text: &str) -> String {
        if row.secret {
            hidden(text)
        } else {
            self.quoted_text(text)
        }
    }

    /// Any other text in quotes, such as a path.
    pub(super) fn quoted_text(&self, text: &str) -> String {
        if self.is_secret(text) {
            return hidden(text);
        }
        let text: String = shorten(text).chars().flat_map(char::escape_debug).collect();
        format!("\"{text}\"")
    }

    /// A row's value bare, as a table shows it.
    pub(super) fn plain(&self, row: &Row, text: &str) -> String {
        if row.secret || self.is_secret(text) {
            return format!("({} characters)", text.chars().count());
        }
        as_written(&shorten(text))
    }

    fn is_secret(&self, text: &str) -> bool {
        looks_secret(text)
            || self
                .secrets
                .iter()
                .any(|secret| text.contains(secret.as_str()))
    }
}

/// A URL without user and password.
pub(super) fn without_user(text: &str) -> String {
    let Some((before, after)) = text.rsplit_once('@') else {
        return text.to_owned();
    };
    let scheme = before
        .find("://")
        .filter(|at| *at <= 8)
        .map_or("", |at| &before[..at + 3]);
    format!("{scheme}***@{after}")
}

fn hidden(text: &str) -> String {
    format!("the value ({} characters, not shown)", text.chars().count())
}

fn shorten(text: &str) -> String {
    let text = without_user(text);
    let text = text
        .find(['?', '#'])
        .map_or_else(|| text.clone(), |at| format!("{}***", &text[..=at]));
    let mut short: String = text.chars().take(LONGEST).collect();
    if text.chars().count() > LONGEST {
        short.push('…');
    }
    short
}

/// A text with what a terminal would obey escaped, and nothing else.
fn as_written(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => out.push(c),
            _ => out.extend(c.escape_debug()),
        }
    }
    out
}

/// Whether a text holds something in the shape of a credential.
fn looks_secret(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    if lower.contains("bearer ") {
        return true;
    }
    ["sk-", "ek_", "rk_", "eyj"].iter().any(|start| {
        lower.match_indices(start).any(|(at, _)| {
            let before = lower[..at].chars().next_back();
            before.is_none_or(|c| !c.is_alphanumeric())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_the_wrong_place_is_not_shown() {
        let mask = Mask::new(["planted-secret".to_owned()].into_iter());
        for text in [
            "sk-proj-abc",
            "x sk-abc",
            "Bearer abc",
            "x-planted-secret-x",
            "/run/ek_abc",
        ] {
            assert!(mask.quoted_text(text).contains("not shown"), "{text}");
        }
        assert_eq!(
            mask.quoted_text("/etc/disk-1/week_2.pem"),
            "\"/etc/disk-1/week_2.pem\""
        );
    }

    #[test]
    fn user_and_query_of_a_url_are_cut() {
        let mask = Mask::new(std::iter::empty());
        assert_eq!(
            mask.quoted_text("https://u:p@w@a.example/x?key=1"),
            "\"https://***@a.example/x?***\""
        );
        assert_eq!(mask.quoted_text("u:p@a.example"), "\"***@a.example\"");
        assert_eq!(mask.quoted_text("a\nb"), "\"a\\nb\"");
    }

    #[test]
    fn a_table_shows_quotes_as_they_are_and_nothing_that_a_terminal_obeys() {
        assert_eq!(as_written(r#"["http://a"]'\"#), r#"["http://a"]'\"#);
        assert_eq!(as_written("a\u{1b}[2J\nb"), r"a\u{1b}[2J\nb");
    }
}
