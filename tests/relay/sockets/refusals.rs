//! A socket that is not opened: the reason as an HTTP answer, for clients that can read one.

use crate::support::ws::Socket;
use crate::support::{authorization, get, pair, pair_with, send};

async fn refused(
    relay: &crate::support::Relay,
    path: &str,
    headers: &[&str],
) -> crate::support::Answer {
    match Socket::open(relay.address(), path, headers).await {
        Ok(_) => panic!("{path} was opened"),
        Err(answer) => answer,
    }
}

#[tokio::test]
async fn what_is_no_handshake_is_400_and_never_dialled() {
    let (upstream, relay) = pair().await;
    let key = authorization();
    let sound = crate::support::ws::upgrade("/v1/realtime?model=m", &[&key]);
    for (from, to, status) in [
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", 426),
        ("Sec-WebSocket-Version: 13\r\n", "", 426),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=", 400),
        ("GET", "POST", 400),
        ("HTTP/1.1", "HTTP/1.0", 400),
        (
            "Upgrade: websocket",
            "Upgrade: websocket\r\nContent-Length: 3",
            400,
        ),
        ("Upgrade: websocket", "Upgrade: h2c-ish", 400),
    ] {
        let text = sound.replace(from, to) + if to.contains("Length") { "abc" } else { "" };
        let answer = send(relay.address(), &text).await.expect("an answer");
        assert_eq!(answer.status, status, "{to}: {}", answer.text());
        if status == 426 {
            assert_eq!(answer.header("sec-websocket-version"), Some("13"));
        }
        assert!(answer.json()["error"]["message"].is_string(), "{to}");
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn refusals_of_the_upstream_pass_with_their_bodies() {
    let (_upstream, relay) = pair().await;
    let key = authorization();
    for (script, status) in [
        ("status=401", 401),
        ("status=403", 403),
        ("status=429 retry-after=7", 429),
        ("status=503", 503),
        ("status=500 html", 500),
    ] {
        let script = format!("X-Fake-Script: {script}");
        let answer = refused(&relay, "/v1/realtime?model=m", &[&key, &script]).await;
        assert_eq!(answer.status, status, "{script}");
        assert!(answer.is_complete && !answer.body.is_empty(), "{script}");
        assert!(answer.header("x-request-id").is_some(), "{script}");
        assert!(!answer.text().contains("relay_error"), "{script}");
        if status == 429 {
            assert_eq!(answer.header("retry-after"), Some("7"));
        }
    }
}

#[tokio::test]
async fn an_upstream_that_cannot_be_used_is_502_or_504_before_any_101() {
    let timeouts = [
        ("OPENAI_READ_TIMEOUT", "4"),
        ("OPENAI_CONNECT_TIMEOUT", "4"),
    ];
    let (upstream, relay) = pair_with(&timeouts).await;
    let key = authorization();
    for (script, status, code) in [
        ("garbage", 502, "upstream_broken"),
        ("cut-head=20", 502, "upstream_broken"),
        ("reset-head=0", 502, "upstream_broken"),
        ("wrong-accept echo", 502, "upstream_broken"),
        ("subprotocol=x echo", 502, "upstream_broken"),
        ("extension=permessage-deflate echo", 502, "upstream_broken"),
        ("hang=head", 504, "upstream_timeout"),
    ] {
        let script = format!("X-Fake-Script: {script}");
        let answer = refused(&relay, "/v1/realtime?model=m", &[&key, &script]).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{script}"
        );
    }
    drop(upstream);
    let answer = refused(&relay, "/v1/realtime?model=m", &[&key]).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (502, "upstream_unreachable")
    );
}

#[tokio::test]
async fn past_the_last_session_new_ones_are_503_and_ready_says_so() {
    let (_upstream, relay) = pair_with(&[("MAX_CONNECTIONS", "2")]).await;
    let first = super::echoing(&relay).await;
    let _second = super::echoing(&relay).await;
    let key = authorization();
    let answer = refused(&relay, "/v1/realtime?model=m", &[&key]).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "capacity_reached")
    );
    assert_eq!(answer.header("retry-after"), Some("5"));
    let ready = get(relay.address(), "/ready", &[]).await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["status"], "capacity_reached");
    drop(first);
    let mut is_ready = false;
    for _ in 0..1000 {
        if get(relay.address(), "/ready", &[]).await.status == 200 {
            is_ready = true;
            break;
        }
    }
    assert!(is_ready, "a place is free again");
    super::echoing(&relay).await;
}

#[tokio::test]
async fn a_refused_upgrade_leaves_the_connection_to_the_next_request() {
    let (_upstream, relay) = pair().await;
    let mut connection = crate::support::Connection::open(relay.address()).await;
    let bad = crate::support::ws::upgrade("/v1/realtime?model=m", &["Authorization: Bearer no"]);
    connection.write(bad.as_bytes()).await;
    assert_eq!(
        connection.answer(false).await.expect("an answer").status,
        401
    );
    let key = authorization();
    let headers = [&key, "X-Fake-Script: echo"];
    let socket = Socket::over(connection, "/v1/realtime?model=m", &headers).await;
    assert!(socket.is_ok());
}
