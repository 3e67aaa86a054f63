//! The same on sockets: what asks for them, what is said on them, and how they end.

use fake_openai::{FakeOpenAi, SocketRecord};

use super::clients::SHAPES;
use super::*;
use crate::support::ws::{BINARY, Frame, PING, TEXT, upgrade};
use crate::support::{Dice, RELAY_TOKEN, Relay, SERVER_KEY, authorization, pair_with};

const TARGETS: [&str; 9] = [
    "/v1/realtime?model=gpt-realtime-2.1",
    "/realtime?model=gpt-4o-realtime-preview-2024-12-17",
    "/",
    "/v1/realtime?call_id=rtc_1",
    "/v1/realtime?intent=transcription",
    "/v1/realtime/translations?model=gpt-realtime-translate",
    "/v1/responses",
    "/v1/live/sessions",
    "/v1/nothing",
];
const SCRIPTS: [&str; 20] = [
    "",
    "",
    "echo",
    "echo",
    "status=401",
    "status=403",
    "status=429 retry-after=1",
    "status=500 html",
    "garbage",
    "cut-head=20",
    "reset-head=0",
    "wrong-accept echo",
    "subprotocol=x echo",
    "extension=permessage-deflate echo",
    "header=Connection:Authorization echo",
    "flood=3x1000",
    "echo after=1 close-code=4000 close-reason=because",
    "echo after=1 fin",
    "echo after=1 reset",
    "echo after=1 bad-frame=rsv1",
];
/// Headers that carry a credential, or none.
const CARRIERS: [&str; 12] = [
    "Authorization: Bearer relay-token-for-tests-0123456789",
    "Authorization: Bearer relay-token-for-tests-0123456789",
    "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.relay-token-for-tests-0123456789",
    "Sec-WebSocket-Protocol: openai-insecure-api-key.relay-token-for-tests-0123456789, realtime",
    "Sec-WebSocket-Protocol: realtime,openai-insecure-api-key.relay-token-for-tests-0123456789,openai-beta.realtime-v1",
    "Sec-WebSocket-Protocol: openai-insecure-api-key.relay-token-for-tests-0123456789",
    "Sec-WebSocket-Protocol: openai-insecure-api-key.relay-token-for-tests-0123456789\r\nSec-WebSocket-Protocol: openai-organization.org-1, x",
    "Sec-WebSocket-Protocol: openai-insecure-api-key.relay-token-for-tests-0123456789, openai-insecure-api-key.relay-token-for-tests-0123456789",
    "Authorization: Bearer relay-token-for-tests-0123456789\r\nSec-WebSocket-Protocol: openai-insecure-api-key.relay-token-for-tests-0123456789",
    "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.rk_unknown",
    "Authorization: Bearer wrong",
    "X-Nothing: 1",
];
const EXTRAS: [&str; 7] = [
    "X-Nothing: 2",
    "OpenAI-Beta: realtime=v1",
    "OpenAI-Organization: org-1",
    "Origin: https://app.example",
    "Origin: https://other.example",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    "Sec-WebSocket-Version: 8",
];
const TEXTS: [&str; 6] = [
    "no event",
    "{\"type\":",
    "{\"type\":\"input_audio_buffer.clear\"}",
    "{\"type\":\"session.update\",\"session\":{\"type\":\"realtime\",\"modalities\":[\"text\"],\"temperature\":2}}",
    "{\"type\":\"response.create\"}",
    "{\"type\":\"input_audio_buffer.append\",\"audio\":\"AAAA\"}",
];

/// Everything that comes back: the answer, and behind a 101 all that follows it.
async fn answered(relay: &Relay, request: &[u8]) -> (u16, Vec<u8>) {
    let mut connection = Connection::open(relay.address()).await;
    connection.write(request).await;
    let answer = connection.answer_or_switch().await.expect("an answer");
    let mut seen = format!("{:?}", answer.headers).into_bytes();
    seen.extend(&answer.body);
    while answer.status == 101
        && let Some(bytes) = connection.more().await
    {
        seen.extend(bytes);
    }
    (answer.status, seen)
}

/// A handshake, and behind it what a client says before it closes.
fn asked(target: &str, lines: &[&str], frames: &[Frame]) -> Vec<u8> {
    let mut bytes = upgrade(target, lines).into_bytes();
    for frame in frames {
        bytes.extend(frame.masked(*b"mask"));
    }
    bytes
}

fn next_socket(dice: &mut Dice) -> Vec<u8> {
    let script = format!("X-Fake-Script: {}", dice.pick(&SCRIPTS));
    let mut lines = vec![dice.pick(&CARRIERS), script.as_str()];
    if dice.is_one_in(2) {
        lines.push(dice.pick(&EXTRAS));
    }
    let mut frames: Vec<Frame> = (0..dice.roll(4))
        .map(|_| match dice.roll(8) {
            0 => Frame::whole(PING, "p"),
            1 => Frame::whole(BINARY, vec![0, 255]),
            // Reserved bits that mean nothing.
            2 => Frame {
                first: 0xF1,
                payload: b"x".to_vec(),
            },
            _ => Frame::whole(TEXT, dice.pick(&TEXTS)),
        })
        .collect();
    frames.push(Frame::close(1000, "bye"));
    asked(dice.pick(&TARGETS), &lines, &frames)
}

