//! Time since the bench began, and fixed schedules in it.

use std::sync::LazyLock;
use std::time::Instant;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since the bench began.
pub fn now() -> u64 {
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Milliseconds as nanoseconds.
pub const fn ms(milliseconds: u64) -> u64 {
    milliseconds * 1_000_000
}

/// Times at a fixed distance, whatever happens between them: who is late is late, and does not
/// shift what comes after.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    next: u64,
    interval: u64,
}

impl Schedule {
    /// So many times a second, from `start` on.
    pub fn new(start: u64, per_second: u64) -> Schedule {
        Schedule {
            next: start,
            interval: 1_000_000_000 / per_second,
        }
    }

    /// The next time.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The next time, taken, if it has come.
    pub fn due(&mut self, now: u64) -> Option<u64> {
        let due = self.next;
        (due <= now).then(|| {
            self.next += self.interval;
            due
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_counts_from_when_it_should_have_been() {
        let mut schedule = Schedule::new(1000, 1_000_000);
        assert_eq!(schedule.due(999), None);
        // Three are due at once for somebody who comes late, each with its own time.
        let due: Vec<u64> = std::iter::from_fn(|| schedule.due(3500)).collect();
        assert_eq!(due, [1000, 2000, 3000]);
        assert_eq!(schedule.next(), 4000);
    }
}
