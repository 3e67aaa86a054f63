//! Drain: the relay's way out. One word about the phase, and a count of what is still running.

use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use aws_lc_rs::rand;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::told::Told;

const SERVING: u8 = 0;
const ANNOUNCED: u8 = 1;
const REFUSING: u8 = 2;
const CUTTING: u8 = 3;

/// Shared by the gate, which asks it, the readiness route, which tells of it, and the server,
/// which drives it.
#[derive(Debug, Default)]
pub struct Drain {
    phase: AtomicU8,
    running: TaskTracker,
    refusing: CancellationToken,
    /// When sessions leave, and when what is left of them is cut.
    departures: OnceLock<(Range<Instant>, Instant)>,
}

impl Drain {
    /// A relay that serves.
    pub fn new() -> Drain {
        Drain {
            phase: AtomicU8::new(SERVING),
            running: TaskTracker::new(),
            refusing: CancellationToken::new(),
            departures: OnceLock::new(),
        }
    }

    /// `/ready` says draining from now on; new work is still taken.
    pub fn announce(&self) {
        self.phase.fetch_max(ANNOUNCED, Ordering::Relaxed);
    }

    /// New work is refused from now on; sessions leave one by one in the course of `departures`, and
    /// end at the `deadline` whatever they are at.
    pub fn refuse(&self, departures: Range<Instant>, deadline: Instant) {
        let _ = self.departures.set((departures, deadline));
        self.phase.fetch_max(REFUSING, Ordering::Relaxed);
        self.running.close();
        self.refusing.cancel();
    }

    /// Whether load balancers should look elsewhere.
    pub fn is_announced(&self) -> bool {
        self.phase.load(Ordering::Relaxed) >= ANNOUNCED
    }

    /// Whether new work is refused.
    pub fn is_refusing(&self) -> bool {
        self.phase.load(Ordering::Relaxed) >= REFUSING
    }

    /// What still runs is cut from now on.
    pub fn cut(&self) {
        self.phase.fetch_max(CUTTING, Ordering::Relaxed);
    }

    /// Whether time is up for what still runs.
    pub fn is_cutting(&self) -> bool {
        self.phase.load(Ordering::Relaxed) >= CUTTING
    }

    /// How much runs: exchanges, and what is done to its end without its client.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Ends when, after `refuse`, nothing runs any more.
    pub async fn finished(&self) {
        self.running.wait().await;
    }

    /// Runs what must be done to its end, and counts it among what runs.
    pub(super) fn finish(&self, work: impl Future<Output = ()> + Send + 'static) {
        // Without a runtime the process ends, and there is nothing to run it on.
        if let Ok(runtime) = Handle::try_current() {
            self.running.spawn_on(work, &runtime);
        }
    }

    pub(super) fn token(&self) -> TaskTrackerToken {
        self.running.token()
    }

    pub(super) fn departure(self: &Arc<Drain>) -> Departure {
        Departure {
            drain: Arc::clone(self),
            refusing: Told::by(self.refusing.clone()),
        }
    }
}

/// Tells one session when to leave.
#[derive(Debug)]
pub struct Departure {
    drain: Arc<Drain>,
    refusing: Told,
}

impl Departure {
    /// Ready once the relay refuses new work: with a time of the session's own to leave at, so that
    /// not all clients connect elsewhere at once, and the deadline.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Instant, Instant)> {
        // The token takes a lock to answer, and is cancelled later than this is true.
        if !self.drain.is_refusing() && self.refusing.has_asked(cx) {
            return Poll::Pending;
        }
        ready!(self.refusing.poll(cx));
        let now = Instant::now();
        let departures = self.drain.departures.get().cloned();
        let (window, deadline) = departures.unwrap_or((now..now, now));
        let mut dice = [0; 4];
        // Without randomness all leave at the start, which is safe too.
        let _ = rand::fill(&mut dice);
        let share = f64::from(u32::from_ne_bytes(dice)) / f64::from(u32::MAX);
        let length = window.end.saturating_duration_since(window.start);
        Poll::Ready((window.start + length.mul_f64(share), deadline))
    }
}
