//! The rows of accounts and their database, and what of them depends on the environment.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::draft::{Draft, put};
use super::row::{PLAIN, Row, Section};
use super::value::{self, is_placeholder};
use super::{Accounts, DatabaseUrl, Registration};

/// The shortest key, in bytes: what HS256 needs (RFC 7518 section 3.2).
const SHORTEST_KEY: usize = 32;
/// The longest life of an access token: that of the session it belongs to.
const LONGEST_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long the database may take.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(100);
const LONGEST_PATIENCE: Duration = Duration::from_secs(5 * 60);
const MAKE_ONE: &str = "make one with `openssl rand -hex 32`";

/// What the rows set before it is settled.
#[derive(Debug, Default)]
pub(super) struct AccountsDraft {
    secret_key: Option<SecretString>,
    registration: Option<Registration>,
    access_token_life: Duration,
}

/// Accounts, and where they are kept.
pub(super) const ACCOUNTS: &[Row] = &[
    Row {
        name: "SECRET_KEY",
        accepts: "at least 32 bytes, for instance from `openssl rand -hex 32`",
        help: "Turns accounts on, and signs their access tokens. Without it no database is opened and the routes of accounts \
               answer 404. The same on every replica; another key ends every session.",
        secret: true,
        section: Section::Accounts,
        set: |draft, text| {
            put(
                &mut draft.accounts.secret_key,
                secret_key(text).map(|text| Some(SecretString::from(text))),
            )
        },
        ..PLAIN
    },
    Row {
        name: "REGISTRATION",
        accepts: "open, invite or closed",
        help: "Who may register: `open` anyone, `invite` who has a code from `openai-relay invite create`, `closed` nobody: the \
               operator adds them. Unset, it means open in development and closed in production.",
        section: Section::Accounts,
        set: |draft, text| {
            put(
                &mut draft.accounts.registration,
                registration(text).map(Some),
            )
        },
        ..PLAIN
    },
    Row {
        name: "ACCESS_TOKEN_EXPIRE_MINUTES",
        default: "60",
        unit: "min",
        accepts: "minutes above 0, or a number with s, m or h; at most 30 days (43200)",
        help: "How long an access token is good. Refresh tokens make new ones, for 30 days from a login on.",
        section: Section::Accounts,
        set: |draft, text| put(&mut draft.accounts.access_token_life, life(text)),
        ..PLAIN
    },
    Row {
        name: "DATABASE_URL",
        default: "sqlite:///./app.db",
        accepts: "a SQLite or Postgres URL, such as sqlite:///./app.db or postgresql://user:password@host/name, with SQLAlchemy's \
                  driver names or without",
        help: "Where accounts are kept. The relay's tables start with `relay_`; users of an earlier accounts API in the same \
               database (table `users`) are adopted, and that table stays as it is.",
        section: Section::Accounts,
        set: database,
        ..PLAIN
    },
    Row {
        name: "DATABASE_TIMEOUT",
        default: "5",
        unit: "s",
        accepts: "seconds, or a number with ms, s or m; from 100ms to 5m",
        help: "How long a question to the database may take altogether, two fifths of it for a connection. What has no answer by \
               then is 503 at the routes of accounts. Requests that are relayed never wait for it for more than 5 s; known \
               accounts and relay keys go on.",
        section: Section::Accounts,
        set: |draft, text| put(&mut draft.config.database_timeout, patience(text)),
        ..PLAIN
    },
    Row {
        name: "DEFAULT_MODEL",
        default: "gpt-6-luna",
        accepts: "a model's name: letters, digits and -._:/",
        help: "The model of `/api/v1/chat` requests that name none.",
        section: Section::Accounts,
        set: |draft, text| put(&mut draft.config.default_model, value::model(text)),
        ..PLAIN
    },
];

/// Puts accounts together once everything is read, with what is wrong or remarkable about them.
pub(super) fn settle(draft: &mut Draft, errors: &mut Vec<String>) {
    let production = draft.config.environment.is_production();
    let given = std::mem::take(&mut draft.accounts);
    let notes = &mut draft.notes;
    let Some(secret_key) = given.secret_key else {
        if draft.given.contains("REGISTRATION") {
            notes.push(
                "`REGISTRATION` has no effect without `SECRET_KEY`, which turns accounts on"
                    .to_owned(),
            );
        }
        return;
    };
    let key = secret_key.expose_secret();
    let is_same = |other: &Option<SecretString>| {
        other
            .as_ref()
            .is_some_and(|other| other.expose_secret() == key)
    };
    if is_same(&draft.config.upstream.api_key) || is_same(&draft.config.access.relay_token) {
        errors.push(format!(
            "SECRET_KEY: it is the same as OPENAI_API_KEY or RELAY_TOKEN, so whoever holds that could forge any account; {MAKE_ONE}"
        ));
    }
    if is_placeholder(key) {
        let fault = format!(
            "looks like the placeholder of an example, and whoever guesses it can forge any account; {MAKE_ONE}"
        );
        match production {
            true => errors.push(format!("SECRET_KEY: it {fault}")),
            false => notes.push(format!("`SECRET_KEY` {fault}")),
        }
    }
    let unset = match production {
        true => Registration::Closed,
        false => Registration::Open,
    };
    let registration = given.registration.unwrap_or(unset);
    if production && registration == Registration::Open {
        notes.push(
            "`REGISTRATION` is open in production: anyone who reaches this relay may register and then use the server's OpenAI key; \
             set REGISTRATION=invite or closed to change that"
                .to_owned(),
        );
    }
    if draft.config.database.is_memory() {
        notes.push(
            "`DATABASE_URL` names no file: accounts are forgotten when the relay stops".to_owned(),
        );
    }
    draft.config.accounts = Some(Accounts {
        secret_key,
        registration,
        access_token_life: given.access_token_life,
    });
}

