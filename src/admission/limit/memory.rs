//! Counts in this process's memory: sharded, bounded, forgetting what is full again. Time is passed in,
//! in microseconds; no lock is held for more than arithmetic.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bucket::{Quota, Wait};
use super::key::Key;

const SHARDS: usize = 64;
/// The most buckets of a shard: what its table holds before it grows to 131,072 places. All shards
/// together hold 3.7 million buckets in 140 MiB.
const MOST: usize = 65_536 / 8 * 7;

/// Buckets that owe something.
#[derive(Debug)]
pub(super) struct Buckets {
    shards: Vec<Mutex<Table<Owed>>>,
    most: usize,
}

/// What a bucket owes, as the moment at which it is full again.
#[derive(Clone, Copy, Debug)]
struct Owed {
    full_at: u64,
    /// The state of Redis with which it agrees; 0 for none.
    epoch: u32,
}

type Table<T> = HashMap<Key, T, BuildHasherDefault<Passed>>;

impl Buckets {
    pub(super) fn new() -> Buckets {
        Buckets::bounded(MOST)
    }

    fn bounded(most: usize) -> Buckets {
        Buckets {
            shards: shards(),
            most,
        }
    }

    /// One request more; the debt after it, or how long to wait.
    pub(super) fn charge(&self, key: Key, quota: Quota, now: u64) -> Result<u64, Wait> {
        let mut shard = self.shard(key);
        let debt = debt(&shard, key, now);
        let after = quota.charge(debt)?;
        self.put(&mut shard, key, after, 0, now);
        Ok(after)
    }

    /// One request less.
    pub(super) fn give_back(&self, key: Key, quota: Quota, now: u64) {
        let mut shard = self.shard(key);
        let after = quota.give_back(debt(&shard, key, now));
        self.put(&mut shard, key, after, 0, now);
    }

    /// Notes what Redis said of a bucket, to go on from there without it.
    pub(super) fn note(&self, key: Key, debt: u64, epoch: u32, now: u64) {
        self.put(&mut self.shard(key), key, debt, epoch, now);
    }

    /// What a bucket owes that Redis, in this state, does not know of.
    pub(super) fn unknown_debt(&self, key: Key, epoch: u32, now: u64) -> u64 {
        let shard = self.shard(key);
        match shard.get(&key) {
            Some(owed) if owed.epoch != epoch => owed.full_at.saturating_sub(now),
            _ => 0,
        }
    }

    /// Forgets what is full again.
    pub(super) fn forget(&self, now: u64) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.retain(|_, owed| owed.full_at > now);
            let len = shard.len();
            if shard.capacity() > 4 * len {
                shard.shrink_to(2 * len);
            }
        }
    }

    /// How many owe something, or did lately.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Table<Owed>> {
        lock(&self.shards[key.shard(SHARDS)])
    }

    fn put(&self, shard: &mut Table<Owed>, key: Key, debt: u64, epoch: u32, now: u64) {
        if debt == 0 {
            shard.remove(&key);
            return;
        }
        if shard.len() >= self.most && !shard.contains_key(&key) {
            make_room(shard, now, self.most);
        }
        let full_at = now.saturating_add(debt);
        shard.insert(key, Owed { full_at, epoch });
    }
}

fn debt(shard: &Table<Owed>, key: Key, now: u64) -> u64 {
    shard
        .get(&key)
        .map_or(0, |owed| owed.full_at.saturating_sub(now))
}

/// Forgets what is full again, then what owes least: whoever comes with a million addresses does not
/// wash away what others owe.
fn make_room(shard: &mut Table<Owed>, now: u64, most: usize) {
    shard.retain(|_, owed| owed.full_at > now);
    let kept = most / 10 * 9;
    if shard.len() <= kept {
        return;
    }
    let mut times: Vec<u64> = shard.values().map(|owed| owed.full_at).collect();
    let surplus = times.len() - kept;
    let (_, bar, _) = times.select_nth_unstable(surplus);
    let bar = *bar;
    let mut surplus = surplus;
    shard.retain(|_, owed| {
        let goes = owed.full_at <= bar && surplus > 0;
        surplus -= usize::from(goes);
        !goes
    });
}

/// How much runs at the same time, by key.
#[derive(Debug)]
pub(super) struct Running {
    shards: Vec<Mutex<Table<u32>>>,
}

impl Running {
    pub(super) fn new() -> Running {
        Running { shards: shards() }
    }

    /// Counts one more, however many there are; how many there are with it.
    pub(super) fn add(&self, key: Key) -> u32 {
        let mut shard = lock(&self.shards[key.shard(SHARDS)]);
        let count = shard.entry(key).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Counts one less.
    pub(super) fn remove(&self, key: Key) {
        let mut shard = lock(&self.shards[key.shard(SHARDS)]);
        if let Some(count) = shard.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                shard.remove(&key);
            }
        }
    }
}

