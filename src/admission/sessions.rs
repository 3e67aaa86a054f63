//! Sessions: how many sockets run, and how many may.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The sockets of this process, shared by the gate, which counts them, and the operations routes,
/// which tell of them.
#[derive(Debug)]
pub struct Sessions {
    max: usize,
    active: AtomicUsize,
    total: AtomicU64,
}

impl Sessions {
    /// At most `max` at once.
    pub fn new(max: usize) -> Sessions {
        Sessions {
            max,
            active: AtomicUsize::new(0),
            total: AtomicU64::new(0),
        }
    }

    /// The most at once.
    pub fn max(&self) -> usize {
        self.max
    }

    /// How many run.
    pub fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// How many there were since start.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Whether there is room for no more.
    pub fn is_full(&self) -> bool {
        self.active() >= self.max
    }

    /// Takes a place, if there is one; it is given back when the slot is dropped.
    pub(super) fn take(self: &Arc<Sessions>) -> Option<SessionSlot> {
        let more = |active| (active < self.max).then_some(active + 1);
        let taken = self
            .active
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok()?;
        self.total.fetch_add(1, Ordering::Relaxed);
        Some(SessionSlot(Arc::clone(self)))
    }
}

/// The place of one session.
#[derive(Debug)]
pub(super) struct SessionSlot(Arc<Sessions>);

impl Drop for SessionSlot {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_once_its_slot_is_gone() {
        let sessions = Arc::new(Sessions::new(2));
        let first = sessions.take().expect("a place");
        let _second = sessions.take().expect("a place");
        assert!(sessions.is_full());
        assert!(sessions.take().is_none());
        drop(first);
        assert!(sessions.take().is_some());
        assert_eq!((sessions.active(), sessions.total()), (1, 3));
    }
}
