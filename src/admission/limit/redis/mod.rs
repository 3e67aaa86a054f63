//! Counts that several relays share in Redis. A request asks it for a moment at the most (20 ms unless
//! the operator says otherwise), and not at all once it has failed too often: then the relay counts
//! alone, and a task of its own tries to come back.

mod breaker;
mod dial;
mod notes;
mod places;
mod script;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Result;
use redis::{Cmd, Pipeline, RedisError, RedisResult, ScriptInvocation};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::breaker::Breaker;
use self::dial::{Dialer, Link};
use self::places::{Place, Places};
use self::script::Scripts;
use super::bucket::{Quota, Wait};
use crate::config::Limiting;

/// What it is given up after in the background, where nobody waits.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a Redis that is gone is tried again.
const RETRY: Duration = Duration::from_millis(250);
/// How often a link is tried that nobody may be using, so that the next request finds a good one.
const PROBE: Duration = Duration::from_secs(1);
/// How often this relay shows that it lives, and renews its places.
const BEAT: Duration = Duration::from_secs(10);
/// For how long a relay counts as alive that has not shown it.
const ALIVE: Duration = Duration::from_secs(30);
/// For how long a place is held that is not renewed: a dead relay's are free by then.
const LEASE: Duration = Duration::from_secs(45);
/// How many commands go at once.
const BATCH: usize = 500;
/// Where relays show that they live.
const RELAYS: &str = "openai-relay:relays";
/// More than any number of relays.
const ANY: u64 = 1 << 50;

/// Redis, as far as it can be reached.
pub(super) struct Shared {
    dialer: Dialer,
    /// What all requests of one exchange to Redis may take together.
    patience: Duration,
    scripts: Scripts,
    /// `None` while the relay counts alone.
    link: RwLock<Option<Link>>,
    breaker: Breaker,
    /// Told when the link was given up.
    lost: Notify,
    /// Which link it is, from 1 on: what was noted under an earlier one Redis may have forgotten.
    epoch: AtomicU32,
    places: Arc<Places>,
    /// This relay's name among others.
    name: String,
    replicas: AtomicU32,
    faults: AtomicU64,
    alone: AtomicU64,
    changes: AtomicU64,
}

/// What is left of the time for Redis in one exchange.
#[derive(Debug, Default)]
pub(super) struct Budget(Option<Instant>);

impl Budget {
    fn deadline(&mut self, patience: Duration) -> Instant {
        *self.0.get_or_insert_with(|| Instant::now() + patience)
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
    /// Whether relays share their counts now.
    pub is_reached: bool,
    /// Requests to Redis that failed.
    pub faults: u64,
    /// Decisions that were taken alone.
    pub alone: u64,
    /// How often it was lost or came back, the first time included.
    pub changes: u64,
}

impl Shared {
    /// A Redis to be reached, if there is one.
    pub(super) fn new(config: &Limiting) -> Result<Option<Shared>> {
        let dialer = Dialer::new(config)?;
        Ok(dialer.map(|dialer| Shared {
            dialer,
            patience: config.redis_timeout,
            scripts: Scripts::new(),
            link: RwLock::new(None),
            breaker: Breaker::default(),
            lost: Notify::new(),
            epoch: AtomicU32::new(0),
            places: Arc::default(),
            name: uuid::Uuid::new_v4().simple().to_string(),
            replicas: AtomicU32::new(1),
            faults: AtomicU64::new(0),
            alone: AtomicU64::new(0),
            changes: AtomicU64::new(0),
        }))
    }

    /// How many relays were alive when last seen.
    pub(super) fn replicas(&self) -> u32 {
        self.replicas.load(Ordering::Relaxed)
    }

    /// Which state of Redis counts are noted under.
    pub(super) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// How it is doing.
    pub(super) fn state(&self) -> SharedState {
        SharedState {
            is_reached: self.link().is_some(),
            faults: self.faults.load(Ordering::Relaxed),
            alone: self.alone.load(Ordering::Relaxed),
            changes: self.changes.load(Ordering::Relaxed),
        }
    }

