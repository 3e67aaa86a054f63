//! P36 as far as built: SIGTERM ends the relay without cutting what fits its time.

use std::time::Duration;

use crate::support::ws::Socket;
use crate::support::{Connection, Relay, authorization, get, pair_with, request, trust};

/// A stream whose first event comes at once and whose rest comes after a while.
fn stream(wait_ms: u64) -> Vec<u8> {
    let script = format!("X-Fake-Script: silence={wait_ms}");
    let lines = [&authorization(), "Content-Type: application/json", &script];
    let body =
        r#"{"model":"gpt-6-luna","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;
    request("POST", "/v1/chat/completions", &lines, body.as_bytes())
}

/// Opens a stream and waits for its head.
async fn begin(relay: &Relay, wait_ms: u64) -> Connection {
    let mut connection = Connection::open(relay.address()).await;
    connection.write(&stream(wait_ms)).await;
    let head = connection.head().await.expect("a head");
    assert_eq!(head.status, 200);
    connection
}

/// Everything that comes until the connection closes.
async fn rest(connection: &mut Connection) -> String {
    let mut all = Vec::new();
    while let Some(bytes) = connection.more().await {
        all.extend(bytes);
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test]
async fn a_running_stream_ends_whole_and_the_exit_code_is_0() {
    let (_upstream, mut relay) = pair_with(&[]).await;
    let mut connection = begin(&relay, 1500).await;
    relay.signal("TERM");
    relay.line(|line| line["message"] == "draining").await;
    let text = rest(&mut connection).await;
    assert!(
        text.contains("[DONE]") && text.ends_with("0\r\n\r\n"),
        "{text}"
    );
    assert_eq!(relay.exit_code().await, Some(0));
}

#[tokio::test]
async fn fifty_streams_and_fifty_sockets_at_once_all_end_whole() {
    const EACH: usize = 50;
    let (upstream, mut relay) = pair_with(&[("DRAIN_TIMEOUT", "15")]).await;
    let (mut streams, mut sockets) = (Vec::new(), Vec::new());
    let headers = [&authorization(), "X-Fake-Script: echo"];
    for _ in 0..EACH {
        streams.push(begin(&relay, 1500).await);
        let socket = Socket::open(relay.address(), "/v1/realtime?model=m", &headers).await;
        sockets.push(socket.unwrap_or_else(|no| panic!("refused: {}", no.text())));
    }
    relay.signal("TERM");
    relay.line(|line| line["message"] == "draining").await;
    for socket in &mut sockets {
        socket.say("to the end").await;
    }
    for mut connection in streams {
        let text = rest(&mut connection).await;
        assert!(
            text.contains("[DONE]") && text.ends_with("0\r\n\r\n"),
            "{text}"
        );
    }
    for mut socket in sockets {
        assert_eq!(socket.message().await.text(), "to the end");
        let close = socket.message().await;
        assert_eq!(close.closes_with().0, 1012);
        socket.send(&close).await;
    }
    assert_eq!(relay.exit_code().await, Some(0));
    let ended = |outcome: &str| {
        let lines = relay.exchanges();
        let same = lines.iter().filter(|line| line["outcome"] == outcome);
        same.count()
    };
    assert_eq!((ended("completed"), ended("drained")), (EACH, EACH));
    assert_eq!(upstream.open_connections(), 0);
    trust::record(
        "P36",
        &format!(
            "{EACH} of {EACH} running streams ended whole, {EACH} of {EACH} sockets heard 1012 with nothing lost, exit code 0"
        ),
    );
}

#[tokio::test]
async fn while_draining_health_answers_ready_says_so_and_new_work_is_refused() {
    let (upstream, mut relay) = pair_with(&[]).await;
    let mut connection = begin(&relay, 8000).await;
    upstream.take_received();
    relay.signal("TERM");
    relay.line(|line| line["message"] == "draining").await;
    let health = get(relay.address(), "/health", &[]).await;
    assert_eq!(
        (health.status, health.json()["status"].as_str()),
        (200, Some("healthy"))
    );
    let ready = get(relay.address(), "/ready", &[]).await;
    assert_eq!(
        (ready.status, ready.json()["status"].as_str()),
        (503, Some("draining"))
    );
    let refused = get(relay.address(), "/v1/models", &[&authorization()]).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "relay_draining")
    );
    assert!(refused.header("retry-after").is_some());
    assert!(upstream.received().is_empty());
    assert!(rest(&mut connection).await.contains("[DONE]"));
    assert_eq!(relay.exit_code().await, Some(0));
}

