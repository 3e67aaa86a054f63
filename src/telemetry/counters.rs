//! Counters: what happened since start. Each core counts for itself, without an atomic step, and few
//! threads share.

use std::array;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::histogram::{Durations, Histogram};
use super::lane::Lane;
use super::outcome::Outcome;
use super::reason::REASONS;
use crate::error::Kind;

const LANES: usize = Lane::ALL.len();
const OUTCOMES: usize = Outcome::ALL.len();
/// Threads with a shard of their own, beside those of the cores.
const OTHERS: usize = 8;

thread_local! {
    /// How many threads counted before this one.
    static RANK: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

/// Counts of this process, shared by all that count and by the operations routes, which read.
#[derive(Debug)]
pub struct Counters {
    started_at: OffsetDateTime,
    start: Instant,
    /// One for each thread that counts early; the last is for all others.
    shards: Box<[Shard]>,
}

/// Who counts in a shard.
#[derive(Clone, Copy, Debug)]
pub(super) enum Writer {
    /// The calling thread alone: it needs no atomic step to add.
    Sole,
    /// Others may count at the same moment.
    OneOfMany,
}

/// The counts of one thread, or of some.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    lanes: [LaneCells; LANES],
    messages: [AtomicU64; 2],
    turned_away: AtomicU64,
    refusals: [AtomicU64; REASONS.len()],
    faults: [AtomicU64; REASONS.len()],
    failed_dials: [AtomicU64; REASONS.len()],
    dials: Histogram,
}

#[derive(Debug, Default)]
struct LaneCells {
    started: AtomicU64,
    ended: [AtomicU64; OUTCOMES],
    bytes: [AtomicU64; 2],
    first_byte: Histogram,
}

/// What is counted of an admitted exchange when it has ended.
#[derive(Debug)]
pub struct Ended {
    /// What kind of exchange it was.
    pub lane: Lane,
    /// How it ended.
    pub outcome: Outcome,
    /// Why the relay answered itself, where it did.
    pub reason: Option<Kind>,
    /// What the upstream did wrong, where it did.
    pub fault: Option<Kind>,
    /// Body bytes from the client that were not yet counted.
    pub bytes_up: u64,
    /// Body bytes to the client that were not yet counted.
    pub bytes_down: u64,
    /// From the request's head to the answer's.
    pub first_byte: Option<Duration>,
}

/// What went over a session since it was last counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages from the client.
    pub messages_up: u64,
    /// Messages to the client.
    pub messages_down: u64,
    /// Bytes of their payload.
    pub bytes_up: u64,
    /// Bytes of their payload.
    pub bytes_down: u64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Snapshot {
    /// Seconds since start.
    pub uptime_s: f64,
    /// Start, in milliseconds since the epoch.
    pub start_time_ms: i128,
    /// By lane, in the order of [`Lane::ALL`].
    pub lanes: [LaneCounts; LANES],
    /// Messages that went over sessions, up and down.
    pub messages: [u64; 2],
    /// Requests that were refused before admission.
    pub turned_away: u64,
    /// How long connections to the upstream took to be made.
    pub dials: Durations,
    refusals: [u64; REASONS.len()],
    faults: [u64; REASONS.len()],
    failed_dials: [u64; REASONS.len()],
}

/// The counts of one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LaneCounts {
    /// Exchanges that were admitted.
    pub started: u64,
    /// Exchanges that ended, in the order of [`Outcome::ALL`].
    pub ended: [u64; OUTCOMES],
    /// Body bytes, up and down.
    pub bytes: [u64; 2],
    /// From the request's head to the answer's.
    pub first_byte: Durations,
}

impl Traffic {
    /// Messages and bytes of their payload, from the client and to it.
    pub fn of(up: (u32, u32), down: (u32, u32)) -> Traffic {
        Traffic {
            messages_up: up.0.into(),
            messages_down: down.0.into(),
            bytes_up: up.1.into(),
            bytes_down: down.1.into(),
        }
    }

    /// So much more.
    pub fn add(&mut self, more: &Traffic) {
        self.messages_up += more.messages_up;
        self.messages_down += more.messages_down;
        self.bytes_up += more.bytes_up;
        self.bytes_down += more.bytes_down;
    }
}

