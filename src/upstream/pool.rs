//! Idle connections to the upstream, the one used last first. Each belongs to the thread whose
//! runtime it was dialled in, and is taken there first: elsewhere it works as well, but wakes two
//! threads for each answer. That is still far cheaper than to dial.
//!
//! HTTP/1.1 only: on one shared HTTP/2 connection three stalled readers freeze every other
//! stream, on separate connections none does. A connection comes back only when both bodies of
//! its exchange have ended cleanly; dropped before that, it is closed at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::dial::Dialer;
use super::fault::Fault;
use crate::wire::{Link, Timer, lately};

/// How long a connection may idle: shorter than what OpenAI's edge and most gateways allow (60 s).
const MAX_IDLE: Duration = Duration::from_secs(55);
/// How often idle connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Connections to one upstream.
pub(super) struct Pool {
    dialer: Dialer,
    idle: Mutex<Vec<Home>>,
    slots: Arc<Semaphore>,
    slot_timeout: Duration,
    tasks: TaskTracker,
}

/// What idles of one thread's connections.
struct Home {
    thread: ThreadId,
    idle: Vec<Idle>,
}

struct Idle {
    link: Link,
    timer: Timer,
    since: Instant,
}

/// The use of one connection for one exchange; dropping it without `give_back` closes it.
pub(super) struct Lease {
    link: Link,
    /// Times the silence of the exchange; the next one uses it too.
    timer: Timer,
    /// The thread that it belongs to.
    home: ThreadId,
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
        if let Some((Idle { link, timer, .. }, home)) = self.take_idle() {
            return Ok(Lease {
                link,
                timer: timer_of(home, timer),
                home,
                pool: Arc::downgrade(self),
                is_reused: true,
                _slot: slot,
            });
        }
        self.dial(slot).await
    }

    /// A new connection.
    pub(super) async fn lease_new(self: &Arc<Pool>) -> Result<Lease, Fault> {
        let slot = self.slot().await?;
        self.dial(slot).await
    }

    async fn dial(self: &Arc<Pool>, slot: OwnedSemaphorePermit) -> Result<Lease, Fault> {
        Ok(Lease {
            // Boxed: what it takes to dial is large, and rarely taken.
            link: Box::pin(self.dialer.dial()).await?,
            timer: Timer::default(),
            home: thread::current().id(),
            pool: Arc::downgrade(self),
            is_reused: false,
            _slot: slot,
        })
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, Fault> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(slot);
        }
        let waiting = Arc::clone(&self.slots).acquire_owned();
        // Boxed: a timer makes whatever holds it large, and this one is rarely needed.
        match Box::pin(tokio::time::timeout(self.slot_timeout, waiting)).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(Fault::PoolTimeout),
        }
    }

    /// The one used last that is still alive: the kernel is asked, so that a connection whose end
    /// has arrived is never used.
    fn take_idle(&self) -> Option<(Idle, ThreadId)> {
        let here = thread::current().id();
        loop {
            let (idle, home) = pop(&mut self.idle(), here)?;
            if idle.link.is_quiet() {
                return Some((idle, home));
            }
        }
    }

    fn put_idle(&self, mut link: Link, timer: Timer, home: ThreadId) {
        link.shrink();
        let idle = Idle {
            link,
            timer: timer_of(home, timer),
            since: lately(),
        };
        let mut homes = self.idle();
        match homes.iter_mut().find(|found| found.thread == home) {
            Some(found) => found.idle.push(idle),
            None => homes.push(Home {
                thread: home,
                idle: vec![idle],
            }),
        }
    }

    fn drop_stale(&self) {
        let now = lately();
        let is_fresh =
            |idle: &Idle| now.duration_since(idle.since) < MAX_IDLE && idle.link.is_quiet();
        for home in self.idle().iter_mut() {
            home.idle.retain(is_fresh);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Home>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A timer that goes from one exchange to the next, or a new one where it would leave its runtime.
fn timer_of(home: ThreadId, timer: Timer) -> Timer {
    if home == thread::current().id() {
        timer
    } else {
        Timer::default()
    }
}

/// One of this thread's, else one of another's.
fn pop(homes: &mut [Home], here: ThreadId) -> Option<(Idle, ThreadId)> {
    let own = homes
        .iter()
        .position(|home| home.thread == here && !home.idle.is_empty());
    let at = own.or_else(|| homes.iter().position(|home| !home.idle.is_empty()))?;
    let home = &mut homes[at];
    Some((home.idle.pop()?, home.thread))
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

    /// The timer, as long as the exchange lasts.
    pub(super) fn take_timer(&mut self) -> Timer {
        std::mem::take(&mut self.timer)
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
    pub(super) fn give_back(self, timer: Timer) {
        if let Some(pool) = self.pool.upgrade()
            && self.link.is_empty()
        {
            pool.put_idle(self.link, timer, self.home);
        }
    }
}
