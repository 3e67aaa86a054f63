//! A body that hyper sends: what it lacks of the relay's own HTTP/1.1. A break waits a moment, so
//! that what came before it arrives; and a reader that takes nothing for too long is let go.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::http2::Tasks;
use crate::config::Limits;
use crate::edge::Body;

/// How long what came before a break has to reach the client: a reset forgets what waits.
const BEFORE_RESET: Duration = Duration::from_millis(50);

type BoxError = Box<dyn Error + Send + Sync>;

/// Watches a body while hyper sends it.
pub(super) fn watched(body: Body, limits: &Limits, tasks: &Tasks) -> Watched {
    let is_short = body
        .size_hint()
        .upper()
        .is_some_and(|bytes| bytes <= 16 * 1024);
    let shared = Arc::new(Mutex::new(Shared {
        body: Some(body),
        waits_for_client: None,
    }));
    // What fits into one window needs nobody's patience.
    if !is_short {
        tasks.spawn(let_go(Arc::downgrade(&shared), limits.write_timeout));
    }
    Watched {
        shared,
        broken: None,
    }
}

struct Shared {
    /// None once it was let go.
    body: Option<Body>,
    /// Since when something waits for the client to take it.
    waits_for_client: Option<Instant>,
}

/// A body with somebody who watches it.
pub(super) struct Watched {
    shared: Arc<Mutex<Shared>>,
    broken: Option<(Pin<Box<Sleep>>, BoxError)>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drops a body, and with it the connection to the upstream, when its client stalls.
async fn let_go(shared: std::sync::Weak<Mutex<Shared>>, limit: Duration) {
    loop {
        let Some(due) = shared.upgrade().map(|shared| due(&shared, limit)) else {
            return;
        };
        match due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => return,
        }
    }
}

/// When to look again; `None` when there is nothing to look at any more.
fn due(shared: &Mutex<Shared>, limit: Duration) -> Option<Instant> {
    let mut shared = lock(shared);
    let now = Instant::now();
    let due = shared.waits_for_client.unwrap_or(now) + limit;
    if due > now {
        return shared.body.is_some().then_some(due);
    }
    shared.body.take()?.stalled();
    None
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.broken.is_none() {
            let polled = {
                let mut shared = lock(&self.shared);
                let polled = match &mut shared.body {
                    Some(body) => Pin::new(body).poll_frame(cx),
                    None => Poll::Ready(Some(Err("the client stalled".into()))),
                };
                // hyper asks for a piece only when there is room for it.
                shared.waits_for_client = polled.is_ready().then(Instant::now);
                polled
            };
            match ready!(polled) {
                Some(Err(error)) => {
                    let moment = Box::pin(tokio::time::sleep(BEFORE_RESET));
                    self.broken = Some((moment, error));
                }
                frame => return Poll::Ready(frame),
            }
        }
        if let Some((moment, _)) = &mut self.broken {
            ready!(moment.as_mut().poll(cx));
        }
        Poll::Ready(self.broken.take().map(|(_, error)| Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        let shared = lock(&self.shared);
        let ended = shared
            .body
            .as_ref()
            .is_some_and(http_body::Body::is_end_stream);
        self.broken.is_none() && ended
    }

    fn size_hint(&self) -> SizeHint {
        let shared = lock(&self.shared);
        shared
            .body
            .as_ref()
            .map(http_body::Body::size_hint)
            .unwrap_or_default()
    }
}
