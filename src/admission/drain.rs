//! Drain: the relay's way out. One word about the phase, and a count of what is still running.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
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

/// Shared by the gate, which asks it, the readiness route, which tells of it, the server, which
/// drives it, and its connections, which wait for it.
#[derive(Debug, Default)]
pub struct Drain {
    phase: AtomicU8,
    running: TaskTracker,
    refusing: CancellationToken,
    cutting: CancellationToken,
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
            cutting: CancellationToken::new(),
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
        self.has_come_to(ANNOUNCED)
    }

    /// Whether new work is refused.
    pub fn is_refusing(&self) -> bool {
        self.has_come_to(REFUSING)
    }

    /// What still runs is cut from now on.
    pub fn cut(&self) {
        self.phase.fetch_max(CUTTING, Ordering::Relaxed);
        self.cutting.cancel();
    }

    /// Whether time is up for what still runs.
    pub fn is_cutting(&self) -> bool {
        self.has_come_to(CUTTING)
    }

    fn has_come_to(&self, phase: u8) -> bool {
        self.phase.load(Ordering::Relaxed) >= phase
    }

    /// Ends once new work is refused.
    pub fn closing(self: &Arc<Drain>) -> Closing {
        Notice::new(self, &self.refusing)
    }

    /// Ends once time is up.
    pub fn cutting(self: &Arc<Drain>) -> Cutting {
        Notice::new(self, &self.cutting)
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
        Departure(self.closing())
    }
}

/// Ends once new work is refused.
pub type Closing = Notice<REFUSING>;
/// Ends once time is up for what still runs.
pub type Cutting = Notice<CUTTING>;

/// Tells one task that the drain has come to a phase.
#[derive(Debug)]
pub struct Notice<const PHASE: u8> {
    drain: Arc<Drain>,
    told: Told,
}

impl<const PHASE: u8> Notice<PHASE> {
    fn new(drain: &Arc<Drain>, token: &CancellationToken) -> Self {
        Notice {
            drain: Arc::clone(drain),
            told: Told::by(token.clone()),
        }
    }
}

impl<const PHASE: u8> Future for Notice<PHASE> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // The token takes a lock to answer, and is cancelled later than this is true.
        if !self.drain.has_come_to(PHASE) && self.told.has_asked(cx) {
            return Poll::Pending;
        }
        self.told.poll(cx)
    }
}

/// Tells one session when to leave.
#[derive(Debug)]
pub struct Departure(Closing);

impl Departure {
    /// Ready once the relay refuses new work: with a time of the session's own to leave at, so that
    /// not all clients connect elsewhere at once, and the deadline.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Instant, Instant)> {
        ready!(Pin::new(&mut self.0).poll(cx));
        let now = Instant::now();
        let departures = self.0.drain.departures.get().cloned();
        let (window, deadline) = departures.unwrap_or((now..now, now));
        let mut dice = [0; 4];
        // Without randomness all leave at the start, which is safe too.
        let _ = rand::fill(&mut dice);
        let share = f64::from(u32::from_ne_bytes(dice)) / f64::from(u32::MAX);
        let length = window.end.saturating_duration_since(window.start);
        Poll::Ready((window.start + length.mul_f64(share), deadline))
    }
}
