//! How long something took, counted in buckets without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::counters::Writer;

/// Upper bounds of the buckets, in seconds; one more bucket takes the rest.
pub const BOUNDS_S: [f64; 15] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0,
];
const BUCKETS: usize = BOUNDS_S.len() + 1;

/// Buckets of one shard of the counters.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    counts: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

/// The buckets at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Durations {
    /// How often it took no longer than each bound, and longer than the one before; the last
    /// bucket has no bound.
    pub counts: [u64; BUCKETS],
    /// All of them together, in microseconds.
    pub sum_us: u64,
}

impl Histogram {
    pub(super) fn observe(&self, took: Duration, writer: Writer) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS_S.iter().position(|bound| seconds <= *bound);
        writer.add(&self.counts[bucket.unwrap_or(BUCKETS - 1)], 1);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        writer.add(&self.sum_us, us);
    }

    pub(super) fn add_to(&self, sum: &mut Durations) {
        for (sum, count) in sum.counts.iter_mut().zip(&self.counts) {
            *sum += count.load(Ordering::Relaxed);
        }
        sum.sum_us += self.sum_us.load(Ordering::Relaxed);
    }
}

impl Durations {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_below_the_first_bound_that_it_does_not_pass() {
        let histogram = Histogram::default();
        for ms in [5, 6, 700_000] {
            histogram.observe(Duration::from_millis(ms), Writer::Sole);
        }
        let mut sum = Durations::default();
        histogram.add_to(&mut sum);
        assert_eq!((sum.counts[0], sum.counts[1], sum.counts[15]), (1, 1, 1));
        assert_eq!((sum.count(), sum.sum_us), (3, 700_011_000));
    }
}
