//! Lines to the servers of a Redis: which one has which keys, and the link to it while there is one.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::breaker::Breaker;
use super::cluster::{Address, Slots, has, key_in, slot};
use super::steadiness::Steadiness;

/// Where relays show that they live.
const RELAYS: &str = "openai-relay:relays";

/// A connection that any number of requests share, until it is given up.
pub(super) struct Link {
    pub(super) connection: MultiplexedConnection,
    /// Which one it is, from 1 on, of all that this relay ever had: what was noted under another one the
    /// server may not know of.
    pub(super) epoch: u32,
    /// Each link has its own: a late fault of an earlier one is none of this one's.
    pub(super) breaker: Breaker,
}

/// One server, reached or not.
pub(super) struct Line {
    pub(super) target: Target,
    link: RwLock<Option<Arc<Link>>>,
    /// Told when the link was given up.
    pub(super) lost: Notify,
    /// The cluster has this server no more.
    pub(super) gone: CancellationToken,
    /// How many relays were alive by it when last seen; 0 for not yet.
    pub(super) alive: AtomicU32,
    steadiness: Mutex<Steadiness>,
}

/// Which server it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The one that has all keys.
    Main,
    /// A primary of a cluster.
    Node(Address),
}

impl Line {
    pub(super) fn new(target: Target) -> Line {
        Line {
            target,
            link: RwLock::new(None),
            lost: Notify::new(),
            gone: CancellationToken::new(),
            alive: AtomicU32::new(0),
            steadiness: Mutex::default(),
        }
    }

    /// Where it is, of a server that has others beside it.
    pub(super) fn server(&self) -> Option<String> {
        match &self.target {
            Target::Main => None,
            Target::Node((host, port)) => Some(format!("{host}:{port}")),
        }
    }

    /// The link, while there is one.
    pub(super) fn link(&self) -> Option<Arc<Link>> {
        let link = self.link.read().unwrap_or_else(PoisonError::into_inner);
        link.clone()
    }

    /// Puts a new link in its place.
    pub(super) fn put(&self, link: Link) {
        let mut place = self.link.write().unwrap_or_else(PoisonError::into_inner);
        *place = Some(Arc::new(link));
    }

    /// Gives this link up; false if another one, or none, is in its place.
    pub(super) fn give_up(&self, link: &Arc<Link>) -> bool {
        let mut place = self.link.write().unwrap_or_else(PoisonError::into_inner);
        let is_it = place.as_ref().is_some_and(|one| Arc::ptr_eq(one, link));
        if is_it {
            *place = None;
            self.lost.notify_one();
        }
        is_it
    }

    pub(super) fn steadiness(&self) -> MutexGuard<'_, Steadiness> {
        let steadiness = self.steadiness.lock();
        steadiness.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which server has which keys.
#[derive(Default)]
pub(super) struct Map(Vec<Part>);

struct Part {
    /// `None` for all.
    slots: Option<Slots>,
    /// The key among them under which relays show that they live.
    relays: Option<String>,
    line: Arc<Line>,
}

impl Map {
    /// That of one server.
    pub(super) fn of_one() -> Map {
        Map(vec![Part {
            slots: None,
            relays: Some(RELAYS.to_owned()),
            line: Arc::new(Line::new(Target::Main)),
        }])
    }

    /// That of these primaries. Lines that lead to them already stay.
    pub(super) fn of(primaries: Vec<(Address, Slots)>, before: &Map) -> Map {
        let parts = primaries.into_iter().map(|(address, slots)| {
            let target = Target::Node(address);
            let known = before.lines().find(|line| line.target == target);
            let line = known.cloned();
            Part {
                relays: key_in(&slots, RELAYS),
                slots: Some(slots),
                line: line.unwrap_or_else(|| Arc::new(Line::new(target))),
            }
        });
        Map(parts.collect())
    }

    /// The line to the server that has this key.
    pub(super) fn line_of(&self, key: &str) -> Option<&Arc<Line>> {
        let part = match self.0.as_slice() {
            [part] if part.slots.is_none() => Some(part),
            parts => {
                let slot = slot(key);
                let mut parts = parts.iter();
                parts.find(|part| part.slots.as_ref().is_some_and(|slots| has(slots, slot)))
            }
        };
        part.map(|part| &part.line)
    }

    /// All lines.
    pub(super) fn lines(&self) -> impl Iterator<Item = &Arc<Line>> {
        self.0.iter().map(|part| &part.line)
    }

    /// Whether this line is one of them.
    pub(super) fn has(&self, line: &Arc<Line>) -> bool {
        self.lines().any(|one| Arc::ptr_eq(one, line))
    }

    /// The key under which relays show that they live on this line's server, where it has one.
    pub(super) fn relays_of(&self, line: &Arc<Line>) -> Option<&str> {
        let part = self.0.iter().find(|part| Arc::ptr_eq(&part.line, line));
        part.and_then(|part| part.relays.as_deref())
    }

    /// How many relays were alive when last seen, by the server that saw most of them; 0 for never.
    pub(super) fn alive(&self) -> u32 {
        let alive = self.lines().map(|line| line.alive.load(Ordering::Relaxed));
        alive.max().unwrap_or(0)
    }
}
