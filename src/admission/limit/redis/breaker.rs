//! Pure: when to stop asking a Redis that does not answer.

use std::sync::atomic::{AtomicU32, Ordering};

/// So many faults in a row.
const MOST: u32 = 5;

/// Counts faults in a row.
#[derive(Debug, Default)]
pub(super) struct Breaker(AtomicU32);

impl Breaker {
    /// An answer came.
    pub(super) fn succeeded(&self) {
        if self.0.load(Ordering::Relaxed) > 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    /// None came, or a wrong one; true once that was too often. A lost connection is at once.
    pub(super) fn failed(&self, is_lost: bool) -> bool {
        let faults = if is_lost { MOST } else { 1 };
        self.0.fetch_add(faults, Ordering::Relaxed) + faults >= MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_faults_in_a_row_are_too_many_and_a_lost_connection_is_at_once() {
        let breaker = Breaker::default();
        for _ in 0..3 {
            assert_eq!([(); 4].map(|()| breaker.failed(false)), [false; 4]);
            breaker.succeeded();
        }
        assert_eq!(
            [(); 6].map(|()| breaker.failed(false)),
            [false, false, false, false, true, true]
        );
        breaker.succeeded();
        assert!(breaker.failed(true));
    }
}
