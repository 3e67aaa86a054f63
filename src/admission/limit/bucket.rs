//! Pure: one bucket's arithmetic (GCRA, in its form of a debt). Integers only, in microseconds, so that
//! memory and Redis come to the same decision.
//!
//! A bucket owes time. A request adds the interval at which requests are let in; as time goes by the
//! debt is paid off. A request that would owe more than the window is refused.

use std::time::Duration;

/// How much a bucket holds, and how fast it fills again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    limit: u32,
    interval: u64,
}

/// A refusal: after so many microseconds without another request one more is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait(pub(super) u64);

impl Quota {
    /// So many at once, and as many again in the course of each window.
    pub(super) fn new(limit: u32, window: Duration) -> Quota {
        let limit = limit.max(1);
        let window = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        // Rounded up: never more than the limit.
        let interval = window.div_ceil(u64::from(limit)).max(1);
        Quota { limit, interval }
    }

    /// The part of one of so many that count apart, at least one request.
    pub(super) fn share(self, of: u32) -> Quota {
        if of <= 1 {
            return self;
        }
        let limit = (self.limit / of).max(1);
        Quota {
            limit,
            interval: self.burst().div_ceil(u64::from(limit)),
        }
    }

    /// How many requests a full bucket holds.
    pub(super) fn limit(self) -> u32 {
        self.limit
    }

    /// What a request owes.
    pub(super) fn interval(self) -> u64 {
        self.interval
    }

    /// The most that a bucket may owe.
    pub(super) fn burst(self) -> u64 {
        self.interval * u64::from(self.limit)
    }

    /// One request more: the debt after it, or how long to wait.
    pub(super) fn charge(self, debt: u64) -> Result<u64, Wait> {
        // More is owed where the quota was larger before.
        let after = debt.min(self.burst()) + self.interval;
        match after.checked_sub(self.burst()) {
            None | Some(0) => Ok(after),
            Some(over) => Err(Wait(over)),
        }
    }

    /// One request less.
    pub(super) fn give_back(self, debt: u64) -> u64 {
        debt.min(self.burst()).saturating_sub(self.interval)
    }

    /// How many requests would be let in now.
    pub(super) fn remaining(self, debt: u64) -> u32 {
        let room = self.burst().saturating_sub(debt) / self.interval;
        u32::try_from(room).unwrap_or(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000;

    /// A bucket and its clock, as the homes keep them.
    struct Bucket {
        quota: Quota,
        full_at: u64,
    }

    impl Bucket {
        fn ask(&mut self, now: u64) -> Result<u64, Wait> {
            let debt = self.full_at.saturating_sub(now);
            let after = self.quota.charge(debt)?;
            self.full_at = now + after;
            Ok(after)
        }
    }

    fn bucket(limit: u32, seconds: u64) -> Bucket {
        Bucket {
            quota: Quota::new(limit, Duration::from_secs(seconds)),
            full_at: 0,
        }
    }

    #[test]
    fn the_limit_goes_at_once_and_one_more_after_a_window_over_the_limit() {
        for (limit, seconds) in [(100, 900), (100, 3600), (10, 60), (1, 1), (60, 60)] {
            let mut bucket = bucket(limit, seconds);
            let start = 5 * SECOND;
            for left in (0..limit).rev() {
                let debt = bucket.ask(start).expect("within the limit");
                assert_eq!(bucket.quota.remaining(debt), left);
            }
            let each = seconds * SECOND / u64::from(limit);
            assert_eq!(bucket.ask(start), Err(Wait(each)));
            assert_eq!(bucket.ask(start + each - 1), Err(Wait(1)));
            bucket.ask(start + each).expect("one more");
            assert_eq!(bucket.ask(start + each), Err(Wait(each)));
            // A whole window later it is as if nothing had been.
            let later = start + each + seconds * SECOND;
            for _ in 0..limit {
                bucket.ask(later).expect("full again");
            }
            bucket.ask(later).expect_err("and empty again");
        }
    }

    #[test]
    fn a_quota_that_does_not_divide_is_never_more_than_the_limit() {
        let mut bucket = bucket(7, 1);
        assert_eq!(bucket.quota.interval(), 142_858);
        let granted = (0..10 * SECOND)
            .step_by(1000)
            .filter(|now| bucket.ask(*now).is_ok());
        assert_eq!(granted.count(), 7 + 69);
    }

    #[test]
    fn a_clock_that_jumps_back_costs_a_window_at_the_most() {
        let quota = Quota::new(10, Duration::from_secs(60));
        assert_eq!(quota.charge(u64::MAX), Err(Wait(6 * SECOND)));
    }

    #[test]
    fn shares_add_up_to_the_limit_and_take_over_what_is_owed() {
        let quota = Quota::new(100, Duration::from_secs(100));
        for replicas in [1, 2, 3, 7, 100] {
            let share = quota.share(replicas);
            assert_eq!(share.limit(), 100 / replicas);
            let mut granted = 0;
            let mut debt = 0;
            while let Ok(after) = share.charge(debt) {
                debt = after;
                granted += 1;
            }
            assert_eq!(granted, share.limit());
            // Half empty in one is half empty in the other.
            let half = share.remaining(quota.burst() / 2);
            assert!(half == share.limit() / 2 || half == share.limit().div_ceil(2));
        }
        assert_eq!(quota.share(1000).limit(), 1);
    }

    proptest! {
        #[test]
        fn no_window_sees_more_than_its_limit_and_what_drips_into_it(
            limit in 1_u32..50,
            window in 1_u64..10_000_000,
            steps in prop::collection::vec(0_u64..200_000, 1..300),
        ) {
            let quota = Quota::new(limit, Duration::from_micros(window.max(u64::from(limit))));
            let mut bucket = Bucket { quota, full_at: 0 };
            let (mut now, mut granted) = (1_u64 << 40, Vec::new());
            for step in steps {
                now += step;
                if bucket.ask(now).is_ok() {
                    granted.push(now);
                }
            }
            for (first, start) in granted.iter().enumerate() {
                let within = granted[first..].iter().filter(|at| *at - start <= quota.burst());
                prop_assert!(within.count() as u64 <= 2 * u64::from(limit));
            }
            // Counted from any grant on, what is granted later has been paid for.
            for (first, start) in granted.iter().enumerate() {
                for (count, at) in granted[first..].iter().enumerate() {
                    let allowed = u64::from(limit) + (at - start) / quota.interval();
                    prop_assert!((count as u64) < allowed + 1);
                }
            }
        }

        #[test]
        fn a_wait_is_exact(limit in 1_u32..100, window in 1_u64..1_000_000_000, debt: u64) {
            let quota = Quota::new(limit, Duration::from_micros(window));
            if let Err(Wait(wait)) = quota.charge(debt) {
                let owed = debt.min(quota.burst());
                prop_assert!(quota.charge(owed - wait).is_ok());
                prop_assert!(quota.charge(owed - wait + 1).is_err());
            }
        }

        #[test]
        fn what_is_given_back_was_never_taken(limit in 1_u32..100, window in 1_u64..1_000_000_000, share in 0_u64..100) {
            let quota = Quota::new(limit, Duration::from_micros(window));
            let debt = quota.burst() / 100 * share;
            if let Ok(after) = quota.charge(debt) {
                prop_assert_eq!(quota.give_back(after), debt);
            }
        }
    }
}
