//! Where counts are kept: in memory alone, or in Redis with memory going along, so that either can
//! take over from the other where it stood.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio_util::sync::CancellationToken;

use super::bucket::{Quota, Wait};
use super::key::{Key, Keys, Subject};
use super::memory::{Buckets, Running};
use super::redis::{Budget, Seat, Shared, SharedState};
use crate::config::Limiting;

/// How often what is full again is looked for.
const SWEEP: Duration = Duration::from_secs(20);

/// What an operator hears whose relays may not know of each other.
pub(super) const ALONE_WITHOUT_REPLICAS: &str = "REPLICAS is not set: until Redis answers for the first time, each \
     relay takes all of each limit, and so many relays let in as many times as much";

/// All counts.
pub(super) struct Home {
    keys: Keys,
    start: Instant,
    buckets: Buckets,
    running: Running,
    shared: Option<Arc<Shared>>,
    /// How many relays share the limits, where the operator says so.
    replicas: Option<u32>,
}

/// What is counted: a limit, by its place in the list and as it is written, and of whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count<'a> {
    pub(super) limit: usize,
    pub(super) name: &'a str,
    pub(super) subject: Subject<'a>,
}

impl fmt::Display for Count<'_> {
    /// Its key in Redis.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "openai-relay:{}:{}", self.name, self.subject)
    }
}

/// What came of a charge.
pub(super) struct Decision {
    /// What it was decided by: the limit, or this relay's share of it.
    pub(super) quota: Quota,
    /// The debt, or how long to wait.
    pub(super) verdict: Result<u64, Wait>,
}

/// The place of something that runs, given back on drop.
pub(super) struct Lease {
    home: Arc<Home>,
    key: Key,
    _seat: Option<Seat>,
}

impl Home {
    pub(super) fn new(config: &Limiting) -> Result<Home> {
        Ok(Home {
            keys: Keys::new(),
            start: Instant::now(),
            buckets: Buckets::new(),
            running: Running::new(),
            shared: Shared::new(config)?.map(Arc::new),
            replicas: config.replicas,
        })
    }

    /// One request more.
    pub(super) async fn charge(
        &self,
        count: &Count<'_>,
        quota: Quota,
        budget: &mut Budget,
    ) -> Decision {
        let key = self.keys.of(count.limit, count.subject);
        if let Some(shared) = &self.shared {
            let name = count.to_string();
            if let Some(reached) = shared.reach(&name) {
                let epoch = reached.epoch();
                let known = self.buckets.unknown_debt(key, epoch, self.now());
                // Boxed, like all that talks to Redis: a request that does not stays small.
                let asked = shared.change(&reached, &name, quota, true, known, budget);
                if let Some((debt, verdict)) = Box::pin(asked).await {
                    self.buckets.note(key, debt, epoch, self.now());
                    return Decision { quota, verdict };
                }
            }
        }
        let quota = quota.share(self.replicas());
        let verdict = self.buckets.charge(key, quota, self.now());
        Decision { quota, verdict }
    }

    /// One request less.
    pub(super) async fn give_back(&self, count: &Count<'_>, quota: Quota, budget: &mut Budget) {
        let key = self.keys.of(count.limit, count.subject);
        if let Some(shared) = &self.shared {
            let name = count.to_string();
            if let Some(reached) = shared.reach(&name) {
                let asked = shared.change(&reached, &name, quota, false, 0, budget);
                if let Some((debt, _)) = Box::pin(asked).await {
                    self.buckets.note(key, debt, reached.epoch(), self.now());
                    return;
                }
            }
        }
        let quota = quota.share(self.replicas());
        self.buckets.give_back(key, quota, self.now());
    }

    /// One of so many places, if one is free.
    pub(super) async fn lease(
        self: &Arc<Home>,
        count: &Count<'_>,
        most: u32,
        budget: &mut Budget,
    ) -> Option<Lease> {
        let key = self.keys.of(count.limit, count.subject);
        let running = self.running.add(key);
        let mut lease = Lease {
            home: Arc::clone(self),
            key,
            _seat: None,
        };
        let mut is_granted = None;
        if let Some(shared) = &self.shared {
            let name = count.to_string();
            let (seat, answer) = Box::pin(shared.sit(&name, most, budget)).await;
            lease._seat = Some(seat);
            is_granted = answer;
        }
        // Alone, what was granted by Redis counts as well.
        let share = (most / self.replicas()).max(1);
        if !is_granted.unwrap_or(running <= share) {
            return None;
        }
        if let (Some(shared), Some(seat)) = (&self.shared, &lease._seat) {
            shared.hold(seat);
        }
        Some(lease)
    }

    /// How many buckets owe something, as far as this relay knows.
    pub(super) fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// How Redis is doing, where there is one.
    pub(super) fn shared(&self) -> Option<SharedState> {
        self.shared.as_ref().map(|shared| shared.state())
    }

    /// How many relays share the limits.
    pub(super) fn replicas(&self) -> u32 {
        let seen = self.shared.as_ref().map_or(1, |shared| shared.replicas());
        self.replicas.unwrap_or(seen).max(1)
    }

    /// Whether Redis answers, where there is one.
    pub(super) async fn probe(&self) -> Result<(), String> {
        match &self.shared {
            Some(shared) => shared.probe().await,
            None => Ok(()),
        }
    }

    /// Leaves a note for other relays, where they share a Redis.
    pub(super) async fn note(&self, key: &str, text: &str, life: Duration) {
        if let Some(shared) = &self.shared {
            shared.note(key, text, life).await;
        }
    }

    /// A note of another relay's.
    pub(super) async fn noted(&self, key: &str) -> Option<String> {
        self.shared.as_ref()?.noted(key).await
    }

    /// Tries to reach Redis before the first request.
    pub(super) async fn begin(&self) {
        if let Some(shared) = &self.shared
            && shared.begin().await.is_err()
            && self.replicas.is_none()
        {
            tracing::warn!("{ALONE_WITHOUT_REPLICAS}");
        }
    }

    /// Looks after the counts until told to stop.
    pub(super) async fn watch(&self, stop: CancellationToken) {
        let sweep = async {
            loop {
                tokio::time::sleep(SWEEP).await;
                self.buckets.forget(self.now());
            }
        };
        let share = async {
            match &self.shared {
                Some(shared) => shared.watch(stop.clone()).await,
                None => stop.cancelled().await,
            }
        };
        tokio::select! {
            () = sweep => {}
            () = share => {}
        }
    }

    /// Microseconds since start.
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.home.running.remove(self.key);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Lease")
    }
}
