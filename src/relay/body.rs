//! The answer on its way to the client: the same chunks, and the Permit until the last of them.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::events::EventStream;
use super::exchange::Exchange;
use crate::admission::Revocation;
use crate::error::Refusal;
use crate::upstream::{Fault, ReplyBody};

/// The body of an answer that may have been made of the upstream's.
// The large variant is the common one.
#[allow(clippy::large_enum_variant)]
pub enum Answered {
    /// The upstream's, as it comes.
    Relayed(RelayedBody),
    /// Made of the upstream's, whole.
    Whole(Bytes),
}

/// An upstream answer's body. Dropped before its end, it counts as the client leaving.
pub struct RelayedBody {
    reply: ReplyBody,
    exchange: Exchange,
    events: Option<EventStream>,
    revocation: Revocation,
    /// The break that an event has told of already.
    broken: Option<Cut>,
}

/// Why an answer is cut.
#[derive(Debug)]
pub enum Cut {
    /// The upstream broke off, or the client's own body did.
    Fault(Fault),
    /// The caller's credential was withdrawn.
    Revoked,
}

impl Display for Cut {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Cut::Fault(fault) => fault.fmt(f),
            Cut::Revoked => f.write_str("the caller's credential was withdrawn"),
        }
    }
}

impl Error for Cut {}

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
            revocation: exchange.revocation(),
            exchange,
            events,
            broken: None,
        }
    }

    /// Reads to its end what no client takes any more.
    pub async fn read_on(mut self) {
        loop {
            let read = poll_fn(|cx| Pin::new(&mut self.reply).poll_frame(cx));
            match self.revocation.unless(pin!(read)).await {
                Some(Some(Ok(_))) => {}
                Some(Some(Err(fault))) => return self.exchange.broke(&fault),
                Some(None) => return self.exchange.gone(),
                None => return drop(self.exchange.revoked_midway()),
            }
        }
    }

    /// Lets the request's body go on while the client takes no more of this one.
    pub fn poll_upload(&mut self, cx: &mut Context<'_>) {
        self.reply.poll_upload(cx);
    }

    /// Ready once the caller's credential was withdrawn.
    pub fn poll_revoked(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.revocation.poll(cx)
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

    fn poll_comment(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut self.events {
            Some(events) => events
                .poll_comment(cx)
                .map(|text| Some(Ok(Frame::data(text)))),
            None => Poll::Pending,
        }
    }

    fn broke(&mut self, fault: Fault) -> Result<Frame<Bytes>, Cut> {
        self.exchange.broke(&fault);
        let refusal = Refusal::from(&fault);
        if fault.is_upstreams() {
            self.tell(Cut::Fault(fault), &refusal)
        } else {
            Err(Cut::Fault(fault))
        }
    }

    /// Tells of it first where there is a place for that.
    fn tell(&mut self, cut: Cut, refusal: &Refusal) -> Result<Frame<Bytes>, Cut> {
        match self
            .events
            .as_ref()
            .and_then(|events| events.last_event(refusal))
        {
            Some(event) => {
                self.broken = Some(cut);
                Ok(Frame::data(event))
            }
            None => Err(cut),
        }
    }
}

impl Body for RelayedBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(cut) = self.broken.take() {
            return Poll::Ready(Some(Err(cut)));
        }
        if self.revocation.poll(cx).is_ready() {
            let refusal = self.exchange.revoked_midway();
            return Poll::Ready(Some(self.tell(Cut::Revoked, &refusal)));
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
