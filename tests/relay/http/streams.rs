//! Nothing waits for its own end, and no end is made up.

use super::*;
use crate::support::{eventually, pair};

#[tokio::test]
async fn the_first_event_arrives_while_the_upstream_holds_the_rest() {
    let (_upstream, relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    // Silent for ever behind the first event: what waited for more would never end.
    connection.write(&stream_request("hang=body")).await;
    let head = connection.head().await.expect("a head");
    assert_eq!(
        head.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    let seen = until(&mut connection, "\n\n").await;
    assert!(seen.contains("data: {"), "{seen}");
}

#[tokio::test]
async fn a_stream_goes_on_after_a_silence() {
    let (_upstream, relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    let answer = ask(&mut connection, &stream_request("silence=300")).await;
    assert!(answer.is_complete);
    assert!(
        answer.text().ends_with("data: [DONE]\n\n"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn an_upload_reaches_the_upstream_before_its_end_is_sent() {
    let (upstream, relay) = pair().await;
    for (framing, first, rest) in [
        ("Content-Length: 10", "hello", "world"),
        (
            "Transfer-Encoding: chunked",
            "5\r\nhello\r\n",
            "5\r\nworld\r\n0\r\n\r\n",
        ),
    ] {
        let mut connection = Connection::open(relay.address()).await;
        let request = kept("POST", "/v1/_fake/echo", &[framing], first.as_bytes());
        connection.write(&request).await;
        eventually("the first half is upstream", || {
            upstream
                .received()
                .iter()
                .any(|request| request.body == b"hello" && !request.complete)
        })
        .await;
        let answer = ask(&mut connection, rest.as_bytes()).await;
        assert_eq!(answer.json()["body"], "helloworld", "{framing}");
        upstream.take_received();
    }
}

#[tokio::test]
async fn a_client_that_leaves_mid_stream_ends_the_exchange_upstream() {
    let (upstream, mut relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    connection.write(&stream_request("hang=body")).await;
    connection.head().await.expect("a head");
    until(&mut connection, "\n\n").await;
    assert_eq!(upstream.open_connections(), 1);
    drop(connection);
    eventually("the upstream is left too", || {
        upstream.open_connections() == 0
    })
    .await;
    let line = relay.line(|line| line["outcome"] == "client_gone").await;
    assert_eq!(line["path"], "/v1/chat/completions");
    assert_eq!(line["status"], 200);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_ends_the_exchange_upstream() {
    let (upstream, mut relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    connection.write(&stream_request("hang=head")).await;
    eventually("the request is upstream", || {
        upstream.received().iter().any(|request| request.complete)
    })
    .await;
    drop(connection);
    eventually("the upstream is left too", || {
        upstream.open_connections() == 0
    })
    .await;
    let line = relay.line(|line| line["outcome"] == "client_gone").await;
    assert_eq!(line["status"], Value::Null);
}

#[tokio::test]
async fn an_upload_that_breaks_off_never_looks_complete_upstream() {
    let (upstream, mut relay) = pair().await;
    for (framing, part) in [
        ("Content-Length: 10", "hello"),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n"),
        ("Transfer-Encoding: chunked", "a\r\nhello"),
    ] {
        let mut connection = Connection::open(relay.address()).await;
        let request = kept("POST", "/v1/_fake/echo", &[framing], part.as_bytes());
        connection.write(&request).await;
        eventually("the part is upstream", || {
            upstream
                .received()
                .iter()
                .any(|request| request.body == b"hello")
        })
        .await;
        drop(connection);
        eventually("the upstream is left too", || {
            upstream.open_connections() == 0
        })
        .await;
        let arrived = upstream.take_received();
        assert_eq!(arrived.len(), 1, "{framing}: it was sent again");
        assert!(!arrived[0].complete, "{framing}: {part:?}");
    }
    let line = relay.line(|line| line["bytes_up"] == 5).await;
    assert_eq!(line["outcome"], "client_gone");
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_looks_complete() {
    let (_upstream, mut relay) = pair().await;
    for (target, script) in [
        ("/v1/_fake/bytes?n=50000&chunked=1", "cut-at=20000"),
        ("/v1/_fake/bytes?n=50000&chunked=1", "reset-at=20000"),
        ("/v1/_fake/bytes?n=50000", "cut-at=20000"),
        ("/v1/_fake/bytes?n=50000", "wrong-length=5"),
    ] {
        let line = format!("X-Fake-Script: {script}");
        let mut connection = Connection::open(relay.address()).await;
        let answer = ask(&mut connection, &kept("GET", target, &[&line], b"")).await;
        assert_eq!(answer.status, 200, "{script}");
        assert!(!answer.is_complete, "{target} {script} looks whole");
        let line = log_line(&mut relay, &answer).await;
        assert_eq!(line["outcome"], "upstream_failed", "{script}");
    }
}
