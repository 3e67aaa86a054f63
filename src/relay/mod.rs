//! The movers: one entry for each way of carrying an exchange. Each takes its Permit by value.

pub(crate) mod beta;
mod body;
mod chat;
mod events;
mod exchange;
mod form;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod http;
mod json;
mod judge;
mod live;
mod offer;
#[cfg(feature = "panics")]
mod panics;
mod retired;
mod sdp;
mod secret;
mod socket;
mod whole;

pub use body::{Answered, Cut, RelayedBody};
pub use chat::Chat;
pub use offer::OfferDraft;
pub use socket::{Farewell, Handshake, Life, Opened, Patience, Rules, Socket};

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderName, Method, StatusCode, header};

use crate::admission::{Calls, Sealing};
use crate::config;
use crate::error::Refusal;
use crate::fields::Fields;
use crate::upstream::{Outgoing, Reply, RequestBody, Upstream};
use beta::{Aliases, RETIRED_MODELS};
use chat::KnownModels;
use exchange::Exchange;
use judge::Judge;

/// Names the model that stands in the place of the client's.
const X_RELAY_MODEL: HeaderName = HeaderName::from_static("x-relay-model");

/// What of a request an exchange does not say.
struct Wish<'a> {
    method: Method,
    target: &'a [u8],
    fields: Fields,
    body: RequestBody,
    /// Whether its body was held against the caller's rules already.
    is_seen: bool,
}

/// Carries admitted requests to the upstream and its answers back.
pub struct Relay {
    upstream: Arc<Upstream>,
    realtime_model: String,
    aliases: Aliases,
    default_model: String,
    models: KnownModels,
    sse_keepalive: Duration,
    rules: Arc<Rules>,
    sealing: Arc<Sealing>,
    calls: Arc<Calls>,
}

impl Relay {
    /// A relay to this upstream. `default_model` is what a chat without one gets; `sse_keepalive`
    /// the silence of an event stream that gets a comment, zero for none; `rules` what bounds
    /// sessions; `sealing` makes tokens of the relay's own, `calls` knows whose calls are whose.
    pub fn new(
        upstream: Arc<Upstream>,
        realtime: &config::Realtime,
        default_model: String,
        sse_keepalive: Duration,
        rules: Rules,
        sealing: Arc<Sealing>,
        calls: Arc<Calls>,
    ) -> Relay {
        let retired = RETIRED_MODELS.map(|old| (old.to_owned(), realtime.model.clone()));
        // The operator's own pairs are found first.
        let aliases = realtime.aliases.iter().cloned().chain(retired);
        Relay {
            upstream,
            realtime_model: realtime.model.clone(),
            aliases: Aliases::new(aliases),
            default_model,
            models: KnownModels::default(),
            sse_keepalive,
            rules: Arc::new(rules),
            sealing,
            calls,
        }
    }

    /// A query whose models that have successors are replaced, and the last of those.
    fn renew<'a>(&self, query: &'a [u8]) -> (Cow<'a, [u8]>, Option<&str>) {
        let mut replaced = None;
        let renewed: Vec<Cow<'_, [u8]>> = query
            .split(|byte| *byte == b'&')
            .map(|pair| {
                let model = pair.strip_prefix(b"model=");
                let model = model.and_then(|model| std::str::from_utf8(model).ok());
                match model.and_then(|model| self.replace_model(model)) {
                    Some(successor) => {
                        replaced = Some(successor);
                        Cow::Owned([b"model=", successor.as_bytes()].concat())
                    }
                    None => Cow::Borrowed(pair),
                }
            })
            .collect();
        match replaced {
            Some(_) => (Cow::Owned(renewed.join(&b'&')), replaced),
            None => (Cow::Borrowed(query), None),
        }
    }

    /// The model that stands in the place of this one; its name is logged once.
    fn replace_model(&self, model: &str) -> Option<&str> {
        let successor = self.aliases.successor(model);
        let successor = successor.filter(|successor| *successor != model)?;
        log_successor(&self.aliases, model, successor);
        Some(successor)
    }

    /// Sends a request for an exchange, and waits for the head of its answer, unless the caller's
    /// credential is withdrawn before that.
    async fn send(&self, exchange: &mut Exchange, wish: Wish<'_>) -> Result<Reply, Refusal> {
        let wish = match Judge::of(exchange.principal()) {
            None => wish,
            Some(judge) => {
                let judged = Box::pin(self.judge(&judge, wish)).await;
                judged.map_err(|refusal| exchange.refused(refusal))?
            }
        };
        let outgoing = Outgoing {
            method: wish.method,
            target: wish.target,
            fields: wish.fields,
            credential: exchange.credential(),
            may_name_organization: exchange.may_name_organization(),
            body: wish.body,
        };
        let mut revocation = exchange.revocation();
        let sent = revocation.unless(pin!(self.upstream.send(outgoing))).await;
        match sent {
            Some(Ok(reply)) => {
                if let Some(call) = made_call(&reply) {
                    self.calls.note(exchange.principal(), &call).await;
                }
                Ok(reply)
            }
            Some(Err(fault)) => Err(exchange.faulted(&fault)),
            None => Err(exchange.revoked()),
        }
    }
}

/// The call that an answer is about, if one was made.
fn made_call(reply: &Reply) -> Option<String> {
    let location = reply.fields.text(&header::LOCATION)?;
    let is_made = reply.status == StatusCode::CREATED && location.contains("/calls/");
    let id = offer::call_id(location).filter(|_| is_made);
    id.map(str::to_owned)
}

/// Once for each name.
fn log_successor(aliases: &Aliases, model: &str, successor: &str) {
    if aliases.is_news(model) {
        tracing::info!(model, successor, "a model is replaced (MODEL_ALIASES)");
    }
}
