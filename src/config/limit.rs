//! One limit: what is counted, how much of it, and whose; and the grammar in which it is written.

use std::fmt;
use std::time::Duration;

use super::value;
use crate::family::Family;

/// One limit, as an operator writes it: `chat=60/1m per user for users`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// What is counted.
    pub what: What,
    /// How much of it.
    pub bound: Bound,
    /// Who shares one count.
    pub per: Per,
    /// Whom it concerns.
    pub callers: Callers,
}

/// How much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// So many at once, and as many again in the course of each window.
    Rate {
        /// At least 1, at most one for each microsecond of the window.
        count: u32,
        /// Not zero.
        window: Duration,
    },
    /// So many that run at the same time.
    Concurrent(u32),
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Every relayed request and new socket.
    All,
    /// New sockets on any route.
    Sockets,
    /// `POST /offer`.
    Offer,
    /// The routes for users under `/api/v1/`.
    Accounts,
    /// Requests and new sockets of one family.
    Family(Family),
}

/// Who shares one count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// A user with all of its credentials; the holders of `RELAY_TOKEN`, all together; whoever has no
    /// name here, by address.
    User,
    /// An address; with IPv6 a /64 network.
    Address,
}

/// Kinds of callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerKind {
    /// Holders of `RELAY_TOKEN`.
    Token,
    /// Users who are logged in.
    User,
    /// Those who bring an OpenAI credential of their own.
    OpenAi,
    /// Those without any credential.
    Anonymous,
}

/// A set of kinds of callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Callers(u8);

const WHATS: [(&str, What); 4] = [
    ("all", What::All),
    ("sockets", What::Sockets),
    ("offer", What::Offer),
    ("accounts", What::Accounts),
];
const KINDS: [(&str, CallerKind); 4] = [
    ("token", CallerKind::Token),
    ("users", CallerKind::User),
    ("openai", CallerKind::OpenAi),
    ("anonymous", CallerKind::Anonymous),
];

impl Callers {
    /// All of them.
    pub const EVERYONE: Callers = Callers(0b1111);

    /// These.
    #[must_use]
    pub const fn of(kinds: &[CallerKind]) -> Callers {
        let (mut set, mut at) = (0, 0);
        while at < kinds.len() {
            set |= 1 << kinds[at] as u8;
            at += 1;
        }
        Callers(set)
    }

    /// Whether callers of this kind are among them.
    #[must_use]
    pub fn contain(self, kind: CallerKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }
}

impl Limit {
    /// Reads one; `Err` is the end of a sentence that starts with it.
    pub fn parse(text: &str) -> Result<Limit, String> {
        let (left, right) = text.split_once('=').ok_or("has no = sign")?;
        let (what, is_concurrent) = subject(left)?;
        let mut words = right.split_whitespace();
        let amount = words.next().ok_or("has nothing behind its = sign")?;
        let bound = bound(amount, is_concurrent)?;
        let mut limit = Limit {
            what,
            bound,
            per: Per::User,
            callers: Callers::EVERYONE,
        };
        while let Some(word) = words.next() {
            match word.to_ascii_lowercase().as_str() {
                "per" => limit.per = per(words.next().unwrap_or_default())?,
                "for" => {
                    // "a, b" is as good as "a,b".
                    let rest: String = words.by_ref().collect();
                    limit.callers = callers(&rest)?;
                }
                _ => return Err("has a word in it that means nothing here".to_owned()),
            }
        }
        Ok(limit)
    }
}

/// Reads `count/window`.
pub(super) fn rate(text: &str) -> Result<Bound, String> {
    let (count, window) = text
        .split_once('/')
        .ok_or("has no window: write it as 60/1m")?;
    let window =
        value::duration(window.trim()).map_err(|fault| format!("has a window that {fault}"))?;
    let count = count_of(count)?;
    if u128::from(count) > window.as_micros() {
        return Err("has more than one for each microsecond of its window".to_owned());
    }
    Ok(Bound::Rate { count, window })
}

/// A number above 0.
pub(super) fn count_of(text: &str) -> Result<u32, String> {
    match text.trim().parse() {
        Ok(0) | Err(_) => Err("has no number above 0".to_owned()),
        Ok(count) => Ok(count),
    }
}

fn subject(text: &str) -> Result<(What, bool), String> {
    let text = text.trim().to_ascii_lowercase();
    let mut words = text.split_whitespace();
    let (name, is_concurrent) = match (words.next(), words.next(), words.next()) {
        (Some("concurrent"), Some(name), None) => (name, true),
        (Some(name), None, None) => (name, false),
        _ => return Err("does not name one thing to limit".to_owned()),
    };
    let what = WHATS.iter().find(|(known, _)| *known == name);
    what.map(|(_, what)| *what)
        .or_else(|| Family::named(name).map(What::Family))
        .map(|what| (what, is_concurrent))
        .ok_or_else(|| "names nothing that can be limited".to_owned())
}

fn bound(text: &str, is_concurrent: bool) -> Result<Bound, String> {
    match (is_concurrent, text.contains('/')) {
        (true, true) => Err("has a window, which what runs at the same time has not".to_owned()),
        (true, false) => count_of(text).map(Bound::Concurrent),
        (false, _) => rate(text),
    }
}