fn zeros<const N: usize>() -> [AtomicU64; N] {
    array::from_fn(|_| AtomicU64::new(0))
}

impl Writer {
    pub(super) fn add(self, counter: &AtomicU64, number: u64) {
        match self {
            _ if number == 0 => {}
            Writer::Sole => {
                let sum = counter.load(Ordering::Relaxed).wrapping_add(number);
                counter.store(sum, Ordering::Relaxed);
            }
            Writer::OneOfMany => {
                counter.fetch_add(number, Ordering::Relaxed);
            }
        }
    }

    /// The one more for this reason.
    fn count(self, counters: &[AtomicU64], reason: Kind) {
        if let Some(counter) = counters.get(reason as usize) {
            self.add(counter, 1);
        }
    }
}

fn sum(sums: &mut [u64], counters: &[AtomicU64]) {
    for (sum, counter) in sums.iter_mut().zip(counters) {
        *sum += counter.load(Ordering::Relaxed);
    }
}

impl Shard {
    fn new() -> Shard {
        Shard {
            lanes: array::from_fn(|_| LaneCells::default()),
            messages: zeros(),
            turned_away: AtomicU64::new(0),
            refusals: zeros(),
            faults: zeros(),
            failed_dials: zeros(),
            dials: Histogram::default(),
        }
    }

    fn lane(&self, lane: Lane) -> &LaneCells {
        &self.lanes[lane.place()]
    }
}

impl Counters {
    /// Counters at zero, started now.
    pub fn new() -> Counters {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Counters {
            started_at: OffsetDateTime::now_utc(),
            start: Instant::now(),
            shards: (0..=cores + OTHERS).map(|_| Shard::new()).collect(),
        }
    }

    /// Where the calling thread counts.
    fn shard(&self) -> (&Shard, Writer) {
        let (rank, last) = (RANK.with(|rank| *rank), self.shards.len() - 1);
        match rank < last {
            true => (&self.shards[rank], Writer::Sole),
            false => (&self.shards[last], Writer::OneOfMany),
        }
    }

    /// An exchange was admitted.
    pub fn started(&self, lane: Lane) {
        let (shard, writer) = self.shard();
        writer.add(&shard.lane(lane).started, 1);
    }

    /// An admitted exchange ended.
    pub fn ended(&self, exchange: &Ended) {
        let (shard, writer) = self.shard();
        let lane = shard.lane(exchange.lane);
        writer.add(&lane.ended[exchange.outcome as usize], 1);
        writer.add(&lane.bytes[0], exchange.bytes_up);
        writer.add(&lane.bytes[1], exchange.bytes_down);
        if let Some(took) = exchange.first_byte {
            lane.first_byte.observe(took, writer);
        }
        if let Some(reason) = exchange.reason {
            writer.count(&shard.refusals, reason);
        }
        if let Some(fault) = exchange.fault {
            writer.count(&shard.faults, fault);
        }
    }

    /// So much more went over a session.
    pub fn relayed(&self, traffic: &Traffic) {
        let (shard, writer) = self.shard();
        let lane = shard.lane(Lane::Socket);
        writer.add(&shard.messages[0], traffic.messages_up);
        writer.add(&shard.messages[1], traffic.messages_down);
        writer.add(&lane.bytes[0], traffic.bytes_up);
        writer.add(&lane.bytes[1], traffic.bytes_down);
    }

    /// A request was refused before admission.
    pub fn refused(&self, reason: Kind) {
        let (shard, writer) = self.shard();
        writer.add(&shard.turned_away, 1);
        writer.count(&shard.refusals, reason);
    }

    /// A connection to the upstream was made.
    pub fn dialled(&self, took: Duration) {
        let (shard, writer) = self.shard();
        shard.dials.observe(took, writer);
    }

    /// No connection to the upstream could be made.
    pub fn dial_failed(&self, why: Kind) {
        let (shard, writer) = self.shard();
        writer.count(&shard.failed_dials, why);
    }