#[tokio::test]
async fn what_outlives_drain_timeout_is_cut_and_looks_cut() {
    let (_upstream, mut relay) = pair_with(&[("DRAIN_TIMEOUT", "300ms")]).await;
    let mut connection = begin(&relay, 60_000).await;
    relay.signal("TERM");
    assert_eq!(relay.exit_code().await, Some(0));
    let text = rest(&mut connection).await;
    assert!(
        !text.ends_with("0\r\n\r\n") && !text.contains("[DONE]"),
        "{text}"
    );
    relay.line(|line| line["outcome"] == "drained").await;
    assert_eq!(relay.exchanges().len(), 1);
}

#[tokio::test]
async fn drain_timeout_counts_from_the_signal() {
    let times = [("DRAIN_DELAY", "7"), ("DRAIN_TIMEOUT", "7500ms")];
    let (_upstream, mut relay) = pair_with(&times).await;
    let _running = begin(&relay, 60_000).await;
    let signal = std::time::Instant::now();
    relay.signal("TERM");
    assert_eq!(relay.exit_code().await, Some(0));
    // Had the delay come on top, it would be 14.5 s.
    let took = signal.elapsed();
    assert!(took >= Duration::from_millis(7500), "{took:?}");
    assert!(took < Duration::from_millis(14_400), "{took:?}");
}

#[tokio::test]
async fn a_slow_reader_gets_the_rest_of_its_answer() {
    let (_upstream, mut relay) = pair_with(&[]).await;
    let mut connection = Connection::open(relay.address()).await;
    let target = "/v1/_fake/bytes?n=30000000";
    connection
        .write(&request("GET", target, &[&authorization()], b""))
        .await;
    connection.head().await.expect("a head");
    relay.signal("TERM");
    relay.line(|line| line["message"] == "draining").await;
    let mut bytes = 0;
    while let Some(more) = connection.more().await {
        bytes += more.len();
    }
    assert_eq!(bytes, 30_000_000);
    assert_eq!(relay.exit_code().await, Some(0));
}

#[tokio::test]
async fn drain_delay_announces_first_and_takes_work_meanwhile() {
    let (_upstream, mut relay) = pair_with(&[("DRAIN_DELAY", "6")]).await;
    relay.signal("TERM");
    relay
        .line(|line| {
            line["message"]
                .as_str()
                .is_some_and(|text| text.starts_with("drain announced"))
        })
        .await;
    assert_eq!(get(relay.address(), "/ready", &[]).await.status, 503);
    assert_eq!(
        get(relay.address(), "/v1/models", &[&authorization()])
            .await
            .status,
        200
    );
    assert_eq!(relay.exit_code().await, Some(0));
}

#[tokio::test]
async fn an_idle_relay_stops_at_once_on_either_signal() {
    for signal in ["TERM", "INT"] {
        let (_upstream, mut relay) = pair_with(&[]).await;
        // A kept connection without a request must not hold the relay up.
        let mut idle = Connection::open(relay.address()).await;
        relay.signal(signal);
        assert_eq!(relay.exit_code().await, Some(0), "{signal}");
        assert!(idle.is_closed().await);
    }
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let (_upstream, mut relay) = pair_with(&[]).await;
    let _running = begin(&relay, 60_000).await;
    relay.signal("TERM");
    let line = relay.line(|line| line["message"] == "draining").await;
    assert_eq!(line["running"], 1);
    assert!(
        line["left_s"]
            .as_u64()
            .is_some_and(|left| (1..=30).contains(&left)),
        "{line}"
    );
    relay.says("a second signal ends at once").await;
    let second = std::time::Instant::now();
    relay.signal("TERM");
    assert_eq!(relay.exit_code().await, Some(130));
    assert!(second.elapsed() < Duration::from_secs(20), "it waited");
}
