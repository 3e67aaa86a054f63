//! The answer on its way to the client: the same chunks, and the Permit until the last of them.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::events::EventStream;
use super::exchange::Exchange;
use crate::error::Refusal;
use crate::upstream::{Fault, ReplyBody};

/// An upstream answer's body. Dropped before its end, it counts as the client leaving.
pub struct RelayedBody {
    reply: ReplyBody,
    exchange: Exchange,
    events: Option<EventStream>,
    /// The break that an event has told of already.
    broken: Option<Fault>,
}

impl RelayedBody {
    pub(super) fn new(
        reply: ReplyBody,
        mut exchange: Exchange,
        events: Option<EventStream>,
    ) -> RelayedBody {
        // hyper never polls a body that is empty from the start (HEAD, 204, 304).
        if reply.is_end_stream() {
            exchange.completed();
        }
        RelayedBody {
            reply,
            exchange,
            events,
            broken: None,
        }
    }

    /// Lets the request's body go on while the client takes no more of this one.
    pub fn poll_upload(&mut self, cx: &mut Context<'_>) {
        self.reply.poll_upload(cx);
    }

    /// The client left before all of it was written.
    pub fn gone(&mut self) {
        self.exchange.gone();
    }

    /// The client took no more of it for too long.
    pub fn stalled(&mut self) {
        self.exchange.stalled();
    }

    /// The relay made a mistake over it.
    pub fn panicked(&mut self) {
        self.exchange.panicked();
    }
}

impl RelayedBody {
    fn went(&mut self, frame: &Frame<Bytes>) {
        if let Some(bytes) = frame.data_ref() {
            #[cfg(feature = "panics")]
            assert!(
                bytes.as_ref() != b"panic",
                "a panic was asked for, in a body"
            );
            self.exchange.sent_down(bytes.len());
            if let Some(events) = &mut self.events {
                events.went(bytes);
            }
        }
        // Nobody polls again once the announced length is reached or trailers came.
        if frame.is_trailers() || self.reply.is_end_stream() {
            self.exchange.completed();
        }
    }

    fn poll_comment(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match &mut self.events {
            Some(events) => events
                .poll_comment(cx)
                .map(|text| Some(Ok(Frame::data(text)))),
            None => Poll::Pending,
        }
    }

    /// Tells of it first where there is a place for that.
    fn broke(&mut self, fault: Fault) -> Result<Frame<Bytes>, Fault> {
        self.exchange.broke(&fault);
        let refusal = Refusal::from(&fault);
        let events = self.events.as_ref().filter(|_| fault.is_upstreams());
        match events.and_then(|events| events.last_event(&refusal)) {
            Some(event) => {
                self.broken = Some(fault);
                Ok(Frame::data(event))
            }
            None => Err(fault),
        }
    }
}

impl Body for RelayedBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Some(fault) = self.broken.take() {
            return Poll::Ready(Some(Err(fault)));
        }
        let frame = match Pin::new(&mut self.reply).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => return self.poll_comment(cx),
        };
        match frame {
            None => {
                self.exchange.completed();
                Poll::Ready(None)
            }
            Some(Ok(frame)) => {
                self.went(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(fault)) => Poll::Ready(Some(self.broke(fault))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.reply.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.reply.size_hint()
    }
}
