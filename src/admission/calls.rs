//! Calls: whose each call and Live session is, so that nobody hangs up, hears or steers another one's. Kept in
//! memory for as long as a call can last, and in Redis where relays share one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::drain::Drain;
use super::limit::Limiter;
use super::principal::Principal;
use crate::error::{Kind, Refusal};
use crate::store::Role;

/// How long a call is remembered at least: OpenAI ends one after an hour (wire.md 5.4).
const LIFE: Duration = Duration::from_secs(2 * 3600);
/// How many calls each half remembers.
const HALF: usize = 100_000;
/// The longest id that is looked at, in bytes.
const LONGEST: usize = 256;

/// Whose calls are whose.
pub struct Calls {
    known: Mutex<Known>,
    limiter: Arc<Limiter>,
}

/// The younger half, and the older one, which is forgotten when the younger is full or old.
struct Known {
    young: HashMap<Box<str>, Box<str>>,
    old: HashMap<Box<str>, Box<str>>,
    since: Instant,
}

impl Calls {
    /// No calls so far; others are asked about where this shares its counts.
    pub fn new(limiter: Arc<Limiter>) -> Calls {
        Calls {
            known: Mutex::new(Known {
                young: HashMap::new(),
                old: HashMap::new(),
                since: Instant::now(),
            }),
            limiter,
        }
    }

    /// Notes that this caller made a call. Who has no name of its own here has none to own it by.
    pub async fn note(&self, principal: &Principal, id: &str) {
        if let Some(owner) = principal.name() {
            self.keep(id, owner);
            self.share(id, owner).await;
        }
    }

    fn keep(&self, id: &str, owner: &str) {
        if id.len() <= LONGEST {
            self.lock().put(id, owner);
        }
    }

    async fn share(&self, id: &str, owner: &str) {
        if id.len() <= LONGEST {
            self.limiter.note(&key(id), owner, LIFE).await;
        }
    }

    /// Whether a caller may have to do with a call. What nobody noted is left to the upstream for
    /// those who run the relay, and for those who bring OpenAI's own credential.
    pub(super) async fn check(&self, principal: &Principal, id: &str) -> Result<(), Refusal> {
        let is_whose = match self.owner(id).await {
            Some(owner) => principal.name() == Some(&*owner),
            None => match principal {
                Principal::RelayToken
                | Principal::Ephemeral(_)
                | Principal::ClientKey(_)
                | Principal::Anonymous => true,
                Principal::Account(standing) => standing.account().role == Role::Admin,
                Principal::Key(_) | Principal::Sealed(_) => false,
            },
        };
        match is_whose {
            true => Ok(()),
            false => Err(Refusal::new(
                Kind::NotFound,
                "There is no such call of this credential's.",
            )),
        }
    }

    async fn owner(&self, id: &str) -> Option<Box<str>> {
        if id.len() > LONGEST {
            return None;
        }
        if let Some(owner) = self.lock().get(id) {
            return Some(owner);
        }
        self.limiter.noted(&key(id)).await.map(String::into)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes one call, from where nothing can be awaited.
pub struct Noter {
    calls: Arc<Calls>,
    owner: Box<str>,
    drain: Arc<Drain>,
}

impl Noter {
    pub(super) fn new(calls: &Arc<Calls>, owner: &str, drain: &Arc<Drain>) -> Noter {
        Noter {
            calls: Arc::clone(calls),
            owner: owner.into(),
            drain: Arc::clone(drain),
        }
    }

    /// The call has this id.
    pub fn note(self, id: &str) {
        let Noter {
            calls,
            owner,
            drain,
        } = self;
        calls.keep(id, &owner);
        let id = id.to_owned();
        drain.finish(async move { calls.share(&id, &owner).await });
    }
}

fn key(id: &str) -> String {
    format!("openai-relay:call:{id}")
}

impl Known {
    fn get(&self, id: &str) -> Option<Box<str>> {
        self.young.get(id).or_else(|| self.old.get(id)).cloned()
    }

    fn put(&mut self, id: &str, owner: &str) {
        if self.young.len() >= HALF || self.since.elapsed() > LIFE {
            self.old = std::mem::take(&mut self.young);
            self.since = Instant::now();
        }
        self.young.insert(id.into(), owner.into());
    }
}
