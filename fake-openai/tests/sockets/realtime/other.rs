//! Transcriptions, translations and sidebands.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fake_openai::FakeOpenAi;
use serde_json::{Value, json};

use super::{answer, distinct_types, first, types};
use crate::client::{Client, ask, open};
use crate::start;

const TRANSLATIONS: &str = "/v1/realtime/translations?model=gpt-realtime-translate";

fn append(kind: &str, bytes: usize) -> Value {
    json!({ "type": kind, "audio": STANDARD.encode(vec![1; bytes]) })
}

#[tokio::test]
async fn a_transcription_writes_down_and_never_answers() {
    let fake = start().await;
    let mut client = open(&fake, "/v1/realtime?intent=transcription", &[]).await;
    let created = client.event().await;
    assert_eq!(created["session"]["type"], "transcription");
    assert_eq!(
        created["session"]["object"],
        "realtime.transcription_session"
    );
    let input = json!({ "transcription": { "model": "whisper-1" } });
    let session = json!({ "type": "transcription", "audio": { "input": input } });
    client
        .say(&json!({ "type": "session.update", "session": session }))
        .await;
    assert_eq!(client.event().await["type"], "session.updated");
    client
        .say(&append("input_audio_buffer.append", 48_000))
        .await;
    let kind = "conversation.item.input_audio_transcription.completed";
    let events = client.events_to(kind).await;
    assert_eq!(
        events.last().map(|event| &event["usage"]),
        Some(&json!({ "type": "duration", "seconds": 1.0 }))
    );
    client.say(&json!({ "type": "response.create" })).await;
    assert_eq!(client.event().await["error"]["code"], "invalid_event");
    let whisper = json!({ "transcription": { "model": "gpt-realtime-whisper" } });
    let session = json!({ "type": "transcription", "audio": { "input": whisper } });
    client
        .say(&json!({ "type": "session.update", "session": session }))
        .await;
    let param = "session.audio.input.turn_detection";
    assert_eq!(client.event().await["error"]["param"], param);
}

#[tokio::test]
async fn a_translation_speaks_as_it_hears_and_flushes_when_it_is_closed() {
    let fake = start().await;
    let mut client = open(&fake, TRANSLATIONS, &[]).await;
    let created = client.event().await;
    assert_eq!(created["session"]["type"], "translation");
    let audio = json!({ "input": { "transcription": { "model": "gpt-realtime-whisper" } }, "output": { "language": "es" } });
    client
        .say(&json!({ "type": "session.update", "session": { "audio": audio } }))
        .await;
    let updated = client.event().await;
    assert_eq!(updated["session"]["audio"]["output"]["language"], "es");
    assert_eq!(updated["session"]["model"], "gpt-realtime-translate");
    // Two frames of 200 ms, and a half.
    client
        .say(&append("session.input_audio_buffer.append", 24_000))
        .await;
    client.say(&json!({ "type": "session.close" })).await;
    let events = client.events_to("session.closed").await;
    let frame = [
        "session.input_transcript.delta",
        "session.output_audio.delta",
        "session.output_transcript.delta",
    ];
    let expected = [&frame[..], &frame, &frame, &["session.closed"]].concat();
    assert_eq!(types(&events), expected);
    let elapsed: Vec<u64> = events
        .iter()
        .filter_map(|event| event["elapsed_ms"].as_u64())
        .collect();
    assert_eq!(elapsed, [200, 200, 200, 400, 400, 400, 600, 600, 600]);
    assert_eq!(client.frame().await.close().0, 1000);
    let mut client = open(&fake, TRANSLATIONS, &[]).await;
    client.event().await;
    let flat = json!({ "type": "session.update", "session": { "model": "x" } });
    for (event, param) in [
        (flat, "session.model"),
        (append("input_audio_buffer.append", 3), "type"),
    ] {
        client.say(&event).await;
        assert_eq!(client.event().await["error"]["param"], param);
    }
}

const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\na=fingerprint:sha-256 00\r\na=rtpmap:111 opus/48000/2\r\n";

/// Posts a form or nothing; gives the head of the answer.
async fn post(fake: &FakeOpenAi, path: &str, body: &str) -> String {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: {}\r\n\r\n{body}",
        fake.server_key(),
        body.len()
    );
    ask(fake, request).await.1
}

/// A call with a session of its own; gives its id.
async fn call(fake: &FakeOpenAi) -> String {
    let session = json!({ "type": "realtime", "model": "gpt-realtime-2.1-mini", "instructions": "Be a phone." });
    let part = |name: &str, body: &str| {
        format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{body}\r\n")
    };
    let body = part("sdp", OFFER) + &part("session", &session.to_string()) + "--B--\r\n";
    let head = post(fake, "/v1/realtime/calls", &body).await;
    let location = head
        .lines()
        .find_map(|line| line.strip_prefix("location: "));
    let id = location.and_then(|path| path.rsplit('/').next());
    id.expect("a location").to_owned()
}

async fn sideband(fake: &FakeOpenAi, id: &str) -> (Client, Value) {
    let mut client = open(fake, &format!("/v1/realtime?call_id={id}"), &[]).await;
    let created = client.event().await;
    assert_eq!(created["type"], "session.created");
    (client, created["session"].clone())
}

#[tokio::test]
async fn sidebands_of_a_call_share_its_session() {
    let fake = start().await;
    let id = call(&fake).await;
    let (mut first_side, session) = sideband(&fake, &id).await;
    assert_eq!(session["model"], "gpt-realtime-2.1-mini");
    assert_eq!(session["instructions"], "Be a phone.");
    let (mut second_side, again) = sideband(&fake, &id).await;
    assert_eq!(again["id"], session["id"]);
    let events = answer(&mut first_side, "Hi").await;
    second_side.events_to("conversation.item.done").await;
    assert_eq!(second_side.events_to("rate_limits.updated").await, events);
    let expected = [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "output_audio_buffer.started",
        "response.output_audio_transcript.delta",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "output_audio_buffer.stopped",
        "rate_limits.updated",
    ];
    assert_eq!(distinct_types(&events), expected);
    let details = &first(&events, "response.done")["response"]["usage"]["output_token_details"];
    assert_eq!(details["audio_tokens"], 18);
    let update = json!({ "type": "realtime", "instructions": "Hang up." });
    second_side
        .say(&json!({ "type": "session.update", "session": update }))
        .await;
    first_side.events_to("session.updated").await;
    let (_, session) = sideband(&fake, &id).await;
    assert_eq!(session["instructions"], "Hang up.");
}

#[tokio::test]
async fn hanging_up_ends_the_sidebands() {
    let fake = start().await;
    let id = call(&fake).await;
    let (mut side, _) = sideband(&fake, &id).await;
    let head = post(&fake, &format!("/v1/realtime/calls/{id}/hangup"), "").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(side.frame().await.close().0, 1000);
    let mut late = open(&fake, &format!("/v1/realtime?call_id={id}"), &[]).await;
    assert_eq!(late.event().await["error"]["code"], "call_not_found");
}
