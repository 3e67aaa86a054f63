//! The rows of limits on requests, sockets and what runs at once, and of where they are counted.

use std::path::PathBuf;
use std::time::Duration;

use super::draft::{Draft, put};
use super::limit::{Bound, CallerKind, Callers, Limit, Per, What, count_of, rate};
use super::row::{PLAIN, Row, Section};
use super::{RedisUrl, file, value};

/// The most limits: a request that all of them concern is charged that often.
const MOST: usize = 60;
const RATE: &str = "a number and a window, such as 100/15m or 10/60 (seconds), or off";

/// Limits on what callers ask for, and where they are counted.
#[derive(Debug, Clone)]
pub struct Limiting {
    /// All that hold, in order; at most 64, no two the same.
    pub limits: Vec<Limit>,
    /// Where relays share their counts, if they do.
    pub redis: Option<RedisUrl>,
    /// A PEM file of authorities to trust towards Redis.
    pub redis_ca_file: Option<PathBuf>,
    /// How long a request waits for Redis at the most.
    pub redis_timeout: Duration,
    /// How many relays share the limits; `None` to find out.
    pub replicas: Option<u32>,
}

/// What the rows set before it is settled.
#[derive(Debug, Default)]
pub(super) struct LimitingDraft {
    limits: Vec<Limit>,
    accounts: Option<u32>,
    window: Duration,
    offer: Option<Bound>,
    sockets: Option<Bound>,
}

impl Limiting {
    /// No limit at all.
    pub(crate) fn none() -> Limiting {
        Limiting {
            limits: Vec::new(),
            redis: None,
            redis_ca_file: None,
            redis_timeout: Duration::ZERO,
            replicas: None,
        }
    }
}

/// Limits, and where they are counted.
pub(super) const LIMITING: &[Row] = &[
    Row {
        name: "RATE_LIMITS",
        accepts: "limits separated by semicolons, each written as `what=count/window per user` or `concurrent what=count per ip`, \
                  with `for token,users,openai,anonymous` behind it if it does not concern everyone",
        help: "Limits on requests, new sockets, and what runs at once, beside those of the next three variables. \
               [limits.md](limits.md) has the grammar. Example: `chat=60/1m per user; sockets=10/1m per ip; concurrent \
               realtime=5 per user`.",
        section: Section::Rates,
        set: |draft, text| put(&mut draft.limiting.limits, limits(text)),
        ..PLAIN
    },
    Row {
        name: "RATE_LIMIT_REQUESTS",
        default: "100",
        accepts: "a whole number above 0, or off (or 0) for no limit",
        help: "Requests that each user, or each address of those who are not logged in, may make to the accounts API within \
               `RATE_LIMIT_WINDOW`. Logins have limits of their own.",
        section: Section::Rates,
        set: |draft, text| put(&mut draft.limiting.accounts, unless_off(text, count_of)),
        ..PLAIN
    },
    Row {
        name: "RATE_LIMIT_WINDOW",
        default: "3600",
        unit: "s",
        accepts: "seconds above 0, or a number with ms, s, m or h, such as 500ms or 15m; at most 168h",
        help: "The window of `RATE_LIMIT_REQUESTS`.",
        section: Section::Rates,
        set: |draft, text| put(&mut draft.limiting.window, value::timeout(text)),
        ..PLAIN
    },
    Row {
        name: "RATE_LIMIT_OFFER",
        default: "100/15m",
        accepts: RATE,
        help: "Offers that each address may make, holders of `RELAY_TOKEN` excepted.",
        section: Section::Rates,
        set: |draft, text| put(&mut draft.limiting.offer, unless_off(text, rate)),
        ..PLAIN
    },
    Row {
        name: "RATE_LIMIT_SOCKETS",
        default: "10/60s",
        accepts: RATE,
        help: "New sockets that each address may open without a credential, where that is allowed.",
        section: Section::Rates,
        set: |draft, text| put(&mut draft.limiting.sockets, unless_off(text, rate)),
        ..PLAIN
    },
    Row {
        name: "REDIS_URL",
        accepts: "redis://user:password@host:port/db, rediss:// for TLS, unix:///path, \
                  redis+sentinel://host,host/name/db or redis+cluster://host,host",
        help: "Where several relays share their limits. Without it each counts in its own memory. While Redis does not answer, \
               each goes on alone with its share (`REPLICAS`).",
        section: Section::Rates,
        set: redis,
        ..PLAIN
    },
    Row {
        name: "REDIS_CA_FILE",
        accepts: "the path of a PEM file of certificates",
        help: "The certificate authorities to trust towards Redis with TLS, in place of the system's.",
        section: Section::Rates,
        set: |draft, text| {
            put(
                &mut draft.config.limiting.redis_ca_file,
                file::authorities(text).map(Some),
            )
        },
        ..PLAIN
    },
    Row {
        name: "REDIS_TIMEOUT",
        default: "20ms",
        unit: "s",
        accepts: "seconds above 0, or a number with ms, s, m or h, such as 20ms; at most 168h",
        help: "How long a request waits for Redis at the most, all of its limits together. What has no answer by then is decided \
               alone; after five such waits in a row Redis is not asked until it answers again.",
        section: Section::Rates,
        set: |draft, text| {
            put(
                &mut draft.config.limiting.redis_timeout,
                value::timeout(text),
            )
        },
        ..PLAIN
    },
    Row {
        name: "REPLICAS",
        accepts: "a whole number above 0",
        help: "How many relays share the limits: each takes this part of a limit wherever it counts alone. Unset, it is how many \
               were seen in Redis within the last 30 s, and 1 without Redis or before it first answers.",
        section: Section::Rates,
        set: |draft, text| {
            put(
                &mut draft.config.limiting.replicas,
                count_of(text).map(Some),
            )
        },
        ..PLAIN
    },
];

