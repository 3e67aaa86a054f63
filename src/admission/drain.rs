//! Drain: the relay's way out. One word about the phase, and a count of what is still running.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

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
}

impl Drain {
    /// A relay that serves.
    pub fn new() -> Drain {
        Drain {
            phase: AtomicU8::new(SERVING),
            running: TaskTracker::new(),
        }
    }

    /// `/ready` says draining from now on; new work is still taken.
    pub fn announce(&self) {
        self.phase.fetch_max(ANNOUNCED, Ordering::Relaxed);
    }

    /// New work is refused from now on.
    pub fn refuse(&self) {
        self.phase.fetch_max(REFUSING, Ordering::Relaxed);
        self.running.close();
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

    /// How many exchanges run.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Ends when, after `refuse`, no exchange runs any more.
    pub async fn finished(&self) {
        self.running.wait().await;
    }

    pub(super) fn token(&self) -> TaskTrackerToken {
        self.running.token()
    }
}
