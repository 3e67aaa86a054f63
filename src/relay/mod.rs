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
mod socket;

pub use body::RelayedBody;
pub use offer::OfferDraft;
pub use socket::{Farewell, Handshake, Life, Opened, Patience, Rules, Socket};

use std::sync::Arc;
use std::time::Duration;

use crate::upstream::Upstream;

/// Carries admitted requests to the upstream and its answers back.
pub struct Relay {
    upstream: Upstream,
    realtime_model: String,
    sse_keepalive: Duration,
    rules: Arc<Rules>,
}

impl Relay {
    /// A relay to this upstream. `realtime_model` is what an `/offer` without a model gets;
    /// `sse_keepalive` the silence of an event stream that gets a comment, zero for none; `rules`
    /// what bounds sessions.
    pub fn new(
        upstream: Upstream,
        realtime_model: String,
        sse_keepalive: Duration,
        rules: Rules,
    ) -> Relay {
        Relay {
            upstream,
            realtime_model,
            sse_keepalive,
            rules: Arc::new(rules),
        }
    }
}