fn secret_key(text: &str) -> Result<String, String> {
    if text.len() < SHORTEST_KEY {
        return Err(format!("is shorter than 32 bytes; {MAKE_ONE}"));
    }
    Ok(text.to_owned())
}

fn registration(text: &str) -> Result<Registration, String> {
    match text.to_ascii_lowercase().as_str() {
        "open" => Ok(Registration::Open),
        "invite" => Ok(Registration::Invite),
        "closed" => Ok(Registration::Closed),
        _ => Err("is no way to register".to_owned()),
    }
}

/// A bare number counts minutes, as its name says.
fn life(text: &str) -> Result<Duration, String> {
    let life = match text.parse::<u32>() {
        Ok(minutes) => Duration::from_secs(u64::from(minutes) * 60),
        Err(_) => value::duration(text)?,
    };
    if life.is_zero() {
        return Err("would end every token at once".to_owned());
    }
    if life > LONGEST_LIFE {
        return Err("is too long".to_owned());
    }
    Ok(life)
}

fn patience(text: &str) -> Result<Duration, String> {
    let patience = value::timeout(text)?;
    if patience < SHORTEST_PATIENCE {
        return Err("is too short for any answer".to_owned());
    }
    if patience > LONGEST_PATIENCE {
        return Err("is longer than anybody waits".to_owned());
    }
    Ok(patience)
}

fn database(draft: &mut Draft, text: &str) -> Result<(), String> {
    let (url, passed_over) = DatabaseUrl::parse(text)?;
    for name in passed_over {
        draft.notes.push(format!(
            "`DATABASE_URL` has a parameter that is passed over: {}",
            name.escape_debug()
        ));
    }
    draft.config.database = url;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Registration, Sources, load};

    const KEY: (&str, &str) = ("SECRET_KEY", "0123456789abcdef0123456789abcdef");
    const PRODUCTION: (&str, &str) = ("RELAY_ENV", "production");

    fn config(pairs: &[(&str, &str)]) -> Config {
        let sources = Sources::from_map(pairs.iter().copied());
        load(&sources).expect("a valid configuration").config
    }

    fn error(pairs: &[(&str, &str)]) -> String {
        let sources = Sources::from_map(pairs.iter().copied());
        load(&sources).expect_err("an error").to_string()
    }

    #[test]
    fn without_a_secret_key_there_are_no_accounts() {
        assert!(config(&[]).accounts.is_none());
        assert!(config(&[KEY]).accounts.is_some());
    }

    #[test]
    fn registration_is_open_in_development_and_closed_in_production() {
        let registration = |pairs: &[_]| config(pairs).accounts.expect("accounts").registration;
        assert_eq!(registration(&[KEY]), Registration::Open);
        assert_eq!(registration(&[KEY, PRODUCTION]), Registration::Closed);
        let invite = ("REGISTRATION", "Invite");
        assert_eq!(
            registration(&[KEY, PRODUCTION, invite]),
            Registration::Invite
        );
    }

    #[test]
    fn a_short_key_is_an_error_that_says_how_to_make_a_good_one() {
        let error = error(&[("SECRET_KEY", "your-secret-key")]);
        assert!(error.contains("SECRET_KEY: ") && error.contains("openssl rand -hex 32"));
        assert!(!error.contains("your-secret-key"), "{error}");
    }

    #[test]
    fn a_guessable_or_borrowed_key_is_refused() {
        let example = ("SECRET_KEY", "your-secret-key-here-change-in-production");
        assert!(error(&[example, PRODUCTION]).contains("placeholder"));
        assert!(config(&[example]).accounts.is_some());
        assert!(error(&[KEY, ("RELAY_TOKEN", KEY.1)]).contains("SECRET_KEY: it is the same"));
    }

    #[test]
    fn lives_are_minutes_unless_a_suffix_says_otherwise() {
        let life = |text| {
            let pairs = [KEY, ("ACCESS_TOKEN_EXPIRE_MINUTES", text)];
            config(&pairs).accounts.expect("accounts").access_token_life
        };
        assert_eq!(life("10080").as_secs(), 10_080 * 60);
        assert_eq!(life("90s").as_secs(), 90);
        for text in ["0", "99ms", "301", "168h", "soon"] {
            error(&[("DATABASE_TIMEOUT", text)]);
        }
        for text in ["0", "43201", "-5", "soon"] {
            error(&[KEY, ("ACCESS_TOKEN_EXPIRE_MINUTES", text)]);
        }
    }
}
