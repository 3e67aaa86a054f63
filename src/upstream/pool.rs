//! Idle connections to the upstream, the one used last first.
//!
//! HTTP/1.1 only: on one shared HTTP/2 connection three stalled readers freeze every other
//! stream, on separate connections none does. A connection comes back only when both bodies of
//! its exchange have ended cleanly; dropped before that, it is closed at once.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

use super::body::RequestBody;
use super::dial::Dialer;
use super::fault::{Fault, innermost};
use crate::capped::CappedReads;

/// How long a connection may idle: shorter than what OpenAI's edge and most gateways allow (60 s).
const MAX_IDLE: Duration = Duration::from_secs(55);
/// How often idle connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Heads up to 64 KiB and 256 fields from the upstream.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 256;

/// Connections to one upstream.
pub(super) struct Pool {
    dialer: Dialer,
    idle: Mutex<Vec<Idle>>,
    slots: Arc<Semaphore>,
    slot_timeout: Duration,
    tasks: TaskTracker,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

/// One connection; its drop closes it.
struct Connection {
    sender: SendRequest<RequestBody>,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The use of one connection for one exchange; dropping it without `give_back` closes it.
pub(super) struct Lease {
    connection: Option<Connection>,
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
        let (connection, is_reused) = match self.take_idle() {
            Some(connection) => (connection, true),
            None => (self.connect().await?, false),
        };
        Ok(Lease {
            connection: Some(connection),
            pool: Arc::downgrade(self),
            is_reused,
            _slot: slot,
        })
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

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let at = idle
            .iter()
            .rposition(|idle| idle.connection.sender.is_ready())?;
        Some(idle.remove(at).connection)
    }

    async fn connect(&self) -> Result<Connection, Fault> {
        let stream = self.dialer.dial().await?;
        let io = TokioIo::new(CappedReads::new(stream));
        let (sender, driver) = http1::Builder::new()
            .max_headers(MAX_HEADERS)
            .max_header_size(MAX_HEAD)
            .max_buf_size(MAX_HEAD + 1)
            .handshake(io)
            .await
            .map_err(|error| Fault::Broken(innermost(&error)))?;
        let task = self.tasks.spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection to the upstream ended badly");
            }
        });
        let driver = task.abort_handle();
        Ok(Connection { sender, driver })
    }

    fn put_idle(&self, connection: Connection) {
        let since = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(Idle { connection, since });
    }

    fn drop_stale(&self) {
        let now = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| {
            !idle.connection.sender.is_closed() && now.duration_since(idle.since) < MAX_IDLE
        });
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
    /// The request side of the connection.
    pub(super) fn sender(&mut self) -> Option<&mut SendRequest<RequestBody>> {
        self.connection
            .as_mut()
            .map(|connection| &mut connection.sender)
    }

    /// Whether the connection had served before, so that it may have died of old age.
    pub(super) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// Returns the connection after both bodies have ended cleanly.
    pub(super) fn give_back(mut self) {
        if let (Some(connection), Some(pool)) = (self.connection.take(), self.pool.upgrade())
            && !connection.sender.is_closed()
        {
            pool.put_idle(connection);
        }
    }
}
