//! Sound: sessions that are shaped like a talk, and appends as large as they get.

use serde_json::json;

use crate::support::voice::{Pace, Said, append, talk};
use crate::support::ws::Socket;
use crate::support::{Relay, authorization, pair};

/// What one append may hold (wire.md 5.4).
const LARGEST_APPEND: usize = 15 * 1024 * 1024;

/// A conversation at a stand-in that follows this script.
async fn session(relay: &Relay, script: &str) -> Socket {
    let (key, script) = (authorization(), format!("X-Fake-Script: {script}"));
    let target = "/v1/realtime?model=gpt-realtime-2.1";
    let opened = Socket::open(relay.address(), target, &[&key, &script]).await;
    opened.unwrap_or_else(|no| panic!("refused: {}", no.text()))
}

#[tokio::test]
async fn thirty_seconds_of_talk_and_their_answers_are_the_same_bytes_at_both_ends() {
    let (upstream, relay) = pair().await;
    // Five seconds of speech for each second of the user's.
    let socket = session(&relay, "speech=5000").await;
    let talked = talk(socket, 30, Pace::Answered).await;
    let seen = upstream.socket_until(0, |socket| !socket.open).await;
    assert_eq!(talked.up.messages, 300);
    assert!(talked.up.is_same(&seen.received.text), "up");
    assert!(talked.down.is_same(&seen.sent.text), "down");
    assert!(talked.answers >= 15, "{} whole answers", talked.answers);
    let spoken = talked.answers * 5000 * 48;
    assert!(talked.down.bytes > spoken * 4 / 3, "as base64");
}

#[tokio::test]
async fn an_append_of_15_mib_of_sound_passes() {
    let (upstream, relay) = pair().await;
    let mut socket = session(&relay, "").await;
    let input = json!({ "turn_detection": null });
    let update = json!({ "type": "session.update", "session": { "type": "realtime", "audio": { "input": input } } });
    let commit = json!({ "type": "input_audio_buffer.commit" });
    let texts = [
        update.to_string(),
        append(0, LARGEST_APPEND),
        commit.to_string(),
    ];
    for text in &texts {
        socket.say(text).await;
    }
    let mut event = socket.event().await;
    while event["type"] != "input_audio_buffer.committed" {
        assert_ne!(event["type"], "error", "{event}");
        event = socket.event().await;
    }
    let seen = &upstream.sockets()[0].received.text;
    assert!(Said::of(&texts).is_same(seen));
}
