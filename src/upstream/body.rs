//! The request's body on its way up: forwarded frame by frame, never held whole.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::headers;
use crate::wire::{BodyError, ClientBody};

/// Body bytes that went up so far; outlives whoever sends them.
#[derive(Clone, Debug, Default)]
pub struct Sent(Arc<AtomicU64>);

impl Sent {
    /// So many bytes.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// What goes up with a request.
pub struct RequestBody {
    source: Source,
    sent: Sent,
}

enum Source {
    Whole(Bytes),
    Client(ClientBody),
}

impl RequestBody {
    /// The client's body as it comes in.
    pub fn from_client(body: ClientBody, sent: Sent) -> RequestBody {
        let source = Source::Client(body);
        RequestBody { source, sent }
    }

    /// A body of the relay's own.
    pub fn whole(bytes: Bytes, sent: Sent) -> RequestBody {
        let source = Source::Whole(bytes);
        RequestBody { source, sent }
    }

    /// What was read of it has to go first.
    pub(super) fn pause(&mut self) {
        if let Source::Client(body) = &mut self.source {
            body.pause();
        }
    }

    fn poll_source(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.source {
            Source::Client(body) => Pin::new(body).poll_frame(cx),
            Source::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        let mut frame = ready!(body.poll_source(cx));
        if let Some(Ok(frame)) = &mut frame {
            body.sent.add(frame.data_ref().map_or(0, Bytes::len));
            if let Some(trailers) = frame.trailers_mut() {
                headers::strip_request_trailers(trailers);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole(bytes) => bytes.is_empty(),
            Source::Client(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(bytes) => {
                SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
            }
            Source::Client(body) => body.size_hint(),
        }
    }
}
