//! A relay that shuts down: sessions leave one by one, in the last third of the time, between two
//! messages.

use super::{echoing, scripted};
use crate::support::ws::{Frame, PING, Socket, TEXT};
use crate::support::{authorization, get, pair, pair_with};

#[tokio::test]
async fn each_path_hears_its_own_code_and_the_upstream_a_plain_close() {
    let (upstream, mut relay) = pair_with(&[("DRAIN_TIMEOUT", "9")]).await;
    let key = authorization();
    let mut sockets = Vec::new();
    for (path, code) in [
        ("/v1/realtime?model=m", 1012),
        ("/realtime?model=m", 1001),
        ("/?model=m", 1001),
        ("/v1/responses", 1012),
    ] {
        let socket = Socket::open(relay.address(), path, &[&key, "X-Fake-Script: echo"]).await;
        sockets.push((socket.unwrap_or_else(|no| panic!("{}", no.text())), code));
    }
    relay.signal("TERM");
    relay.line(|line| line["message"] == "draining").await;
    assert_eq!(
        get(relay.address(), "/ready", &[]).await.json()["status"],
        "draining"
    );
    let refused = Socket::open(relay.address(), "/v1/realtime?model=m", &[&key]).await;
    let refused = refused.err().expect("refused");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "relay_draining")
    );
    for (socket, _) in &mut sockets {
        // What runs goes on meanwhile.
        socket.say("still").await;
        assert_eq!(socket.message().await.text(), "still");
    }
    for (mut socket, code) in sockets {
        let close = socket.message().await;
        assert_eq!(close.closes_with().0, code);
        socket.send(&close).await;
    }
    assert_eq!(relay.exit_code().await, Some(0));
    for at in 0..4 {
        let seen = upstream.socket_until(at, |socket| !socket.open).await;
        assert_eq!(seen.received.close.expect("a close").code, Some(1000));
    }
}

#[tokio::test]
async fn no_message_is_cut_by_a_drain() {
    const SESSIONS: usize = 8;
    let (upstream, mut relay) = pair_with(&[("DRAIN_TIMEOUT", "12")]).await;
    // Messages in fragments that take longer than the first two thirds of the time, after which each session
    // leaves at a moment of its own: for some of them that comes within their message.
    let mut sockets = Vec::new();
    let first = Frame {
        first: TEXT,
        payload: b"begun, ".to_vec(),
    };
    for _ in 0..SESSIONS {
        let mut socket = echoing(&relay).await;
        socket.send(&first).await;
        assert_eq!(socket.message().await, first);
        sockets.push(socket);
    }
    relay.signal("TERM");
    relay.line(|line| line["message"] == "draining").await;
    tokio::time::sleep(std::time::Duration::from_millis(9500)).await;
    let last = Frame::whole(crate::support::ws::CONTINUATION, "ended");
    for socket in &mut sockets {
        socket.send(&last).await;
        assert_eq!(socket.message().await, last);
    }
    for socket in &mut sockets {
        assert_eq!(socket.message().await.closes_with().0, 1012);
    }
    for at in 0..SESSIONS {
        let seen = upstream.socket_until(at, |socket| !socket.open).await;
        assert_eq!(seen.received.texts(), ["begun, ended"]);
    }
    assert_eq!(relay.exit_code().await, Some(0));
    let lines = relay.exchanges();
    assert_eq!(lines.len(), SESSIONS);
    for line in lines {
        assert_eq!(
            (&line["outcome"], &line["client_close"]),
            (&"drained".into(), &1012.into())
        );
    }
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut_and_says_so() {
    let (_upstream, mut relay) = pair_with(&[("DRAIN_TIMEOUT", "1")]).await;
    let mut socket = scripted(&relay, "echo half-open").await;
    socket
        .send(&Frame {
            first: TEXT,
            payload: b"never ended".to_vec(),
        })
        .await;
    relay.signal("TERM");
    assert_eq!(relay.exit_code().await, Some(0));
    let line = relay.line(|line| line["status"] == 101).await;
    assert_eq!(line["outcome"], "drained", "{line}");
    while let Some(frame) = socket.next().await {
        assert_eq!(frame.opcode(), PING, "{frame:?}");
    }
}

#[tokio::test]
async fn a_session_that_ends_by_itself_ends_the_drain() {
    let (_upstream, mut relay) = pair().await;
    let mut socket = echoing(&relay).await;
    relay.signal("TERM");
    relay.line(|line| line["message"] == "draining").await;
    socket.send(&Frame::close(1000, "")).await;
    assert_eq!(socket.message().await.closes_with().0, 1000);
    assert_eq!(relay.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_close_without_an_answer_costs_nothing_while_the_relay_drains() {
    let (_upstream, mut relay) = pair_with(&[("DRAIN_TIMEOUT", "4")]).await;
    let mut socket = scripted(&relay, "echo ignore-close").await;
    let before = relay.cpu();
    relay.signal("TERM");
    relay.line(|line| line["message"] == "draining").await;
    socket.send(&Frame::close(1000, "")).await;
    while socket.next().await.is_some() {}
    // It has ended, or is about to.
    let busy = relay.cpu() - before;
    assert!(busy < std::time::Duration::from_millis(300), "{busy:?}");
    assert_eq!(relay.exit_code().await, Some(0));
}
