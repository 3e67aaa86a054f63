//! Idle connections to the upstream, the one used last first.
//!
//! HTTP/1.1 only: on one shared HTTP/2 connection three stalled readers freeze every other
//! stream, on separate connections none does. A connection comes back only when both bodies of
//! its exchange have ended cleanly; dropped before that, it is closed at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::dial::Dialer;
use super::fault::Fault;
use crate::wire::Link;

/// How long a connection may idle: shorter than what OpenAI's edge and most gateways allow (60 s).
const MAX_IDLE: Duration = Duration::from_secs(55);
/// How often idle connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Connections to one upstream.
pub(super) struct Pool {
    dialer: Dialer,
    idle: Mutex<Vec<Idle>>,
    slots: Arc<Semaphore>,
    slot_timeout: Duration,
    tasks: TaskTracker,
}

struct Idle {
    link: Link,
    since: Instant,
}

/// The use of one connection for one exchange; dropping it without `give_back` closes it.
pub(super) struct Lease {
    link: Link,
    pool: Weak<Pool>,
    is_reused: bool,
    _slot: OwnedSemaphorePermit,
}

impl Pool {
    /// A pool of at most `capacity` connections in use; a request waits `slot_timeout` for one.
    pub(super) fn new(dialer: Dialer, capacity: usize, slot_timeout: Duration) -> Arc<Pool> {
        let pool = Arc::new(Pool {
            dialer,
            idle: Mutex::new(Vec::new()),
            slots: Arc::new(Semaphore::new(capacity)),
            slot_timeout,
            tasks: TaskTracker::new(),
        });
        pool.tasks.spawn(sweep(Arc::downgrade(&pool)));
        pool
    }

    /// An idle connection, or a new one.
    pub(super) async fn lease(self: &Arc<Pool>) -> Result<Lease, Fault> {
        let slot = self.slot().await?;
        let (link, is_reused) = match self.take_idle() {
            Some(link) => (link, true),
            None => (self.dial().await?, false),
        };
        Ok(Lease {
            link,
            pool: Arc::downgrade(self),
            is_reused,
            _slot: slot,
        })
    }

    /// A new connection.
    pub(super) async fn lease_new(self: &Arc<Pool>) -> Result<Lease, Fault> {
        let slot = self.slot().await?;
        Ok(Lease {
            link: self.dial().await?,
            pool: Arc::downgrade(self),
            is_reused: false,
            _slot: slot,
        })
    }

    async fn dial(&self) -> Result<Link, Fault> {
        Ok(Link::new(self.dialer.dial().await?, BytesMut::new()))
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, Fault> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(slot);
        }
        let waiting = Arc::clone(&self.slots).acquire_owned();
        match tokio::time::timeout(self.slot_timeout, waiting).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(Fault::PoolTimeout),
        }
    }

    /// The one used last that is still alive: the kernel is asked, so that a connection whose end
    /// has arrived is never used.
    fn take_idle(&self) -> Option<Link> {
        loop {
            let idle = self.idle().pop()?;
            if idle.link.is_quiet() {
                return Some(idle.link);
            }
        }
    }

    fn put_idle(&self, mut link: Link) {
        link.shrink();
        let since = Instant::now();
        self.idle().push(Idle { link, since });
    }

    fn drop_stale(&self) {
        let now = Instant::now();
        let is_fresh =
            |idle: &Idle| now.duration_since(idle.since) < MAX_IDLE && idle.link.is_quiet();
        self.idle().retain(is_fresh);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends with its pool.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        match pool.upgrade() {
            Some(pool) => pool.drop_stale(),
            None => return,
        }
    }
}

impl Lease {
    /// The connection.
    pub(super) fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// Whether the connection had served before, so that it may have died of old age.
    pub(super) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// Takes the connection for good: it will not serve another exchange, nor count as one.
    pub(super) fn into_link(self) -> Link {
        self.link
    }

    /// Returns the connection after both bodies have ended cleanly.
    pub(super) fn give_back(self) {
        if let Some(pool) = self.pool.upgrade()
            && self.link.is_quiet()
        {
            pool.put_idle(self.link);
        }
    }
}
