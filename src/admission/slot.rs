//! Slot: what is remembered of one credential. Asks nobody.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// How long an answer of the database's is good: with the sweep, whoever is out is out within a minute.
pub(super) const FRESH: Duration = Duration::from_secs(55);
/// How long an answer serves while the database gives no other.
pub(super) const STALE: Duration = Duration::from_secs(15 * 60);

/// What is known of one credential.
#[derive(Debug)]
pub(super) struct Slot<E> {
    memory: Mutex<Memory<E>>,
    /// Held by whoever asks the database, so that one asks for all.
    pub(super) asking: tokio::sync::Mutex<()>,
    pub(super) revoked: CancellationToken,
}

#[derive(Debug)]
struct Memory<E> {
    known: Option<Known<E>>,
    /// How often what the database may have said became outdated.
    generation: u64,
}

#[derive(Debug)]
pub(super) struct Known<E> {
    /// `None` where there is no such credential any more.
    pub(super) entry: Option<Arc<E>>,
    at: Instant,
}

impl<E> Clone for Known<E> {
    fn clone(&self) -> Known<E> {
        Known {
            entry: self.entry.clone(),
            at: self.at,
        }
    }
}

impl<E> Slot<E> {
    /// Of which nothing is known yet.
    pub(super) fn new() -> Slot<E> {
        let memory = Memory {
            known: None,
            generation: 0,
        };
        Slot {
            memory: Mutex::new(memory),
            asking: tokio::sync::Mutex::default(),
            revoked: CancellationToken::new(),
        }
    }

    /// What is known, unless it is older.
    pub(super) fn known(&self, not_older_than: Duration) -> Option<Known<E>> {
        let known = self.lock().known.clone();
        known.filter(|known| known.at.elapsed() < not_older_than)
    }

    /// What it stands for, as far as is known.
    pub(super) fn entry(&self) -> Option<Arc<E>> {
        let memory = self.lock();
        let known = memory.known.as_ref();
        known.and_then(|known| known.entry.clone())
    }

    /// What is none is soon forgotten.
    pub(super) fn is_worth_keeping(&self) -> bool {
        let memory = self.lock();
        let known = memory.known.as_ref();
        known.is_some_and(|known| {
            let life = if known.entry.is_some() { STALE } else { FRESH };
            known.at.elapsed() < life
        })
    }

    /// To be read before the database is asked.
    pub(super) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// What is known, or is about to be told, is not so any more.
    pub(super) fn outdate(&self) {
        let mut memory = self.lock();
        memory.known = None;
        memory.generation += 1;
    }

    /// Whether the database has said that it is none, or over.
    pub(super) fn is_over(&self) -> bool {
        let memory = self.lock();
        let known = memory.known.as_ref();
        known.is_some_and(|known| known.entry.is_none())
    }

    /// Keeps the database's answer, unless it became outdated on its way.
    pub(super) fn learn(&self, entry: Option<E>, generation: u64) {
        let known = Known {
            entry: entry.map(Arc::new),
            at: Instant::now(),
        };
        let mut memory = self.lock();
        if memory.generation == generation {
            memory.known = Some(known);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Memory<E>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_from_before_a_change_is_not_kept() {
        let slot = Slot::new();
        let asked = slot.generation();
        slot.outdate();
        slot.learn(Some("admin"), asked);
        assert!(slot.known(STALE).is_none());
        slot.learn(Some("user"), slot.generation());
        assert_eq!(slot.entry().as_deref(), Some(&"user"));
    }
}
