//! The movers: one entry for each way of carrying an exchange. Each takes its Permit by value.

#[cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "the mover of sockets calls it")
)]
pub(crate) mod beta;
mod body;
mod chat;
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
pub use chat::{Chat, ChatBody};
pub use offer::OfferDraft;
pub use socket::{Farewell, Handshake, Life, Opened, Patience, Rules, Socket};

use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, Method};

use crate::error::Refusal;
use crate::upstream::{Outgoing, Reply, RequestBody, Upstream};
use chat::KnownModels;
use exchange::Exchange;

/// What of a request an exchange does not say.
struct Wish<'a> {
    method: Method,
    target: &'a [u8],
    headers: HeaderMap,
    body: RequestBody,
}

/// Carries admitted requests to the upstream and its answers back.
pub struct Relay {
    upstream: Arc<Upstream>,
    realtime_model: String,
    default_model: String,
    models: KnownModels,
    sse_keepalive: Duration,
    rules: Arc<Rules>,
}

impl Relay {
    /// A relay to this upstream. `realtime_model` is what an `/offer` without a model gets,
    /// `default_model` what a chat without one gets;
    /// `sse_keepalive` the silence of an event stream that gets a comment, zero for none; `rules`
    /// what bounds sessions.
    pub fn new(
        upstream: Arc<Upstream>,
        realtime_model: String,
        default_model: String,
        sse_keepalive: Duration,
        rules: Rules,
    ) -> Relay {
        Relay {
            upstream,
            realtime_model,
            default_model,
            models: KnownModels::default(),
            sse_keepalive,
            rules: Arc::new(rules),
        }
    }

    /// Sends a request for an exchange, and waits for the head of its answer, unless the caller's
    /// credential is withdrawn before that.
    async fn send(&self, exchange: &mut Exchange, wish: Wish<'_>) -> Result<Reply, Refusal> {
        let outgoing = Outgoing {
            method: wish.method,
            target: wish.target,
            headers: wish.headers,
            credential: exchange.credential(),
            may_name_organization: exchange.may_name_organization(),
            body: wish.body,
        };
        let mut revocation = exchange.revocation();
        let sent = revocation.unless(self.upstream.send(outgoing));
        match sent.await {
            Some(Ok(reply)) => Ok(reply),
            Some(Err(fault)) => Err(exchange.faulted(&fault)),
            None => Err(exchange.revoked()),
        }
    }
}