/// Puts the limits together once everything is read, with what is wrong or remarkable about them.
pub(super) fn settle(draft: &mut Draft, errors: &mut Vec<String>) {
    let given = std::mem::take(&mut draft.limiting);
    let mut limits = given.defaults(draft.config.accounts.is_some());
    for limit in given.limits {
        if limits.contains(&limit) {
            draft.notes.push(format!(
                "`RATE_LIMITS` has `{limit}` twice, or it is a default: it counts once"
            ));
        } else {
            limits.push(limit);
        }
    }
    if draft.given.contains("RATE_LIMIT_REQUESTS") && draft.config.accounts.is_none() {
        draft.notes.push(
            "`RATE_LIMIT_REQUESTS` has no effect without `SECRET_KEY`, which turns the accounts API on".to_owned(),
        );
    }
    let limiting = &mut draft.config.limiting;
    limiting.limits = limits;
    let window_us = given.window.as_micros();
    let is_too_many = |count| u128::from(count) > window_us;
    // A window that could not be read has its own error.
    if window_us > 0 && given.accounts.is_some_and(is_too_many) {
        errors.push(
            "RATE_LIMIT_REQUESTS: there is more than one for each microsecond of RATE_LIMIT_WINDOW"
                .to_owned(),
        );
    }
    let is_tls = limiting.redis.as_ref().is_some_and(|redis| redis.is_tls);
    if limiting.redis_ca_file.is_some() && !is_tls {
        draft.notes.push(
            "`REDIS_CA_FILE` has no effect: `REDIS_URL` does not start with rediss".to_owned(),
        );
    }
}

impl LimitingDraft {
    /// What holds without being asked for.
    fn defaults(&self, has_accounts: bool) -> Vec<Limit> {
        use CallerKind::{Anonymous, OpenAi, User};
        let all_but_the_token = Callers::of(&[User, OpenAi, Anonymous]);
        let accounts = self.accounts.filter(|_| has_accounts).map(|count| Limit {
            what: What::Accounts,
            bound: Bound::Rate {
                count,
                window: self.window,
            },
            per: Per::User,
            callers: all_but_the_token,
        });
        let offer = self.offer.map(|bound| Limit {
            what: What::Offer,
            bound,
            per: Per::Address,
            callers: all_but_the_token,
        });
        let sockets = self.sockets.map(|bound| Limit {
            what: What::Sockets,
            bound,
            per: Per::Address,
            callers: Callers::of(&[Anonymous]),
        });
        [accounts, offer, sockets].into_iter().flatten().collect()
    }
}

