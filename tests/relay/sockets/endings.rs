//! Every session has one ending, which both sides hear and the log tells.

use serde_json::Value;

use super::{echoing, scripted};
use crate::support::ws::{Frame, Socket};
use crate::support::{Relay, authorization, eventually, pair, pair_with};

/// The log's line of the one session.
async fn line(relay: &mut Relay) -> Value {
    relay.line(|line| line["status"] == 101).await
}

#[tokio::test]
async fn a_clients_close_goes_up_and_its_answer_comes_down() {
    let (upstream, mut relay) = pair().await;
    let mut socket = echoing(&relay).await;
    socket.say("one").await;
    socket.message().await;
    socket.send(&Frame::close(4321, "had enough")).await;
    assert_eq!(socket.message().await.closes_with().0, 4321);
    assert!(socket.has_ended().await);
    let seen = upstream.socket_until(0, |socket| !socket.open).await;
    let close = seen.received.close.expect("a close");
    assert_eq!(
        (close.code, close.reason.as_str()),
        (Some(4321), "had enough")
    );
    let line = line(&mut relay).await;
    assert_eq!(line["outcome"], "completed", "{line}");
    assert_eq!(
        (&line["client_close"], &line["upstream_close"]),
        (&4321.into(), &4321.into())
    );
    assert_eq!(
        (&line["messages_up"], &line["messages_down"]),
        (&1.into(), &1.into())
    );
    assert_eq!(
        (&line["bytes_up"], &line["bytes_down"]),
        (&3.into(), &3.into())
    );
    assert_eq!(
        (&line["model"], &line["subject"]),
        (&"m".into(), &"relay-token".into())
    );
}

#[tokio::test]
async fn the_upstreams_close_comes_down_with_code_and_reason() {
    let (upstream, mut relay) = pair().await;
    for (code, reason) in [
        (1000, ""),
        (1001, "Your session hit the maximum duration of 60 minutes."),
        (4004, "invalid_request_error.model_not_found"),
    ] {
        let escaped = reason.replace(' ', "%20");
        let script = format!("echo after=1 close-code={code} close-reason={escaped}");
        let mut socket = scripted(&relay, &script).await;
        socket.say("go").await;
        let mut frame = socket.message().await;
        if frame.text() == "go" {
            frame = socket.message().await;
        }
        assert_eq!(frame.closes_with(), (code, reason.to_owned()));
        socket.send(&frame).await;
        assert!(socket.has_ended().await);
        let seen = upstream.socket_until(0, |socket| !socket.open).await;
        assert_eq!(seen.received.close.expect("an answer").code, Some(code));
        upstream.take_sockets();
    }
    let line = line(&mut relay).await;
    assert_eq!(line["outcome"], "completed", "{line}");
}

#[tokio::test]
async fn a_close_without_a_code_stays_without_one() {
    let (upstream, mut relay) = pair().await;
    let mut socket = echoing(&relay).await;
    socket
        .send(&Frame::whole(crate::support::ws::CLOSE, ""))
        .await;
    assert_eq!(socket.message().await.closes_with().0, 1005);
    let seen = upstream.socket_until(0, |socket| !socket.open).await;
    assert_eq!(seen.received.close.expect("a close").code, None);
    assert_eq!(line(&mut relay).await["client_close"], 1005);
}

