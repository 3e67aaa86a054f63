//! Builds every room once, from its own slice of the configuration.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::admission::{Drain, Gate, Pressure, Sessions};
use crate::config::Config;
use crate::control::Control;
use crate::edge::Edge;
use crate::relay::{Patience, Relay, Rules};
use crate::server::Server;
use crate::telemetry::Counters;
use crate::upstream::Upstream;

/// A relay that listens, ready to run. Must be called inside the runtime.
pub fn build(config: &Config) -> Result<Server> {
    let drain = Arc::new(Drain::new());
    let pressure = Arc::new(Pressure::default());
    let counters = Arc::new(Counters::new());
    let upstream = Upstream::new(&config.upstream)?;
    let sessions = Arc::new(Sessions::new(config.realtime.max_sessions));
    let gate = Gate::new(
        config.access.clone(),
        config.environment,
        upstream.has_server_key(),
        Arc::clone(&drain),
        Arc::clone(&pressure),
        Arc::clone(&sessions),
        Arc::clone(&counters),
    );
    let relay = Relay::new(
        upstream,
        &config.realtime,
        config.sse_keepalive,
        rules(config),
    );
    let control = Control::new(Arc::clone(&drain), sessions, counters).router();
    let proxies = config.server.trusted_proxies.clone();
    let edge = Arc::new(Edge::new(gate, relay, control, proxies));
    Server::bind(&config.server, edge, drain, pressure)
}

fn rules(config: &Config) -> Rules {
    let realtime = &config.realtime;
    let unless_zero = |limit: Duration| (!limit.is_zero()).then_some(limit);
    let conversation = Patience {
        heartbeat: unless_zero(realtime.heartbeat),
        inactivity: unless_zero(realtime.inactivity),
        session: unless_zero(realtime.session),
    };
    let other = Patience {
        inactivity: None,
        ..conversation
    };
    Rules {
        conversation: Arc::new(conversation),
        other: Arc::new(other),
        beta: realtime.beta,
        compression: realtime.compression,
        max_message: realtime.max_message_bytes,
        client_stall: config.server.limits.write_timeout,
        upstream_stall: config.upstream.write_timeout,
    }
}