fn shards<T>() -> Vec<Mutex<Table<T>>> {
    (0..SHARDS).map(|_| Mutex::default()).collect()
}

fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keys are hashes already.
#[derive(Default)]
struct Passed(u64);

impl Hasher for Passed {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::key::{Keys, Subject};
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn quota(limit: u32) -> Quota {
        Quota::new(limit, Duration::from_secs(60))
    }

    /// The key of one of many addresses.
    fn key(keys: &Keys, address: u32) -> Key {
        keys.of(0, Subject::Network(IpAddr::V4(Ipv4Addr::from(address))))
    }

    proptest! {
        /// A model that keeps the times of what was let in and looks at nothing else.
        #[test]
        fn decisions_are_those_of_a_list_of_times(
            limit in 1_u32..6,
            asks in prop::collection::vec((0_u32..4, 0_u64..40 * SECOND, prop::bool::weighted(0.1)), 1..60),
        ) {
            let (keys, buckets) = (Keys::new(), Buckets::new());
            let quota = quota(limit);
            let mut model: HashMap<u32, Vec<u64>> = HashMap::new();
            let mut now = 0;
            for (address, step, is_given_back) in asks {
                now += step;
                let paid = model.entry(address).or_default();
                if is_given_back {
                    // What was let in last is taken off the end, if it is not paid off yet.
                    if paid.last().is_some_and(|at| *at > now) {
                        paid.pop();
                    }
                    buckets.give_back(key(&keys, address), quota, now);
                    continue;
                }
                // Each request let in is paid off one interval after the one before it.
                let start = paid.last().copied().unwrap_or(0).max(now);
                let end = start + quota.interval();
                let is_allowed = end - now <= quota.burst();
                let decision = buckets.charge(key(&keys, address), quota, now);
                prop_assert_eq!(decision.is_ok(), is_allowed);
                if is_allowed {
                    paid.push(end);
                }
            }
        }
    }

    #[test]
    fn what_is_full_again_is_forgotten() {
        let (keys, buckets) = (Keys::new(), Buckets::new());
        for address in 0..10_000 {
            buckets
                .charge(key(&keys, address), quota(2), 0)
                .expect("the first");
        }
        assert_eq!(buckets.len(), 10_000);
        buckets.forget(30 * SECOND - 1);
        assert_eq!(buckets.len(), 10_000);
        buckets.forget(30 * SECOND);
        assert_eq!(buckets.len(), 0);
        assert!(
            buckets
                .shards
                .iter()
                .all(|shard| lock(shard).capacity() < 8)
        );
    }

    #[test]
    fn there_is_room_for_no_more_than_the_bound_and_who_owes_most_stays() {
        let (keys, buckets) = (Keys::new(), Buckets::bounded(100));
        let debtor = key(&keys, u32::MAX);
        for _ in 0..5 {
            buckets
                .charge(debtor, quota(5), 0)
                .expect("within the limit");
        }
        for address in 0..100_000 {
            buckets
                .charge(key(&keys, address), quota(5), 0)
                .expect("the first");
        }
        let len = buckets.len();
        assert!((89 * SHARDS..=100 * SHARDS).contains(&len), "{len}");
        buckets
            .charge(debtor, quota(5), 0)
            .expect_err("it still owes");
    }

    #[test]
    fn what_was_charged_apart_from_redis_is_told_to_it_once() {
        let (keys, buckets) = (Keys::new(), Buckets::new());
        let key = key(&keys, 1);
        buckets.note(key, 7 * SECOND, 1, 0);
        assert_eq!(buckets.unknown_debt(key, 1, SECOND), 0);
        // Redis may have lost it since.
        assert_eq!(buckets.unknown_debt(key, 2, SECOND), 6 * SECOND);
        buckets.charge(key, quota(60), SECOND).expect("room");
        assert_eq!(buckets.unknown_debt(key, 1, SECOND), 7 * SECOND);
        buckets.note(key, 7 * SECOND, 1, SECOND);
        assert_eq!(buckets.unknown_debt(key, 1, SECOND), 0);
    }

    #[test]
    fn what_runs_is_counted_by_key() {
        let (keys, running) = (Keys::new(), Running::new());
        let (one, other) = (key(&keys, 1), key(&keys, 2));
        assert_eq!(
            [running.add(one), running.add(one), running.add(other)],
            [1, 2, 1]
        );
        running.remove(one);
        assert_eq!(running.add(one), 2);
        running.remove(other);
        running.remove(other);
        assert_eq!(running.add(other), 1);
    }
}
