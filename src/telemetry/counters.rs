//! Counters: what happened since start, in atomics that cost a few nanoseconds each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use time::OffsetDateTime;

use super::outcome::Outcome;

/// Counts of this process, shared by the gate, which writes, and the operations routes, which read.
#[derive(Debug)]
pub struct Counters {
    started_at: OffsetDateTime,
    start: Instant,
    exchanges: AtomicU64,
    active: AtomicU64,
    completed: AtomicU64,
    client_gone: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    drained: AtomicU64,
    messages: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Snapshot {
    /// Seconds since start.
    pub uptime_s: f64,
    /// Start, in milliseconds since the epoch.
    pub start_time_ms: i128,
    /// Exchanges that were admitted.
    pub exchanges: u64,
    /// Admitted exchanges that still run.
    pub active: u64,
    /// Exchanges that ended as announced.
    pub completed: u64,
    /// Exchanges that the client left, or stopped to read.
    pub client_gone: u64,
    /// Exchanges that the upstream broke, or a bug in the relay.
    pub failed: u64,
    /// Requests that the relay said no to, before or after admission.
    pub refused: u64,
    /// Exchanges that were cut when the relay shut down.
    pub drained: u64,
    /// Messages that went over sessions, either way.
    pub messages: u64,
}

impl Counters {
    /// Counters at zero, started now.
    pub fn new() -> Counters {
        Counters {
            started_at: OffsetDateTime::now_utc(),
            start: Instant::now(),
            exchanges: AtomicU64::new(0),
            active: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            client_gone: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            drained: AtomicU64::new(0),
            messages: AtomicU64::new(0),
        }
    }

    /// An exchange was admitted.
    pub fn started(&self) {
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    /// An admitted exchange ended.
    pub fn ended(&self, outcome: Outcome) {
        self.active.fetch_sub(1, Ordering::Relaxed);
        let counter = match outcome {
            Outcome::Completed | Outcome::Idle => &self.completed,
            Outcome::ClientGone | Outcome::Stalled => &self.client_gone,
            Outcome::Refused | Outcome::Revoked => &self.refused,
            Outcome::Drained => &self.drained,
            Outcome::UpstreamFailed | Outcome::Panicked => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// So many messages more went over a session.
    pub fn relayed(&self, messages: u64) {
        self.messages.fetch_add(messages, Ordering::Relaxed);
    }

    /// A request was refused before admission.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Reads all counters.
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            uptime_s: self.start.elapsed().as_secs_f64(),
            start_time_ms: self.started_at.unix_timestamp_nanos() / 1_000_000,
            exchanges: read(&self.exchanges),
            active: read(&self.active),
            completed: read(&self.completed),
            client_gone: read(&self.client_gone),
            failed: read(&self.failed),
            refused: read(&self.refused),
            drained: read(&self.drained),
            messages: read(&self.messages),
        }
    }
}

impl Default for Counters {
    fn default() -> Counters {
        Counters::new()
    }
}