fn limits(text: &str) -> Result<Vec<Limit>, String> {
    let items: Vec<&str> = text
        .split([';', '\n'])
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .collect();
    if items.len() > MOST {
        return Err(format!("has more than {MOST} limits"));
    }
    let read = items.iter().enumerate().map(|(index, item)| {
        Limit::parse(item).map_err(|fault| match items.len() {
            1 => fault,
            _ => format!("has a fault: item {} {fault}", index + 1),
        })
    });
    read.collect()
}

fn unless_off<T>(text: &str, read: fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    match text == "0" || text.eq_ignore_ascii_case("off") {
        true => Ok(None),
        false => read(text).map(Some),
    }
}

fn redis(draft: &mut Draft, text: &str) -> Result<(), String> {
    let (url, passed_over) = RedisUrl::parse(text)?;
    for name in passed_over {
        draft.notes.push(format!(
            "`REDIS_URL` has a parameter that is passed over: {}",
            name.escape_debug()
        ));
    }
    draft.config.limiting.redis = Some(url);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::{Loaded, Sources, load};

    const ACCOUNTS: (&str, &str) = ("SECRET_KEY", "0123456789abcdef0123456789abcdef");

    fn loaded(pairs: &[(&str, &str)]) -> Loaded {
        load(&Sources::from_map(pairs.iter().copied())).expect("a valid configuration")
    }

    fn limits(pairs: &[(&str, &str)]) -> Vec<String> {
        let limits = loaded(pairs).config.limiting.limits;
        limits.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_defaults_are_those_of_the_relays_that_this_one_replaces() {
        let offer = "offer=100/15m per ip for users,openai,anonymous";
        let sockets = "sockets=10/1m per ip for anonymous";
        assert_eq!(limits(&[]), [offer, sockets]);
        assert_eq!(
            limits(&[ACCOUNTS]),
            [
                "accounts=100/1h per user for users,openai,anonymous",
                offer,
                sockets
            ]
        );
        let own = [
            ACCOUNTS,
            ("RATE_LIMIT_REQUESTS", "7"),
            ("RATE_LIMIT_WINDOW", "30"),
            ("RATE_LIMIT_OFFER", "1/2"),
            ("RATE_LIMIT_SOCKETS", "off"),
        ];
        let offer = "offer=1/2s per ip for users,openai,anonymous";
        assert_eq!(
            limits(&own),
            ["accounts=7/30s per user for users,openai,anonymous", offer]
        );
    }

    #[test]
    fn what_the_operator_adds_stands_behind_the_defaults() {
        let text = "chat=60/1m per user; concurrent realtime=5 per user;;offer=1/1s\n chat=60/60";
        let pairs = [
            ("RATE_LIMITS", text),
            ("RATE_LIMIT_OFFER", "OFF"),
            ("RATE_LIMIT_SOCKETS", "0"),
        ];
        let added = [
            "chat=60/1m per user",
            "concurrent realtime=5 per user",
            "offer=1/1s per user",
        ];
        assert_eq!(limits(&pairs), added);
        assert!(
            loaded(&pairs)
                .notes
                .iter()
                .any(|note| note.contains("twice"))
        );
    }

    #[test]
    fn a_faulty_limit_is_named_by_its_place() {
        let refused = |text: &str| {
            let sources = Sources::from_map([("RATE_LIMITS", text)]);
            load(&sources).expect_err(text).to_string()
        };
        let error = refused("chat=60/1m; chats=60/1m");
        assert!(
            error.contains("RATE_LIMITS: ") && error.contains("item 2 names nothing"),
            "{error}"
        );
        assert!(refused(&"chat=1/1s;".repeat(61)).contains("more than 60"));
    }

    #[test]
    fn settings_without_an_effect_are_pointed_out() {
        let notes = |pairs: &[_]| loaded(pairs).notes.join("\n");
        assert!(notes(&[("RATE_LIMIT_REQUESTS", "5")]).contains("no effect without `SECRET_KEY`"));
        assert!(!notes(&[]).contains("RATE_LIMIT"));
        assert!(notes(&[("REDIS_URL", "redis://h?x=1")]).contains("passed over: x"));
    }
}