#[tokio::test]
async fn a_client_that_leaves_without_a_word_takes_its_upstream_session_along() {
    let (upstream, mut relay) = pair().await;
    let socket = echoing(&relay).await;
    drop(socket);
    let seen = upstream.socket_until(0, |socket| !socket.open).await;
    assert_eq!(seen.received.close.expect("a word").code, Some(1001));
    eventually("the upstream is left", || upstream.open_connections() == 0).await;
    let line = line(&mut relay).await;
    assert_eq!(line["outcome"], "client_gone", "{line}");
    assert_eq!(line["client_close"], Value::Null);
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_frame_leaves_no_whole_frame_behind() {
    let (upstream, _relay_log) = pair().await;
    let mut socket = echoing(&_relay_log).await;
    let frame = Frame::whole(crate::support::ws::TEXT, vec![b'x'; 1000]).masked(*b"abcd");
    socket.connection.write(&frame[..500]).await;
    upstream
        .socket_until(0, |socket| socket.received.wire_bytes == 500)
        .await;
    drop(socket);
    let seen = upstream.socket_until(0, |socket| !socket.open).await;
    assert_eq!(seen.received.message_count(), 0);
    assert_eq!(seen.received.wire_bytes, 500);
}

#[tokio::test]
async fn an_upstream_that_leaves_without_a_word_is_1011_with_an_error_before() {
    let (_upstream, mut relay) = pair().await;
    for script in ["echo fin after=1", "echo reset after=1"] {
        let mut socket = scripted(&relay, script).await;
        socket.say("go").await;
        let mut frame = socket.message().await;
        if frame.text() == "go" {
            frame = socket.message().await;
        }
        let event: Value = serde_json::from_slice(&frame.payload).expect("an event");
        assert_eq!(event["type"], "error");
        assert_eq!(event["error"]["code"], "upstream_broken", "{script}");
        assert_eq!(socket.message().await.closes_with().0, 1011, "{script}");
    }
    let line = line(&mut relay).await;
    assert_eq!(line["outcome"], "upstream_failed", "{line}");
    assert_eq!(line["client_close"], 1011);
}

#[tokio::test]
async fn an_upstream_that_breaks_off_in_mid_frame_never_looks_whole() {
    let (_upstream, relay) = pair().await;
    let mut socket = scripted(&relay, "flood=1x100000 cut-at=5000").await;
    assert!(socket.next().await.is_none(), "no whole frame");
    assert!(socket.rest() > 0);
}

#[tokio::test]
async fn a_close_that_is_never_answered_ends_after_a_moment() {
    let (_upstream, mut relay) = pair().await;
    let mut socket = scripted(&relay, "echo ignore-close").await;
    socket.send(&Frame::close(1000, "")).await;
    assert!(socket.has_ended().await);
    assert_eq!(line(&mut relay).await["outcome"], "completed");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_let_go() {
    let (upstream, mut relay) = pair_with(&[("WRITE_TIMEOUT", "1")]).await;
    let socket = scripted(&relay, "flood=1000x100000").await;
    let line = line(&mut relay).await;
    assert_eq!(line["outcome"], "stalled", "{line}");
    eventually("the upstream is left", || upstream.open_connections() == 0).await;
    drop(socket);
}

#[tokio::test]
async fn a_session_ends_at_its_longest() {
    let (_upstream, mut relay) = pair_with(&[("SESSION_TIMEOUT", "300ms")]).await;
    let mut socket = echoing(&relay).await;
    let event = socket.event().await;
    assert_eq!(event["error"]["code"], "session_over");
    assert_eq!(socket.message().await.closes_with().0, 1001);
    assert_eq!(line(&mut relay).await["outcome"], "idle");
}

#[tokio::test]
async fn only_conversations_end_for_lack_of_messages() {
    let (upstream, mut relay) = pair_with(&[("INACTIVITY_TIMEOUT", "300")]).await;
    let key = authorization();
    let echo = "X-Fake-Script: echo";
    let mut others = Vec::new();
    for path in [
        "/v1/realtime?call_id=rtc_1",
        "/v1/responses",
        "/v1/realtime?intent=transcription",
    ] {
        let socket = Socket::open(relay.address(), path, &[&key, echo]).await;
        others.push(socket.unwrap_or_else(|no| panic!("{}", no.text())));
    }
    let mut socket = echoing(&relay).await;
    // A ping is no message.
    socket
        .send(&Frame::whole(crate::support::ws::PING, "p"))
        .await;
    let event = socket.event().await;
    assert_eq!(event["error"]["code"], "session_inactive");
    assert_eq!(
        socket.message().await.closes_with(),
        (1000, "inactivity timeout".to_owned())
    );
    let line = line(&mut relay).await;
    assert_eq!(line["outcome"], "idle", "{line}");
    let seen = upstream.socket_until(3, |socket| !socket.open).await;
    assert_eq!(seen.received.close.expect("a word").code, Some(1000));
    for socket in &mut others {
        socket.say("still here").await;
        assert_eq!(socket.message().await.text(), "still here");
    }
}
