//! Pure given the time: slows guessing down, and never locks anybody out. Each attempt is charged
//! before its password is looked at, so that many at once gain nothing.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is guessed at, or where guesses come from; blinded.
pub(super) type Key = [u8; 16];

/// How patience runs out: some attempts are free, then each failure doubles the wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    free: u32,
    longest: Duration,
}

/// For one account: 29 attempts in any hour.
pub(super) const ACCOUNT: Schedule = Schedule {
    free: 4,
    longest: Duration::from_secs(180),
};
/// For one address, whatever it guesses at: an office may share it.
pub(super) const ADDRESS: Schedule = Schedule {
    free: 20,
    longest: Duration::from_secs(60),
};

/// The first wait; the next is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// After so long without a failure all is forgotten.
const FORGIVEN: Duration = Duration::from_secs(3600);
/// The most accounts and addresses that are remembered.
const MOST: usize = 100_000;

impl Schedule {
    /// How long to wait after so many failures in a row.
    fn wait(self, failures: u32) -> Duration {
        if failures < self.free {
            return Duration::ZERO;
        }
        let doublings = (failures - self.free).min(16);
        (FIRST_WAIT * 2_u32.pow(doublings)).min(self.longest)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failures {
    count: u32,
    last: Instant,
    next: Instant,
}

/// Remembers failures.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    failures: Mutex<HashMap<Key, Failures>>,
}

/// An attempt that may be made. Unless it is said to have succeeded, it counts as a failure.
#[derive(Debug)]
pub(super) struct Attempt {
    charged: Vec<Charge>,
}

#[derive(Clone, Copy, Debug)]
struct Charge {
    key: Key,
    before: Option<Failures>,
    after: Failures,
}

impl Throttle {
    /// Asks for an attempt on all of these; `Err` is how long to wait for one.
    pub(super) fn attempt(
        &self,
        on: &[(Key, Schedule)],
        now: Instant,
    ) -> Result<Attempt, Duration> {
        let mut failures = self.lock();
        let charge = |(key, schedule): &(Key, Schedule)| {
            let before = failures.get(key).copied().filter(|one| !is_old(one, now));
            let count = before.map_or(0, |one| one.count) + 1;
            let after = Failures {
                count,
                last: now,
                next: now + schedule.wait(count),
            };
            Charge {
                key: *key,
                before,
                after,
            }
        };
        let charged: Vec<_> = on.iter().map(charge).collect();
        let waits = charged.iter().filter_map(|charge| charge.before);
        let longest = waits
            .map(|one| one.next.saturating_duration_since(now))
            .max();
        if let Some(wait) = longest.filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        failures.extend(charged.iter().map(|charge| (charge.key, charge.after)));
        make_room(&mut failures, now);
        Ok(Attempt { charged })
    }

    /// The password was right: what this attempt was charged is given back, and nothing else, so
    /// that nobody can wash guesses away with a password of their own.
    pub(super) fn succeeded(&self, attempt: Attempt) {
        let mut failures = self.lock();
        for charge in attempt.charged {
            let Some(now) = failures.get_mut(&charge.key) else {
                continue;
            };
            match charge.before {
                Some(before) if *now == charge.after => *now = before,
                None if *now == charge.after => {
                    failures.remove(&charge.key);
                }
                // Others were charged meanwhile.
                _ => now.count = now.count.saturating_sub(1),
            }
        }
    }

    /// The owner proved to be there: what was held against this is forgotten.
    pub(super) fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_old(one: &Failures, now: Instant) -> bool {
    now.saturating_duration_since(one.last) >= FORGIVEN
}

/// Forgets the old, then those that failed least.
fn make_room(failures: &mut HashMap<Key, Failures>, now: Instant) {
    if failures.len() <= MOST {
        return;
    }
    failures.retain(|_, one| !is_old(one, now));
    let mut least = 1;
    while failures.len() > MOST * 9 / 10 {
        failures.retain(|_, one| one.count > least);
        least *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Key = [1; 16];

    /// How many attempts a guesser gets who asks every second for so many seconds.
    fn granted(throttle: &Throttle, start: Instant, seconds: u64) -> usize {
        (0..seconds)
            .filter(|second| {
                let now = start + Duration::from_secs(*second);
                throttle.attempt(&[(NAME, ACCOUNT)], now).is_ok()
            })
            .count()
    }

    #[test]
    fn an_account_is_guessed_at_less_than_thirty_times_in_any_hour() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let hours: Vec<usize> = (0..24)
            .map(|hour| granted(&throttle, start + FORGIVEN * hour, 3600))
            .collect();
        assert!(hours.iter().all(|count| *count <= 30), "{hours:?}");
        assert!(
            hours.iter().all(|count| *count >= 19),
            "never locked: {hours:?}"
        );
    }

    #[test]
    fn many_guesses_at_once_are_no_more_than_one_after_the_other() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let granted = (0..10_000)
            .filter(|_| throttle.attempt(&[(NAME, ACCOUNT)], now).is_ok())
            .count();
        assert_eq!(granted, 4);
    }

    #[test]
    fn refused_attempts_do_not_make_the_wait_longer() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let ask = |now| throttle.attempt(&[(NAME, ACCOUNT)], now);
        for _ in 0..4 {
            ask(start).expect("free");
        }
        for second in [0, 1] {
            let wait = ask(start + Duration::from_secs(second)).expect_err("too soon");
            assert_eq!(wait, Duration::from_secs(2 - second));
        }
        ask(start + Duration::from_secs(2)).expect("it has waited");
    }

    #[test]
    fn success_gives_back_what_it_was_charged_and_no_more() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let ask = || throttle.attempt(&[(NAME, ACCOUNT)], now);
        for _ in 0..3 {
            ask().expect("free");
        }
        for _ in 0..10 {
            throttle.succeeded(ask().expect("given back each time"));
        }
        ask().expect("the fourth failure");
        ask().expect_err("the fifth waits");
        throttle.forget(&NAME);
        ask().expect("forgotten");
    }

    #[test]
    fn success_washes_no_guess_away_that_was_made_meanwhile() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let ask = || throttle.attempt(&[(NAME, ACCOUNT)], now);
        let own = ask().expect("free");
        for _ in 0..3 {
            ask().expect("free");
        }
        throttle.succeeded(own);
        ask().expect_err("the wait that the guesses brought stays");
    }

    #[test]
    fn names_without_end_do_not_wash_a_guessed_one_away() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..4 {
            throttle.attempt(&[(NAME, ACCOUNT)], now).expect("free");
        }
        for number in 0..MOST as u128 + 10 {
            let key = (number << 8).to_le_bytes();
            throttle.attempt(&[(key, ACCOUNT)], now).expect("free");
        }
        assert!(throttle.lock().len() <= MOST);
        assert!(throttle.attempt(&[(NAME, ACCOUNT)], now).is_err());
    }
}
