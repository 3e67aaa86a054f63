//! Counts that several relays share in Redis. A request asks it for a moment at the most (20 ms unless
//! the operator says otherwise), and a server that has failed too often not at all: then the relay
//! counts alone what that server counted, and a task of its own tries to come back.

mod breaker;
mod cluster;
mod dial;
mod line;
mod notes;
mod places;
mod script;
mod steadiness;
mod tend;
#[cfg(test)]
mod tests;
mod upkeep;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Result;
use redis::{RedisError, ScriptInvocation};
use tokio::sync::Notify;
use tokio::time::Instant;

use self::dial::Dialer;
use self::line::{Line, Link, Map};
use self::places::{Place, Places};
use self::script::Scripts;
use super::bucket::{Quota, Wait};
use crate::config::Limiting;

/// For how long a place is held that is not renewed: a dead relay's are free by then.
const LEASE: Duration = Duration::from_secs(45);

/// Redis, as far as it can be reached.
pub(super) struct Shared {
    dialer: Arc<Dialer>,
    /// What all requests of one exchange to Redis may take together.
    patience: Duration,
    scripts: Scripts,
    /// Of a cluster it is empty until a node has told of it.
    map: RwLock<Arc<Map>>,
    /// Told when a cluster has to be asked for its map again.
    outdated: Notify,
    /// How many links there were.
    epochs: AtomicU32,
    places: Arc<Places>,
    /// This relay's name among others.
    name: String,
    faults: AtomicU64,
    alone: AtomicU64,
    changes: AtomicU64,
}

/// What is left of the time for Redis in one exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Budget(Option<Instant>);

impl Budget {
    fn deadline(&mut self, patience: Duration) -> Instant {
        *self.0.get_or_insert_with(|| Instant::now() + patience)
    }
}

/// The server that has one key, as it is reached now.
pub(super) struct Reached {
    line: Arc<Line>,
    link: Arc<Link>,
}

impl Reached {
    /// Which state of the server counts are noted under.
    pub(super) fn epoch(&self) -> u32 {
        self.link.epoch
    }
}

/// A place in Redis, given back on drop.
pub(super) struct Seat {
    places: Arc<Places>,
    place: Option<Place>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.places.leave(place);
        }
    }
}

/// How Redis is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedState {
    /// How far it is reached.
    pub reach: Reach,
    /// Requests to Redis that failed.
    pub faults: u64,
    /// Decisions that were taken alone.
    pub alone: u64,
    /// How often it was told that a server was lost or came back, the first time included.
    pub changes: u64,
}

/// How far Redis is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Relays share all counts.
    Whole,
    /// Some servers of a cluster are not reached; what they count each relay counts alone.
    Part,
    /// Each relay counts alone.
    None,
}

impl Shared {
    /// A Redis to be reached, if there is one.
    pub(super) fn new(config: &Limiting) -> Result<Option<Shared>> {
        let Some(dialer) = Dialer::new(config)? else {
            return Ok(None);
        };
        let map = match dialer.nodes() {
            Some(_) => Map::default(),
            None => Map::of_one(),
        };
        Ok(Some(Shared {
            dialer: Arc::new(dialer),
            patience: config.redis_timeout,
            scripts: Scripts::new(),
            map: RwLock::new(Arc::new(map)),
            outdated: Notify::new(),
            epochs: AtomicU32::new(0),
            places: Arc::default(),
            name: uuid::Uuid::new_v4().simple().to_string(),
            faults: AtomicU64::new(0),
            alone: AtomicU64::new(0),
            changes: AtomicU64::new(0),
        }))
    }

    /// Where it is, for people.
    pub(super) fn shown(&self) -> String {
        self.dialer.shown()
    }

    /// How many relays were alive when last seen.
    pub(super) fn replicas(&self) -> u32 {
        self.map().alive().max(1)
    }

    /// How it is doing.
    pub(super) fn state(&self) -> SharedState {
        let map = self.map();
        let all = map.lines().count();
        let reached = map.lines().filter(|line| line.link().is_some()).count();
        let reach = match reached {
            0 => Reach::None,
            some if some < all => Reach::Part,
            _ => Reach::Whole,
        };
        SharedState {
            reach,
            faults: self.faults.load(Ordering::Relaxed),
            alone: self.alone.load(Ordering::Relaxed),
            changes: self.changes.load(Ordering::Relaxed),
        }
    }