fn per(text: &str) -> Result<Per, String> {
    match text.to_ascii_lowercase().as_str() {
        "user" => Ok(Per::User),
        "ip" => Ok(Per::Address),
        _ => Err("is per something else than user or ip".to_owned()),
    }
}

fn callers(text: &str) -> Result<Callers, String> {
    let mut found = Vec::new();
    for word in text.to_ascii_lowercase().split(',') {
        let kind = KINDS.iter().find(|(name, _)| *name == word);
        let kind = kind.ok_or("is for callers that are not known")?;
        found.push(kind.1);
    }
    Ok(Callers::of(&found))
}

impl fmt::Display for What {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            What::Family(family) => family.name(),
            what => name_of(&WHATS, what),
        };
        out.write_str(name)
    }
}

fn name_of<T: PartialEq>(table: &[(&'static str, T)], one: &T) -> &'static str {
    table
        .iter()
        .find(|(_, known)| known == one)
        .map_or("", |(name, _)| name)
}

impl fmt::Display for Bound {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::Rate { count, window } => write!(out, "{count}/{}", Span(*window)),
            Bound::Concurrent(count) => write!(out, "{count}"),
        }
    }
}

/// A window in its largest whole unit.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        for (unit, name) in [
            (3_600_000_000_000, "h"),
            (60_000_000_000, "m"),
            (1_000_000_000, "s"),
        ] {
            if nanos.is_multiple_of(unit) {
                return write!(out, "{}{name}", nanos / unit);
            }
        }
        // What the grammar of durations reads back, digit for digit.
        write!(out, "{}.{:09}s", self.0.as_secs(), self.0.subsec_nanos())
    }
}

impl fmt::Display for Limit {
    /// The same for two limits that are the same, however they were written.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Bound::Concurrent(_) = self.bound {
            out.write_str("concurrent ")?;
        }
        let per = match self.per {
            Per::User => "user",
            Per::Address => "ip",
        };
        write!(out, "{}={} per {per}", self.what, self.bound)?;
        if self.callers != Callers::EVERYONE {
            let named = KINDS.iter().filter(|(_, kind)| self.callers.contain(*kind));
            let named: Vec<&str> = named.map(|(name, _)| *name).collect();
            write!(out, " for {}", named.join(","))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn limits_are_read_as_people_write_them() {
        for (text, canonical) in [
            ("chat=60/1m per user", "chat=60/1m per user"),
            ("sockets=10/1m per ip", "sockets=10/1m per ip"),
            (
                "concurrent realtime=5 per user",
                "concurrent realtime=5 per user",
            ),
            ("  ALL = 1000/3600  ", "all=1000/1h per user"),
            ("audio=5/0.5", "audio=5/0.500000000s per user"),
            (
                "offer=100/900s per IP for users, openai,anonymous",
                "offer=100/15m per ip for users,openai,anonymous",
            ),
            (
                "images=1/90 for anonymous,token",
                "images=1/90s per user for token,anonymous",
            ),
            (
                "Concurrent all=20 for token,users,openai,anonymous",
                "concurrent all=20 per user",
            ),
        ] {
            let limit = Limit::parse(text).expect(text);
            assert_eq!(limit.to_string(), canonical, "{text}");
            assert_eq!(Limit::parse(canonical), Ok(limit), "{canonical}");
        }
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for text in [
            "",
            "chat",
            "chat=",
            "=60/1m",
            "chat=60",
            "chat=0/1m",
            "chat=-1/1m",
            "chat=1.5/1m",
            "chat=60/0",
            "chat=60/1d",
            "chat=60/200h",
            "chat=2000001/1s",
            "chat=4294967296/168h",
            "chat audio=1/1m",
            "chats=1/1m",
            "chat=1/1m per",
            "chat=1/1m per key",
            "chat=1/1m user",
            "chat=1/1m for",
            "chat=1/1m for friends",
            "concurrent=5",
            "concurrent chat=5/1m",
            "concurrent chat=0",
        ] {
            let fault = Limit::parse(text).expect_err(text);
            assert!(!fault.ends_with('.'), "{fault}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_so_that_it_is_read_again(
            what in 0..WHATS.len() + Family::ALL.len(),
            count in 1_u32..=1_000_000,
            micros in 1_000_000_u64..600_000_000_000,
            is_concurrent: bool,
            is_per_address: bool,
            kinds in 1_u8..16,
        ) {
            let limit = Limit {
                what: WHATS.get(what).map_or_else(
                    || What::Family(Family::ALL[what - WHATS.len()]),
                    |(_, what)| *what,
                ),
                bound: match is_concurrent {
                    true => Bound::Concurrent(count),
                    false => Bound::Rate { count, window: Duration::from_micros(micros) },
                },
                per: if is_per_address { Per::Address } else { Per::User },
                callers: Callers(kinds),
            };
            prop_assert_eq!(Limit::parse(&limit.to_string()), Ok(limit));
        }

        #[test]
        fn no_text_makes_reading_panic(text in "\\PC{0,40}", item in "[a-z ]{0,12}=[0-9/a-z ]{0,12}( (per|for) [a-z, ]{0,12}){0,2}") {
            let _ = Limit::parse(&text);
            let _ = Limit::parse(&item);
        }
    }
}