    /// Changes a bucket's debt by one request more, or less; `None` where that must be decided alone.
    /// `known` is what it owes that Redis may have forgotten.
    pub(super) async fn change(
        &self,
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
        let (is_made, debt): (bool, u64) = self.ask(&call, budget).await?;
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
        let answer: Option<(bool, u64)> = self.ask(&call, budget).await;
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
        call: &ScriptInvocation<'_>,
        budget: &mut Budget,
    ) -> Option<T> {
        let Some(mut link) = self.link() else {
            self.alone.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let deadline = budget.deadline(self.patience);
        if deadline <= Instant::now() {
            self.alone.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let asked = tokio::time::timeout_at(deadline, call.invoke_async(&mut link)).await;
        let fault = match asked {
            Ok(Ok(answer)) => {
                self.breaker.succeeded();
                return Some(answer);
            }
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        self.alone.fetch_add(1, Ordering::Relaxed);
        self.failed(fault);
        None
    }

    /// Counts a fault; the one that is too many ends the link. `None` is no answer in time.
    fn failed(&self, fault: Option<RedisError>) {
        self.faults.fetch_add(1, Ordering::Relaxed);
        let is_lost = fault
            .as_ref()
            .is_some_and(RedisError::is_connection_dropped);
        if !self.breaker.failed(is_lost) {
            return;
        }
        let link = self
            .link
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if link.is_some() {
            let cause = match fault {
                Some(error) => error.to_string(),
                None => "no answer in time".to_owned(),
            };
            self.warn(&cause);
            self.lost.notify_one();
        }
    }

    fn warn(&self, cause: &str) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            redis = self.dialer.shown(),
            cause,
            "Redis does not answer: limits are counted by this relay alone until it does"
        );
    }

    fn link(&self) -> Option<Link> {
        self.link
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn member(&self, number: u64) -> String {
        format!("{}:{number}", self.name)
    }
}

/// What the task does that looks after the link.
impl Shared {
    /// Tries to reach Redis for the first time, and says what came of it.
    pub(super) async fn begin(&self) {
        if let Err(cause) = self.connect().await {
            self.warn(&cause);
        }
    }

    /// Keeps the link, or tries to come back to one, until told to stop.
    pub(super) async fn watch(&self, stop: CancellationToken) {
        let work = async {
            loop {
                match self.link() {
                    Some(link) => self.keep(link).await,
                    None => {
                        if self.connect().await.is_err() {
                            tokio::time::sleep(RETRY).await;
                        }
                    }
                }
            }
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
        // What this relay held is free at once, and not only when it runs out.
        let _ = tokio::time::timeout(PATIENCE, self.go()).await;
    }

    /// Looks after a link until it is lost.
    async fn keep(&self, mut link: Link) {
        let mut beat = tokio::time::interval_at(Instant::now() + BEAT, BEAT);
        let mut probe = tokio::time::interval_at(Instant::now() + PROBE, PROBE);
        loop {
            let done = tokio::select! {
                () = self.lost.notified() => return,
                _ = beat.tick() => self.beat(&mut link).await,
                _ = probe.tick() => redis::cmd("PING").exec_async(&mut link).await,
                () = self.places.changed.notified() => self.clear(&mut link).await,
            };
            if let Err(error) = done {
                self.failed(Some(error));
            }
            if self.link().is_none() {
                return;
            }
        }
    }

    /// Makes a new link and tells Redis what it has missed; then requests use it.
    async fn connect(&self) -> Result<(), String> {
        let connecting = async {
            let mut link = self.dialer.dial().await?;
            self.beat(&mut link).await?;
            self.clear(&mut link).await?;
            RedisResult::Ok(link)
        };
        let link = match tokio::time::timeout(PATIENCE * 2, connecting).await {
            Ok(Ok(link)) => link,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("no answer in time".to_owned()),
        };
        self.epoch.fetch_add(1, Ordering::Relaxed);
        self.breaker.succeeded();
        *self.link.write().unwrap_or_else(PoisonError::into_inner) = Some(link);
        self.changes.fetch_add(1, Ordering::Relaxed);
        tracing::info!(
            redis = self.dialer.shown(),
            replicas = self.replicas(),
            "limits are shared in Redis"
        );
        Ok(())
    }

    /// Shows that this relay lives, learns who else does, and renews what is held.
    async fn beat(&self, link: &mut Link) -> RedisResult<()> {
        let mut call = self.scripts.places.key(RELAYS);
        call.arg(ANY).arg(micros(ALIVE)).arg(&self.name);
        let (_, alive): (bool, u64) = call.invoke_async(link).await?;
        let alive = u32::try_from(alive).unwrap_or(u32::MAX).max(1);
        self.replicas.store(alive, Ordering::Relaxed);
        let held = self.places.held();
        if held.is_empty() {
            return Ok(());
        }
        let (seconds, part): (u64, u64) = redis::cmd("TIME").query_async(link).await?;
        let until = seconds * 1_000_000 + part + micros(LEASE);
        let mut commands = Vec::new();
        for (set, numbers) in held {
            for some in numbers.chunks(BATCH) {
                let mut add = redis::cmd("ZADD");
                add.arg(&*set);
                for number in some {
                    add.arg(until).arg(self.member(*number));
                }
                commands.push(add);
            }
            commands.push(
                redis::cmd("PEXPIRE")
                    .arg(&*set)
                    .arg(micros(LEASE) / 1000)
                    .to_owned(),
            );
        }
        send(link, commands).await
    }

    /// Gives back what was left.
    async fn clear(&self, link: &mut Link) -> RedisResult<()> {
        let left = self.places.take_left();
        let mut sets: HashMap<&str, Vec<String>> = HashMap::new();
        for place in &left {
            let set = sets.entry(&place.set).or_default();
            set.push(self.member(place.number));
        }
        let commands = sets.iter().flat_map(|(set, members)| {
            let chunks = members.chunks(BATCH);
            chunks.map(|some| redis::cmd("ZREM").arg(*set).arg(some).to_owned())
        });
        let done = send(link, commands.collect()).await;
        if done.is_err() {
            self.places.put_back(left);
        }
        done
    }

    /// Leaves Redis as if this relay had never been.
    async fn go(&self) -> RedisResult<()> {
        let Some(mut link) = self.link() else {
            return Ok(());
        };
        self.clear(&mut link).await?;
        let mut leave = redis::cmd("ZREM");
        leave.arg(RELAYS).arg(&self.name);
        leave.exec_async(&mut link).await
    }

    /// Whether it answers.
    pub(super) async fn probe(&self) -> Result<(), String> {
        let Some(mut link) = self.link() else {
            return Err("it is not reached; this relay counts alone".to_owned());
        };
        let ping = redis::cmd("PING").exec_async(&mut link).await;
        ping.map_err(|error| error.to_string())
    }
}

/// Sends commands whose answers do not matter. The nodes of a cluster take them one by one.
async fn send(link: &mut Link, commands: Vec<Cmd>) -> RedisResult<()> {
    if let Link::Cluster(_) = link {
        for command in commands {
            command.exec_async(link).await?;
        }
        return Ok(());
    }
    for some in commands.chunks(BATCH) {
        let mut pipeline = Pipeline::new();
        for command in some {
            pipeline.add_command(command.clone());
        }
        pipeline.exec_async(link).await?;
    }
    Ok(())
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