/// P17: so many sockets with a good, a bad or no credential, of which those that went upstream are
/// counted, and those that were opened.
pub(super) async fn fuzz(upstream: &FakeOpenAi, relay: &Relay, count: usize) -> (usize, usize) {
    let mut dice = Dice::new(29);
    let (mut went_up, mut opened) = (0, 0);
    for _ in 0..count {
        let request = next_socket(&mut dice);
        let shown = String::from_utf8_lossy(&request).into_owned();
        let (status, seen) = answered(relay, &request).await;
        for secret in [SERVER_KEY, RELAY_TOKEN] {
            assert!(!holds(&seen, secret), "{secret} comes down: {shown}");
        }
        opened += usize::from(status == 101);
        for received in upstream.take_received() {
            went_up += 1;
            let carried = received.header_all("authorization");
            assert_eq!(carried, [format!("Bearer {SERVER_KEY}")], "{shown}");
            let head = String::from_utf8_lossy(&received.raw_head).into_owned();
            assert_eq!(head.matches(SERVER_KEY).count(), 1, "{head}");
            assert!(!head.contains(RELAY_TOKEN), "{head}");
        }
        for socket in upstream.take_sockets() {
            assert!(socket.subprotocols.iter().all(|name| name == "realtime"));
            assert!(!said_up(&socket).contains(SERVER_KEY), "{shown}");
        }
    }
    (went_up, opened)
}

fn said_up(socket: &SocketRecord) -> String {
    let reason = socket.received.close.as_ref();
    let reason = reason.map(|close| close.reason.clone());
    socket.received.texts().join("\n") + &reason.unwrap_or_default()
}

#[tokio::test]
async fn what_clients_say_on_sockets_never_shows_in_the_log() {
    let (_upstream, mut relay) = pair_with(&[("LOG_LEVEL", "trace")]).await;
    let good = authorization();
    let target = "/v1/realtime?model=gpt-realtime-2.1";
    for secret in SHAPES {
        let event =
            |fields: &str| format!("{{\"type\":\"session.update\",\"session\":{{{fields}}}}}");
        let said = [
            secret.to_owned(),
            event(&format!("\"instructions\":\"{secret}\"")),
            event(&format!(
                "\"temperature\":\"{secret}\",\"modalities\":[\"{secret}\"]"
            )),
            event(&format!("\"model\":\"{secret}\",\"voice\":\"{secret}\"")),
            format!("{{\"type\":\"{secret}\",\"event_id\":\"{secret}\"}}"),
        ];
        let mut frames: Vec<Frame> = said
            .iter()
            .map(|text| Frame::whole(TEXT, text.as_str()))
            .collect();
        frames.push(Frame::whole(PING, secret));
        frames.push(Frame::close(1000, secret));
        let organization =
            format!("Sec-WebSocket-Protocol: realtime, openai-organization.{secret}, {secret}");
        let query = format!("{target}&api_key={secret}");
        for (target, line) in [
            (target, "X-Nothing: 1"),
            (target, "OpenAI-Beta: realtime=v1"),
            (target, organization.as_str()),
            (query.as_str(), "X-Fake-Script: echo"),
        ] {
            answered(&relay, &asked(target, &[&good, line], &frames)).await;
        }
    }
    let last = asked(
        "/v1/last",
        &[&good, "X-Fake-Script: echo"],
        &[Frame::close(1000, "")],
    );
    answered(&relay, &last).await;
    relay.line(|line| line["path"] == "/v1/last").await;
    let log = relay.log_text();
    assert!(
        log.contains("temperature"),
        "a field that is dropped is named"
    );
    let leaked: Vec<&str> = SHAPES
        .into_iter()
        .filter(|secret| log.contains(secret))
        .collect();
    assert!(leaked.is_empty(), "{leaked:?}");
}

#[tokio::test]
async fn no_entry_of_the_subprotocols_but_realtime_goes_up() {
    let (upstream, relay) = pair_with(&[]).await;
    let good = authorization();
    let close = [Frame::close(1000, "")];
    for secret in SHAPES {
        for list in [
            format!("realtime, {secret}"),
            format!("realtime, openai-organization.{secret}, openai-project.{secret}"),
            format!("{secret}, openai-beta.{secret}, realtime"),
        ] {
            let line = format!("Sec-WebSocket-Protocol: {list}");
            let bytes = asked("/v1/realtime?model=m", &[&good, &line], &close);
            let (status, seen) = answered(&relay, &bytes).await;
            assert_eq!(status, 101, "{list}");
            assert!(!holds(&seen, secret), "{list}: it came back");
            let received = upstream.take_received().remove(0);
            let head = String::from_utf8_lossy(&received.raw_head).into_owned();
            assert!(!head.contains(secret), "{list}: {head}");
        }
    }
}
