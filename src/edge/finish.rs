//! Finish: what is done to its end even if its client leaves. That is whatever was asked of the relay
//! itself: what it has written to the database by then is also what the rest of the relay goes by. And
//! it is what was asked for by a credential whose rule `on_leave` says so.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};

use crate::admission::Gate;
use crate::relay::{Cut, RelayedBody};
use crate::wire::{BodyError, ClientBody};

/// How long anything goes on without its client.
const LONGEST: Duration = Duration::from_secs(600);

/// Work that goes on in a task of its own, which the drain waits for, when nobody waits here any
/// more.
pub(super) struct Finish<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    work: Option<Pin<Box<F>>>,
    has_left: Arc<AtomicBool>,
    gate: Arc<Gate>,
}

impl<F> Finish<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    /// The work that `begin` makes of this request.
    pub(super) fn of(
        request: Request<ClientBody>,
        gate: &Arc<Gate>,
        begin: impl FnOnce(Request<Upload>) -> F,
    ) -> Finish<F> {
        let has_left = Arc::new(AtomicBool::new(false));
        let request = request.map(|body| Upload {
            body,
            has_left: Arc::clone(&has_left),
        });
        let mut finish = Finish::new(begin(request), gate);
        finish.has_left = has_left;
        finish
    }

    /// This work, which sees by itself whether its client is still there.
    pub(super) fn new(work: F, gate: &Arc<Gate>) -> Finish<F> {
        Finish {
            work: Some(Box::pin(work)),
            has_left: Arc::default(),
            gate: Arc::clone(gate),
        }
    }
}

impl<F> Future for Finish<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // Out of its place meanwhile: work that panics is not taken up again.
        let work = self.work.take();
        let mut work = work.expect("nothing is polled after its end");
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<F> Drop for Finish<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.has_left.store(true, Ordering::Relaxed);
            self.gate.finish(async move {
                let _ = tokio::time::timeout(LONGEST, work).await;
            });
        }
    }
}

/// A request's body. Once the client has left, what of it is not there will not come.
pub(super) struct Upload {
    body: ClientBody,
    has_left: Arc<AtomicBool>,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending if self.has_left.load(Ordering::Relaxed) => {
                Poll::Ready(Some(Err(BodyError::Gone)))
            }
            polled => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer that is read to its end even if its client leaves.
pub struct Kept {
    /// None once it has ended, or was given up.
    body: Option<RelayedBody>,
    gate: Arc<Gate>,
}

impl Kept {
    pub(super) fn new(body: RelayedBody, gate: Arc<Gate>) -> Kept {
        let body = Some(body);
        Kept { body, gate }
    }

    /// The answer, while it runs.
    pub(super) fn running(&mut self) -> Option<&mut RelayedBody> {
        self.body.as_mut()
    }

    /// It is not read on.
    pub(super) fn give_up(&mut self) -> Option<RelayedBody> {
        self.body.take()
    }
}

impl Body for Kept {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let kept = self.get_mut();
        let Some(body) = &mut kept.body else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            kept.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(body) = self.body.take()
            && !body.is_end_stream()
        {
            self.gate.finish(async move {
                let _ = tokio::time::timeout(LONGEST, body.read_on()).await;
            });
        }
    }
}