    /// Reads all counters. Ends are read before starts, so that nothing has ended that did not start.
    pub fn snapshot(&self) -> Snapshot {
        let mut all = Snapshot {
            uptime_s: self.start.elapsed().as_secs_f64(),
            start_time_ms: self.started_at.unix_timestamp_nanos() / 1_000_000,
            lanes: [LaneCounts::default(); LANES],
            messages: [0; 2],
            turned_away: 0,
            dials: Durations::default(),
            refusals: [0; REASONS.len()],
            faults: [0; REASONS.len()],
            failed_dials: [0; REASONS.len()],
        };
        for shard in &self.shards {
            for (sums, cells) in all.lanes.iter_mut().zip(&shard.lanes) {
                sum(&mut sums.ended, &cells.ended);
                sum(&mut sums.bytes, &cells.bytes);
                cells.first_byte.add_to(&mut sums.first_byte);
            }
            sum(&mut all.messages, &shard.messages);
            all.turned_away += shard.turned_away.load(Ordering::Relaxed);
            sum(&mut all.refusals, &shard.refusals);
            sum(&mut all.faults, &shard.faults);
            sum(&mut all.failed_dials, &shard.failed_dials);
            shard.dials.add_to(&mut all.dials);
        }
        for shard in &self.shards {
            for (sums, cells) in all.lanes.iter_mut().zip(&shard.lanes) {
                sums.started += cells.started.load(Ordering::Relaxed);
            }
        }
        all
    }
}

impl Default for Counters {
    fn default() -> Counters {
        Counters::new()
    }
}

impl LaneCounts {
    /// Admitted exchanges that still run.
    pub fn running(&self) -> u64 {
        let ended: u64 = self.ended.iter().sum();
        self.started.saturating_sub(ended)
    }
}

impl Snapshot {
    /// Exchanges that were admitted.
    pub fn exchanges(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.started).sum()
    }

    /// Admitted exchanges that still run.
    pub fn running(&self) -> u64 {
        self.lanes.iter().map(LaneCounts::running).sum()
    }

    /// Admitted exchanges that ended in one of these ways.
    pub fn ended(&self, outcomes: &[Outcome]) -> u64 {
        let of = |lane: &LaneCounts| -> u64 {
            outcomes.iter().map(|one| lane.ended[*one as usize]).sum()
        };
        self.lanes.iter().map(of).sum()
    }

    /// Requests that the relay answered itself, by reason: turned away, or in the upstream's place.
    pub fn refusals(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        REASONS.into_iter().zip(self.refusals)
    }

    /// Exchanges that the upstream broke, by what it did.
    pub fn faults(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        REASONS.into_iter().zip(self.faults).filter(is_upstreams)
    }

    /// Connections to the upstream that could not be made, by what went wrong.
    pub fn failed_dials(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        let failed = REASONS.into_iter().zip(self.failed_dials);
        failed.filter(is_upstreams)
    }
}

fn is_upstreams((kind, _): &(Kind, u64)) -> bool {
    kind.code().starts_with("upstream_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::Family;

    const CHAT: Lane = Lane::Http(Family::Chat);

    fn count_one(counters: &Counters) {
        counters.started(CHAT);
        counters.started(Lane::Socket);
        counters.refused(Kind::Forbidden);
        counters.ended(&Ended {
            lane: CHAT,
            outcome: Outcome::UpstreamFailed,
            reason: Some(Kind::UpstreamDns),
            fault: Some(Kind::UpstreamDns),
            bytes_up: 2,
            bytes_down: 3,
            first_byte: Some(Duration::from_millis(1)),
        });
    }

    #[test]
    fn what_many_threads_count_comes_to_one_sum() {
        let counters = Counters::new();
        thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        count_one(&counters);
                    }
                });
            }
        });
        let now = counters.snapshot();
        assert_eq!((now.exchanges(), now.running()), (8000, 4000));
        assert_eq!(now.ended(&[Outcome::UpstreamFailed]), 4000);
        let chat = now.lanes[CHAT.place()];
        assert_eq!((chat.bytes, chat.first_byte.count()), ([8000, 12000], 4000));
        let refusals: Vec<_> = now.refusals().filter(|(_, count)| *count > 0).collect();
        assert_eq!(
            refusals,
            [(Kind::Forbidden, 4000), (Kind::UpstreamDns, 4000)]
        );
        assert_eq!(now.faults().map(|(_, count)| count).sum::<u64>(), 4000);
    }
}
