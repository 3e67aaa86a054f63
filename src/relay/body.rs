//! The answer on its way to the client: the same chunks, and the Permit until the last of them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::exchange::Exchange;
use crate::upstream::{Fault, ReplyBody};

/// An upstream answer's body. Dropped before its end, it counts as the client leaving.
pub struct RelayedBody {
    reply: ReplyBody,
    exchange: Exchange,
}

impl RelayedBody {
    pub(super) fn new(reply: ReplyBody, mut exchange: Exchange) -> RelayedBody {
        // hyper never polls a body that is empty from the start (HEAD, 204, 304).
        if reply.is_end_stream() {
            exchange.completed();
        }
        RelayedBody { reply, exchange }
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

impl Body for RelayedBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let frame = ready!(Pin::new(&mut self.reply).poll_frame(cx));
        match &frame {
            None => self.exchange.completed(),
            Some(Err(fault)) => self.exchange.broke(fault),
            Some(Ok(frame)) => {
                self.exchange
                    .sent_down(frame.data_ref().map_or(0, Bytes::len));
                // Nor does it poll again once the announced length is reached or trailers came.
                if frame.is_trailers() || self.reply.is_end_stream() {
                    self.exchange.completed();
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.reply.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.reply.size_hint()
    }
}
