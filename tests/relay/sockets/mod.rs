//! WebSockets: opened, relayed, watched over, and ended.

mod beta;
mod compression;
mod drain;
mod endings;
mod frames;
mod heartbeat;
mod opening;
mod operations;
mod origins;
mod pages;
mod refusals;
mod tls;
mod voice;
mod weight;

use crate::support::ws::Socket;
use crate::support::{Relay, authorization};

/// A socket of a holder of the token, at a stand-in that follows this script.
async fn scripted(relay: &Relay, script: &str) -> Socket {
    let (key, script) = (authorization(), format!("X-Fake-Script: {script}"));
    let opened = Socket::open(relay.address(), "/v1/realtime?model=m", &[&key, &script]).await;
    opened.unwrap_or_else(|answer| panic!("refused: {} {}", answer.status, answer.text()))
}

/// One whose messages come back as they are.
async fn echoing(relay: &Relay) -> Socket {
    scripted(relay, "echo").await
}