    /// The server that has this key; `None` where what it counts must be decided alone.
    pub(super) fn reach(&self, key: &str) -> Option<Reached> {
        let map = self.map();
        let reached = map.line_of(key).and_then(|line| {
            let (line, link) = (Arc::clone(line), line.link()?);
            Some(Reached { line, link })
        });
        if reached.is_none() {
            self.alone.fetch_add(1, Ordering::Relaxed);
        }
        reached
    }

    /// Changes a bucket's debt by one request more, or less; `None` where that must be decided alone.
    /// `known` is what it owes that Redis may have forgotten.
    pub(super) async fn change(
        &self,
        reached: &Reached,
        bucket: &str,
        quota: Quota,
        is_more: bool,
        known: u64,
        budget: &mut Budget,
    ) -> Option<(u64, Result<u64, Wait>)> {
        let interval = quota.interval();
        let sign = if is_more { "" } else { "-" };
        let mut call = self.scripts.bucket.key(bucket);
        call.arg(format!("{sign}{interval}"))
            .arg(quota.burst())
            .arg(known);
        let (is_made, debt): (bool, u64) = self.ask(reached, &call, budget).await?;
        let verdict = match is_made {
            true => Ok(debt),
            false => Err(Wait((debt + interval).saturating_sub(quota.burst()))),
        };
        Some((debt, verdict))
    }

    /// Takes one of so many places; `None` where that must be decided alone, and then the seat is
    /// only known to Redis from the next renewal on.
    pub(super) async fn sit(
        &self,
        set: &str,
        most: u32,
        budget: &mut Budget,
    ) -> (Seat, Option<bool>) {
        let mut seat = Seat {
            places: Arc::clone(&self.places),
            place: None,
        };
        let place = self.places.next(set.into());
        let member = self.member(place.number);
        let mut call = self.scripts.places.key(set);
        call.arg(most).arg(micros(LEASE)).arg(member);
        // Whatever becomes of the call, Redis may have heard of it.
        seat.place = Some(place);
        let answer: Option<(bool, u64)> = match self.reach(set) {
            Some(reached) => self.ask(&reached, &call, budget).await,
            None => None,
        };
        let is_granted = answer.map(|(is_granted, _)| is_granted);
        if is_granted == Some(false) {
            seat.place = None;
        }
        (seat, is_granted)
    }

    /// A seat that was granted, which is renewed from now on.
    pub(super) fn hold(&self, seat: &Seat) {
        if let Some(place) = &seat.place {
            self.places.hold(place);
        }
    }

    /// Asks within the budget; `None` where there is no answer to go by.
    async fn ask<T: redis::FromRedisValue>(
        &self,
        reached: &Reached,
        call: &ScriptInvocation<'_>,
        budget: &mut Budget,
    ) -> Option<T> {
        let Reached { line, link } = reached;
        let deadline = budget.deadline(self.patience);
        if deadline > Instant::now() {
            let mut connection = link.connection.clone();
            let asking = call.invoke_async(&mut connection);
            match tokio::time::timeout_at(deadline, asking).await {
                Ok(Ok(answer)) => {
                    link.breaker.succeeded();
                    return Some(answer);
                }
                Ok(Err(error)) => self.failed(line, link, Some(error)),
                Err(_) => self.failed(line, link, None),
            }
        }
        self.alone.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Counts a fault; the one that is too many ends the link. `None` is no answer in time.
    fn failed(&self, line: &Arc<Line>, link: &Arc<Link>, fault: Option<RedisError>) {
        self.faults.fetch_add(1, Ordering::Relaxed);
        if let Some(error) = &fault
            && error.redirect_node().is_some()
            && self.dialer.nodes().is_some()
        {
            // The server is well, and the key is another's by now.
            self.outdated.notify_one();
            return;
        }
        let is_lost = fault
            .as_ref()
            .is_some_and(RedisError::is_connection_dropped);
        if link.breaker.failed(is_lost) && line.give_up(link) {
            let cause = match fault {
                Some(error) => error.to_string(),
                None => "no answer in time".to_owned(),
            };
            let is_news = line.steadiness().went(Instant::now());
            self.tell_lost(Some(line), is_news, &cause);
            self.outdated.notify_one();
        }
    }

    fn map(&self) -> Arc<Map> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&map)
    }

    fn member(&self, number: u64) -> String {
        format!("{}:{number}", self.name)
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
