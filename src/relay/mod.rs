//! The movers: one entry for each way of carrying an exchange. Each takes its Permit by value.

#[cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "the mover of sockets calls it")
)]
pub(crate) mod beta;
mod body;
mod events;
mod exchange;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod http;
mod offer;
#[cfg(feature = "panics")]
mod panics;
mod sdp;

pub use body::RelayedBody;
pub use offer::OfferDraft;

use std::time::Duration;

use crate::admission::Permit;
use crate::error::{Kind, Refusal};
use crate::upstream::Upstream;
use exchange::Exchange;

/// Carries admitted requests to the upstream and its answers back.
pub struct Relay {
    upstream: Upstream,
    realtime_model: String,
    sse_keepalive: Duration,
}

impl Relay {
    /// A relay to this upstream. `realtime_model` is what an `/offer` without a model gets;
    /// `sse_keepalive` the silence of an event stream that gets a comment, zero for none.
    pub fn new(upstream: Upstream, realtime_model: String, sse_keepalive: Duration) -> Relay {
        Relay {
            upstream,
            realtime_model,
            sse_keepalive,
        }
    }

    /// WebSockets are not relayed yet: an admitted upgrade hears so.
    pub fn socket(&self, permit: Permit) -> Refusal {
        Exchange::new(permit).refused(Refusal::new(
            Kind::SocketsNotRelayed,
            "This version of the relay does not carry WebSockets yet. Use HTTP, SSE or POST /offer.",
        ))
    }
}
