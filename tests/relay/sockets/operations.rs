//! What operators see of sessions.

use serde_json::Value;
use tokio::time::timeout;

use super::echoing;
use crate::support::relay::SOON;
use crate::support::{Relay, get, pair, pair_with};

#[tokio::test]
async fn health_and_stats_count_sessions_messages_and_errors() {
    let (upstream, mut relay) = pair_with(&[("MAX_CONNECTIONS", "7")]).await;
    let mut first = echoing(&relay).await;
    let mut second = echoing(&relay).await;
    for socket in [&mut first, &mut second] {
        socket.say("hi").await;
        socket.message().await;
    }
    // A message is counted once it is written, when its reader may have it already.
    let health = told(&relay, "/health", |health| {
        health["stats"]["messagesRelayed"] == 4
    });
    let health = health.await;
    assert_eq!(health["activeConnections"], 2, "{health}");
    assert_eq!(health["stats"]["activeConnections"], 2);
    assert_eq!(health["stats"]["totalConnections"], 2);
    assert_eq!(health["stats"]["errors"], 0);
    let broken = super::scripted(&relay, "echo fin").await;
    relay
        .line(|line| line["outcome"] == "upstream_failed")
        .await;
    drop((first, broken));
    relay.line(|line| line["outcome"] == "client_gone").await;
    let stats = told(&relay, "/stats", |stats| stats["activeConnections"] == 1).await;
    assert_eq!(stats["totalConnections"], 3);
    assert_eq!(stats["maxConnections"], 7);
    assert_eq!(stats["errors"], 1);
    drop(second);
    upstream.socket_until(1, |socket| !socket.open).await;
}

/// What the relay tells of itself on this path, once it is so.
async fn told(relay: &Relay, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut told = Value::Null;
    let telling = async {
        while !is_so(&told) {
            told = get(relay.address(), path, &[]).await.json();
        }
    };
    let in_time = timeout(SOON, telling).await.is_ok();
    assert!(in_time, "{path}: {told}");
    told
}

#[tokio::test]
async fn a_sessions_line_tells_how_long_it_was_and_nothing_that_was_said() {
    let (_upstream, mut relay) = pair().await;
    let mut socket = echoing(&relay).await;
    socket
        .say("a secret of the client's: sk-client-secret-0123456789")
        .await;
    socket.message().await;
    drop(socket);
    let line = relay.line(|line| line["status"] == 101).await;
    assert!(
        line["total_ms"].as_f64() >= line["first_byte_ms"].as_f64(),
        "{line}"
    );
    assert_eq!(line["path"], "/v1/realtime");
    assert!(!relay.log_text().contains("secret of"));
}
