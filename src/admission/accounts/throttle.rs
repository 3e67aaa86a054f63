//! Pure given the time: slows guessing down, and never locks anybody out. No more attempts run at once
//! than may fail, so that many at once gain nothing; whoever comes beside them waits for their end.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

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

/// What is held against a key.
#[derive(Clone, Copy, Debug)]
struct Record {
    failures: u32,
    /// When the last failure was, or the first attempt.
    last: Instant,
    /// When the next attempt may be made.
    next: Instant,
    /// Attempts that nobody knows the end of yet.
    running: u32,
}

/// Remembers failures.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    records: Mutex<HashMap<Key, Record>>,
    settled: Notify,
}

/// An attempt that may be made. Unless it is said to have succeeded, it is a failure when it is
/// dropped.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    throttle: &'a Throttle,
    on: Vec<(Key, Schedule)>,
    at: Instant,
    has_succeeded: bool,
}

/// Why an attempt may not be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooEarly {
    /// There were failures: so long is to be waited.
    Wait(Duration),
    /// As many attempts as may fail are being made: how these end decides.
    Undecided,
}

impl Throttle {
    /// Asks for an attempt on all of these.
    pub(super) fn attempt(
        &self,
        on: &[(Key, Schedule)],
        now: Instant,
    ) -> Result<Attempt<'_>, TooEarly> {
        let mut records = self.lock();
        let known = |key| records.get(key).filter(|record| !is_old(record, now));
        // Of two threads the one with the earlier time may come later: where nothing is to be waited for,
        // times are not compared.
        let waits = on.iter().filter_map(|(key, schedule)| {
            known(key).filter(|record| record.failures >= schedule.free)
        });
        let longest = waits
            .map(|record| record.next.saturating_duration_since(now))
            .max();
        if let Some(wait) = longest.filter(|wait| !wait.is_zero()) {
            return Err(TooEarly::Wait(wait));
        }
        let is_undecided = on.iter().any(|(key, schedule)| {
            known(key).is_some_and(|record| {
                record.running > 0 && record.failures + record.running >= schedule.free
            })
        });
        if is_undecided {
            return Err(TooEarly::Undecided);
        }
        for (key, _) in on {
            let record = records.entry(*key).or_insert(Record::new(now));
            if is_old(record, now) {
                *record = Record::new(now);
            }
            record.running += 1;
        }
        make_room(&mut records, now);
        Ok(Attempt {
            throttle: self,
            on: on.to_vec(),
            at: now,
            has_succeeded: false,
        })
    }

    /// Ends when an attempt has ended; counts from when it was first polled or enabled.
    pub(super) fn settled(&self) -> Notified<'_> {
        self.settled.notified()
    }

    /// The owner proved to be there: what was held against this is forgotten.
    pub(super) fn forget(&self, key: &Key) {
        let mut records = self.lock();
        if let Some(record) = records.get_mut(key) {
            let running = record.running;
            *record = Record::new(record.last);
            record.running = running;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// The password was right, or was not looked at: nothing is held against anybody for this
    /// attempt. What others failed at stays, so that nobody can wash guesses away with a password of
    /// their own.
    pub(super) fn succeeded(mut self) {
        self.has_succeeded = true;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut records = self.throttle.lock();
        for (key, schedule) in &self.on {
            let record = records.entry(*key).or_insert(Record::new(self.at));
            record.running = record.running.saturating_sub(1);
            if !self.has_succeeded {
                record.failures += 1;
                record.last = record.last.max(self.at);
                let next = self.at + schedule.wait(record.failures);
                record.next = record.next.max(next);
            } else if record.running == 0 && record.failures == 0 {
                records.remove(key);
            }
        }
        drop(records);
        self.throttle.settled.notify_waiters();
    }
}

impl Record {
    fn new(now: Instant) -> Record {
        Record {
            failures: 0,
            last: now,
            next: now,
            running: 0,
        }
    }
}

fn is_old(record: &Record, now: Instant) -> bool {
    record.running == 0 && now.saturating_duration_since(record.last) >= FORGIVEN
}

/// Forgets the old, then those that failed least.
fn make_room(records: &mut HashMap<Key, Record>, now: Instant) {
    if records.len() <= MOST {
        return;
    }
    records.retain(|_, record| !is_old(record, now));
    let mut least = 1;
    while records.len() > MOST * 9 / 10 {
        records.retain(|_, record| record.failures.saturating_add(record.running) > least);
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
    fn whoever_comes_late_with_an_earlier_time_does_not_wait_for_nothing() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let ask = |at| throttle.attempt(&[(NAME, ACCOUNT)], at);
        let first = ask(now + Duration::from_millis(5)).expect("the first");
        ask(now).expect("the one before it").succeeded();
        drop(first);
        ask(now).expect("one failure is free").succeeded();
    }

    #[test]
    fn many_guesses_at_once_are_no_more_than_one_after_the_other() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let ask = || throttle.attempt(&[(NAME, ACCOUNT)], now);
        let granted: Vec<_> = (0..10_000).filter_map(|_| ask().ok()).collect();
        assert_eq!(granted.len(), 4);
        assert_eq!(ask().expect_err("four run"), TooEarly::Undecided);
        drop(granted);
        let wait = TooEarly::Wait(Duration::from_secs(2));
        assert_eq!(ask().expect_err("four failed"), wait);
    }

    #[test]
    fn after_the_free_ones_guesses_are_made_one_at_a_time() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..4 {
            throttle.attempt(&[(NAME, ACCOUNT)], now).expect("free");
        }
        let later = now + Duration::from_secs(2);
        let ask = || throttle.attempt(&[(NAME, ACCOUNT)], later);
        let fifth = ask().expect("it has waited");
        assert_eq!(ask().expect_err("one runs"), TooEarly::Undecided);
        drop(fifth);
        let wait = TooEarly::Wait(Duration::from_secs(4));
        assert_eq!(ask().expect_err("five failed"), wait);
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
            assert_eq!(wait, TooEarly::Wait(Duration::from_secs(2 - second)));
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
            ask().expect("given back each time").succeeded();
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
        own.succeeded();
        ask().expect("the fourth failure");
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
