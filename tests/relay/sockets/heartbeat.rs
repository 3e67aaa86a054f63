//! Pings: those of the two sides pass, those of the relay stay on their leg.

use super::{echoing, scripted};
use crate::support::ws::{Frame, PING, PONG};
use crate::support::{pair, pair_with};

#[tokio::test]
async fn pings_of_both_sides_pass_and_are_answered_by_the_other() {
    let (upstream, relay) = pair().await;
    let mut socket = scripted(&relay, "echo ping=50").await;
    socket.send(&Frame::whole(PING, "from the client")).await;
    let (mut pinged, mut answered) = (None, false);
    while pinged.is_none() || !answered {
        let frame = socket.next().await.expect("a frame");
        match frame.opcode() {
            PING => pinged = Some(frame.payload),
            PONG => {
                assert_eq!(frame.payload, b"from the client");
                answered = true;
            }
            _ => {}
        }
    }
    let ping = pinged.expect("a ping");
    socket.send(&Frame::whole(PONG, ping.clone())).await;
    let seen = upstream
        .socket_until(0, |socket| !socket.received.pongs.is_empty())
        .await;
    assert_eq!(seen.received.pongs, [ping]);
    assert_eq!(seen.received.pings, [b"from the client".to_vec()]);
}

#[tokio::test]
async fn silent_sides_are_pinged_and_their_pongs_go_no_further() {
    let (upstream, relay) = pair_with(&[("HEARTBEAT_INTERVAL", "2000")]).await;
    let mut socket = scripted(&relay, "echo ping=0").await;
    let mut pings = Vec::new();
    while pings.len() < 2 {
        let frame = socket.next().await.expect("a frame");
        assert_eq!(frame.opcode(), PING, "{frame:?}");
        assert!(frame.payload.starts_with(b"relay-"), "{frame:?}");
        socket
            .send(&Frame::whole(PONG, frame.payload.clone()))
            .await;
        pings.push(frame.payload);
    }
    let seen = upstream
        .socket_until(0, |socket| socket.received.pings.len() >= 2)
        .await;
    assert_eq!(seen.received.pongs, Vec::<Vec<u8>>::new());
    assert!(
        seen.received
            .pings
            .iter()
            .all(|ping| ping.starts_with(b"relay-"))
    );
    socket.say("still whole").await;
    loop {
        let frame = socket.next().await.expect("a frame");
        if frame.opcode() != PING {
            assert_eq!(frame.text(), "still whole");
            break;
        }
    }
}

#[tokio::test]
async fn pings_of_the_relay_go_between_frames_only() {
    let (_upstream, relay) = pair_with(&[("HEARTBEAT_INTERVAL", "500")]).await;
    let mut socket = echoing(&relay).await;
    // A frame that takes its time, up and down: pings would tear it apart.
    let frame = Frame::whole(crate::support::ws::TEXT, vec![b'x'; 4000]);
    let bytes = frame.masked(*b"abcd");
    for piece in bytes.chunks(100) {
        socket.connection.write(piece).await;
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
    }
    loop {
        let next = socket.next().await.expect("a frame");
        match next.opcode() {
            PING => socket.send(&Frame::whole(PONG, next.payload)).await,
            _ => {
                assert!(next == frame);
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_gone_within_two_heartbeats() {
    let (upstream, mut relay) = pair_with(&[("HEARTBEAT_INTERVAL", "200")]).await;
    let mut socket = echoing(&relay).await;
    assert_eq!(socket.next().await.expect("a ping").opcode(), PING);
    let close = socket.message().await;
    assert_eq!(close.closes_with().0, 1001);
    let line = relay.line(|line| line["status"] == 101).await;
    assert_eq!(line["outcome"], "client_gone", "{line}");
    assert_eq!(line["cause"], "the client did not answer a ping");
    upstream.socket_until(0, |socket| !socket.open).await;
}

#[tokio::test]
async fn an_upstream_that_answers_no_ping_is_gone_too() {
    let (_upstream, mut relay) = pair_with(&[("HEARTBEAT_INTERVAL", "1500")]).await;
    let mut socket = scripted(&relay, "echo half-open ping=0").await;
    let mut last = None;
    while let Some(frame) = socket.next().await {
        if frame.opcode() == PING {
            socket.send(&Frame::whole(PONG, frame.payload)).await;
        } else {
            last = Some(frame);
        }
    }
    assert_eq!(last.expect("a close").closes_with().0, 1011);
    let line = relay.line(|line| line["status"] == 101).await;
    assert_eq!(line["outcome"], "upstream_failed", "{line}");
    assert_eq!(line["cause"], "the upstream did not answer a ping");
}
