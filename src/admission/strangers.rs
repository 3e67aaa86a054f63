//! Strangers: credentials that nobody knows, which anybody can make up.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::store::Fault;

/// How many strangers are asked about at once: half of a server's connections.
pub(super) const MOST_ASKING: usize = 4;
/// How many more wait for that. A relay that has just started knows none of its clients.
pub(super) const MOST_WAITING: usize = 64;

/// Those whom nobody knows. However many come, they leave most of the database to all others.
pub(super) struct Strangers {
    /// Places for those who ask and for those who wait.
    pub(super) places: Semaphore,
    asking: Semaphore,
}

impl Strangers {
    pub(super) fn new() -> Strangers {
        Strangers {
            places: Semaphore::new(MOST_ASKING + MOST_WAITING),
            asking: Semaphore::new(MOST_ASKING),
        }
    }

    /// Waits to be the next, unless too many do.
    pub(super) async fn turn(&self) -> Result<[SemaphorePermit<'_>; 2], Fault> {
        let too_many = "too many credentials that nobody knows are asked about at once";
        let too_many = || Fault::Unreachable(too_many.to_owned());
        let place = self.places.try_acquire().map_err(|_| too_many())?;
        let asking = self.asking.acquire().await.map_err(|_| too_many())?;
        Ok([place, asking])
    }
}
