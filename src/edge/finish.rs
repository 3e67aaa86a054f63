//! Finish: what was asked of the relay itself is done to its end, even if its client leaves. What it
//! has written to the database by then is also what the rest of the relay goes by.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};

use crate::admission::Gate;
use crate::wire::{BodyError, ClientBody};

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
        Finish {
            work: Some(Box::pin(begin(request))),
            has_left,
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
                work.await;
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
