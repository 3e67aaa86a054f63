//! The records of all sockets, and how to wait for what they will show.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::record::SocketRecord;

/// The sockets since the start, or since the last time that they were taken.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    entries: Mutex<Vec<Arc<Entry>>>,
    changed: Arc<Notify>,
}

/// One socket's record, which its connection writes.
#[derive(Debug)]
pub(crate) struct Entry {
    record: Mutex<SocketRecord>,
    changed: Arc<Notify>,
}

/// Marks a socket as open for as long as it is served, a panic included.
pub(crate) struct Served(Arc<Entry>);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    /// A new record.
    pub(crate) fn add(&self, record: SocketRecord) -> Arc<Entry> {
        let entry = Arc::new(Entry {
            record: Mutex::new(record),
            changed: Arc::clone(&self.changed),
        });
        locked(&self.entries).push(Arc::clone(&entry));
        self.changed.notify_waiters();
        entry
    }

    pub(crate) fn all(&self) -> Vec<SocketRecord> {
        locked(&self.entries)
            .iter()
            .map(|entry| entry.get())
            .collect()
    }

    pub(crate) fn take(&self) -> Vec<SocketRecord> {
        let entries = std::mem::take(&mut *locked(&self.entries));
        entries.iter().map(|entry| entry.get()).collect()
    }

    /// Waits until that socket is there and shows what is wanted.
    pub(crate) async fn until(
        &self,
        at: usize,
        wanted: impl Fn(&SocketRecord) -> bool,
    ) -> SocketRecord {
        loop {
            let changed = self.changed.notified();
            let entry = locked(&self.entries).get(at).cloned();
            if let Some(entry) = entry {
                let record = locked(&entry.record);
                if wanted(&record) {
                    return record.clone();
                }
            }
            changed.await;
        }
    }
}

impl Entry {
    /// Changes the record.
    pub(crate) fn note(&self, change: impl FnOnce(&mut SocketRecord)) {
        change(&mut locked(&self.record));
        self.changed.notify_waiters();
    }

    /// Marks the socket as open until the guard is dropped.
    pub(crate) fn serve(self: &Arc<Entry>) -> Served {
        self.note(|record| record.open = true);
        Served(Arc::clone(self))
    }

    fn get(&self) -> SocketRecord {
        locked(&self.record).clone()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.note(|record| record.open = false);
    }
}
