//! The upstream's answer: its head, and a body that keeps the connection until its end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::response::Parts;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::body::{Progress, Stage};
use super::fault::{Fault, innermost};
use super::headers;
use super::pool::Lease;

/// An answer whose body has yet to come.
pub struct Reply {
    /// Status and headers, as far as the client may see them.
    pub head: Parts,
    /// The body.
    pub body: ReplyBody,
}

impl Reply {
    pub(super) fn new(
        response: http::Response<Incoming>,
        lease: Lease,
        progress: Arc<Progress>,
        read_timeout: Duration,
    ) -> Reply {
        let (head, incoming) = response.into_parts();
        let mut body = ReplyBody {
            incoming,
            lease: Some(lease),
            progress,
            silence: Silence::new(read_timeout),
        };
        if body.incoming.is_end_stream() {
            body.release();
        }
        Reply { head, body }
    }
}

/// The answer's bytes as they come. Its end gives the connection back, its drop closes it.
pub struct ReplyBody {
    incoming: Incoming,
    lease: Option<Lease>,
    progress: Arc<Progress>,
    silence: Silence,
}

impl ReplyBody {
    /// The connection may serve again, unless the request's body is still on its way.
    fn release(&mut self) {
        if let Some(lease) = self.lease.take()
            && self.progress.stage() == Stage::Ended
        {
            lease.give_back();
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Pending => match self.silence.poll_too_long(cx) {
                Poll::Ready(()) => {
                    self.lease = None;
                    Poll::Ready(Some(Err(Fault::ReadTimeout)))
                }
                Poll::Pending => Poll::Pending,
            },
            Poll::Ready(None) => {
                self.release();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(mut frame))) => {
                self.silence.end();
                if let Some(trailers) = frame.trailers_mut() {
                    headers::strip_response_trailers(trailers);
                }
                if self.incoming.is_end_stream() {
                    self.release();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.lease = None;
                Poll::Ready(Some(Err(Fault::Broken(innermost(&error)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// Measures how long nothing has come. Re-arms its timer only when it fires, not per chunk.
struct Silence {
    limit: Duration,
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    fn new(limit: Duration) -> Silence {
        Silence {
            limit,
            since: None,
            timer: None,
        }
    }

    fn end(&mut self) {
        self.since = None;
    }

    fn poll_too_long(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let deadline = *self.since.get_or_insert(now) + self.limit;
        let limit = self.limit;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        loop {
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}
