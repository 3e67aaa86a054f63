//! The places that this relay holds in Redis: what has to be renewed there, and what can go.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The most places that wait to be given back; what is more is left to run out.
const MOST_LEFT: usize = 100_000;

/// A place in Redis: the name of its set, and its number among this relay's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) set: Arc<str>,
    pub(super) number: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Places {
    last: AtomicU64,
    held: Mutex<HashMap<Arc<str>, HashSet<u64>>>,
    left: Mutex<Vec<Place>>,
    /// Told when a place was left.
    changed: watch::Sender<()>,
}

/// Places that Redis is being told of: those that it was not told of, for whatever reason, wait again
/// on drop.
pub(super) struct Left<'a> {
    places: &'a Places,
    waiting: Vec<Place>,
}

impl Left<'_> {
    /// What there is to tell.
    pub(super) fn places(&self) -> &[Place] {
        &self.waiting
    }

    /// Redis was told.
    pub(super) fn told(mut self) {
        self.waiting.clear();
    }
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.places.put_back(std::mem::take(&mut self.waiting));
    }
}

impl Places {
    /// A place to ask for.
    pub(super) fn next(&self, set: Arc<str>) -> Place {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        Place { set, number }
    }

    /// It is held from now on, wherever that was decided.
    pub(super) fn hold(&self, place: &Place) {
        let mut held = lock(&self.held);
        let set = held.entry(Arc::clone(&place.set)).or_default();
        set.insert(place.number);
    }

    /// It is free, and Redis has to hear of it.
    pub(super) fn leave(&self, place: Place) {
        let mut held = lock(&self.held);
        if let Some(set) = held.get_mut(&place.set) {
            set.remove(&place.number);
            if set.is_empty() {
                held.remove(&place.set);
            }
        }
        drop(held);
        self.put_back(vec![place]);
        self.changed.send_replace(());
    }

    /// Tells whenever a place was left.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// What Redis has to hear of these sets.
    pub(super) fn left(&self, concerns: impl Fn(&str) -> bool) -> Left<'_> {
        let mut left = lock(&self.left);
        let (waiting, others) = left.drain(..).partition(|place| concerns(&place.set));
        *left = others;
        drop(left);
        Left {
            places: self,
            waiting,
        }
    }

    fn put_back(&self, places: Vec<Place>) {
        if places.is_empty() {
            return;
        }
        let mut left = lock(&self.left);
        let room = MOST_LEFT.saturating_sub(left.len());
        left.extend(places.into_iter().take(room));
    }

    /// All that is held of these sets.
    pub(super) fn held(&self, concerns: impl Fn(&str) -> bool) -> Vec<(Arc<str>, Vec<u64>)> {
        let held = lock(&self.held);
        let sets = held.iter().filter(|(set, _)| concerns(set));
        sets.map(|(set, numbers)| (Arc::clone(set), numbers.iter().copied().collect()))
            .collect()
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(places: &Places, set: &str) -> Vec<Place> {
        let left = places.left(|one| one == set);
        let told = left.places().to_vec();
        left.told();
        told
    }

    #[test]
    fn what_is_held_is_renewed_and_what_is_left_is_told_once() {
        let places = Places::default();
        let (one, other) = (places.next("a".into()), places.next("a".into()));
        places.hold(&one);
        places.hold(&other);
        assert_eq!(places.held(|_| true)[0].1.len(), 2);
        assert_eq!(places.held(|set| set != "a"), []);
        places.leave(one.clone());
        assert_eq!(places.held(|_| true), [("a".into(), vec![other.number])]);
        assert_eq!(told(&places, "b"), []);
        assert_eq!(told(&places, "a"), [one]);
        assert_eq!(told(&places, "a"), []);
        // One that was asked for in vain.
        let refused = places.next("b".into());
        places.leave(refused.clone());
        assert_eq!(told(&places, "b"), [refused]);
        places.leave(other);
        assert_eq!(places.held(|_| true), []);
    }

    #[test]
    fn what_redis_was_not_told_of_waits_on() {
        let places = Places::default();
        let place = places.next("a".into());
        places.leave(place.clone());
        drop(places.left(|_| true));
        assert_eq!(told(&places, "a"), [place]);
    }

    #[test]
    fn what_waits_to_be_told_is_bounded() {
        let places = Places::default();
        let set: Arc<str> = "a".into();
        places.put_back(
            (0..MOST_LEFT + 10)
                .map(|_| places.next(Arc::clone(&set)))
                .collect(),
        );
        assert_eq!(places.left(|_| true).places().len(), MOST_LEFT);
    }
}
