//! Builds every room once, from its own slice of the configuration.

use std::sync::Arc;

use anyhow::Result;

use crate::admission::{Drain, Gate, Pressure};
use crate::config::Config;
use crate::control::Control;
use crate::edge::Edge;
use crate::relay::Relay;
use crate::server::Server;
use crate::telemetry::Counters;
use crate::upstream::Upstream;

/// A relay that listens, ready to run. Must be called inside the runtime.
pub fn build(config: &Config) -> Result<Server> {
    let drain = Arc::new(Drain::new());
    let pressure = Arc::new(Pressure::default());
    let counters = Arc::new(Counters::new());
    let upstream = Upstream::new(&config.upstream)?;
    let gate = Gate::new(
        config.access.clone(),
        config.environment,
        upstream.has_server_key(),
        Arc::clone(&drain),
        Arc::clone(&pressure),
        Arc::clone(&counters),
    );
    let relay = Relay::new(
        upstream,
        config.realtime.model.clone(),
        config.sse_keepalive,
    );
    let control = Control::new(Arc::clone(&drain), counters).router();
    let proxies = config.server.trusted_proxies.clone();
    let edge = Arc::new(Edge::new(gate, relay, control, proxies));
    Server::bind(&config.server, edge, drain, pressure)
}
