//! The body of any answer: whole, from the control router, relayed, or a socket in its place.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::Full;

use super::finish::Kept;
use crate::admission::Gate;
use crate::relay::{Answered, RelayedBody, Socket};

type BoxError = Box<dyn Error + Send + Sync>;

/// What hyper sends.
// The large variant is the common one; a box would cost every relayed answer an allocation.
#[allow(clippy::large_enum_variant)]
pub enum Body {
    /// Made by the relay, whole.
    Whole(Full<Bytes>),
    /// Made by the control router.
    Control(axum::body::Body),
    /// The upstream's, with its Permit.
    Relayed(RelayedBody),
    /// The same, read to its end even if its client leaves.
    Kept(Box<Kept>),
    /// None: the connection becomes this.
    Socket(Box<Socket>),
}

impl Body {
    /// A body that is there already.
    pub(super) fn whole(bytes: Bytes) -> Body {
        Body::Whole(Full::new(bytes))
    }

    /// An answer that may have been made of the upstream's.
    pub(super) fn answered(body: Answered) -> Body {
        match body {
            Answered::Relayed(body) => Body::Relayed(body),
            Answered::Whole(bytes) => Body::whole(bytes),
        }
    }

    /// The same, where it is read to its end even if its client leaves.
    pub(super) fn kept(body: Answered, gate: &Arc<Gate>) -> Body {
        match body {
            Answered::Relayed(body) => Body::Kept(Box::new(Kept::new(body, Arc::clone(gate)))),
            Answered::Whole(bytes) => Body::whole(bytes),
        }
    }

    /// None, because the connection becomes a socket.
    pub(super) fn socket(socket: Socket) -> Body {
        Body::Socket(Box::new(socket))
    }
}

impl Body {
    /// The upstream's, where it is that.
    fn relayed(&mut self) -> Option<&mut RelayedBody> {
        match self {
            Body::Relayed(body) => Some(body),
            Body::Kept(kept) => kept.running(),
            Body::Whole(_) | Body::Control(_) | Body::Socket(_) => None,
        }
    }

    /// Lets the request's body go on while the client takes no more of this one.
    pub fn poll_upload(&mut self, cx: &mut Context<'_>) {
        if let Some(body) = self.relayed() {
            body.poll_upload(cx);
        }
    }

    /// Ready once the caller's credential was withdrawn.
    pub fn poll_revoked(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.relayed() {
            Some(body) => body.poll_revoked(cx),
            None => Poll::Pending,
        }
    }

    /// The client left before all of it was written.
    pub fn gone(&mut self) {
        match self {
            // Goes on.
            Body::Kept(_) => {}
            body => drop(body.relayed().map(RelayedBody::gone)),
        }
    }

    /// The client took no more of it for too long.
    pub fn stalled(&mut self) {
        match self {
            Body::Kept(kept) => drop(kept.give_up().as_mut().map(RelayedBody::stalled)),
            body => drop(body.relayed().map(RelayedBody::stalled)),
        }
    }

    /// The relay made a mistake over it.
    pub fn panicked(&mut self) {
        match self {
            Body::Kept(kept) => drop(kept.give_up().as_mut().map(RelayedBody::panicked)),
            body => drop(body.relayed().map(RelayedBody::panicked)),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Body::Whole(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Body::Control(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Body::Relayed(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Body::Kept(body) => Pin::new(&mut **body).poll_frame(cx).map_err(Into::into),
            Body::Socket(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(body) => body.is_end_stream(),
            Body::Control(body) => body.is_end_stream(),
            Body::Relayed(body) => body.is_end_stream(),
            Body::Kept(body) => body.is_end_stream(),
            Body::Socket(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(body) => body.size_hint(),
            Body::Control(body) => body.size_hint(),
            Body::Relayed(body) => body.size_hint(),
            Body::Kept(body) => body.size_hint(),
            Body::Socket(_) => SizeHint::with_exact(0),
        }
    }
}
