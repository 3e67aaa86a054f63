//! The movers: one entry for each way of carrying an exchange. Each takes its Permit by value.

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

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config;
use crate::upstream::Upstream;
use beta::{Aliases, RETIRED_MODELS};

/// Carries admitted requests to the upstream and its answers back.
pub struct Relay {
    upstream: Upstream,
    realtime_model: String,
    aliases: Aliases,
    /// Models that were replaced, each logged once.
    replaced: Mutex<BTreeSet<String>>,
    sse_keepalive: Duration,
    rules: Arc<Rules>,
}

impl Relay {
    /// A relay to this upstream. `sse_keepalive`: the silence of an event stream that gets a
    /// comment, zero for none; `rules`: what bounds sessions.
    pub fn new(
        upstream: Upstream,
        realtime: &config::Realtime,
        sse_keepalive: Duration,
        rules: Rules,
    ) -> Relay {
        let retired = RETIRED_MODELS.map(|old| (old.to_owned(), realtime.model.clone()));
        // The operator's own pairs are found first.
        let aliases = realtime.aliases.iter().cloned().chain(retired);
        Relay {
            upstream,
            realtime_model: realtime.model.clone(),
            aliases: Aliases::new(aliases),
            replaced: Mutex::new(BTreeSet::new()),
            sse_keepalive,
            rules: Arc::new(rules),
        }
    }

    /// The model that stands in the place of this one; its name is logged once.
    fn replace_model(&self, model: &str) -> Option<&str> {
        let successor = self.aliases.successor(model);
        let successor = successor.filter(|successor| *successor != model)?;
        let mut replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        if replaced.insert(model.to_owned()) {
            tracing::info!(model, successor, "a model is replaced (MODEL_ALIASES)");
        }
        Some(successor)
    }
}
