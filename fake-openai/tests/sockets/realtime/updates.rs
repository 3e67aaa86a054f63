//! What a session is told, and what it refuses to be told.

use serde_json::{Value, json};

use super::{PATH, answer, configured, session};
use crate::client::{BINARY, TEXT, open};
use crate::start;

#[tokio::test]
async fn a_session_begins_with_its_whole_configuration() {
    let fake = start().await;
    let mut client = open(&fake, PATH, &[]).await;
    let session = &client.event().await["session"];
    assert_eq!(session["type"], "realtime");
    assert_eq!(session["object"], "realtime.session");
    assert_eq!(session["output_modalities"], json!(["audio"]));
    assert_eq!(
        session["audio"]["input"]["turn_detection"]["type"],
        "server_vad"
    );
    assert_eq!(session["audio"]["output"]["voice"], "marin");
    assert!(session["expires_at"].as_u64() > Some(0));
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_answers_with_everything() {
    let fake = start().await;
    let mut client = session(&fake, "").await;
    let update = json!({
        "type": "realtime",
        "instructions": "Be brief.",
        "max_output_tokens": 100,
        "audio": {
            "input": { "transcription": { "model": "whisper-1" }, "turn_detection": null },
            "output": { "format": { "type": "audio/pcmu" }, "speed": 1.5 },
        },
    });
    client
        .say(&json!({ "type": "session.update", "session": update }))
        .await;
    let updated = client.event().await;
    assert_eq!(updated["type"], "session.updated");
    let session = &updated["session"];
    assert_eq!(session["instructions"], "Be brief.");
    let input = &session["audio"]["input"];
    assert_eq!(input["turn_detection"], Value::Null);
    assert_eq!(
        input["format"],
        json!({ "type": "audio/pcm", "rate": 24000 })
    );
    let transcription = json!({ "language": null, "prompt": null, "model": "whisper-1" });
    assert_eq!(input["transcription"], transcription);
    assert_eq!(session["audio"]["output"]["voice"], "marin");
    let semantic =
        json!({ "audio": { "input": { "turn_detection": { "type": "semantic_vad" } } } });
    let mut semantic = semantic;
    semantic["type"] = json!("realtime");
    client
        .say(&json!({ "type": "session.update", "session": semantic }))
        .await;
    let detection = &client.event().await["session"]["audio"]["input"]["turn_detection"];
    assert_eq!(detection["eagerness"], "auto");
}

#[tokio::test]
async fn what_beta_clients_send_is_refused_by_its_name() {
    let fake = start().await;
    let mut client = session(&fake, "").await;
    let nova = json!({ "output": { "voice": "nova" } });
    let slow = json!({ "input": { "format": { "type": "audio/pcm", "rate": 16000 } } });
    let both = json!(["text", "audio"]);
    #[rustfmt::skip]
    let fields = [
        ("modalities", json!(["text"]), "unknown_parameter", "modalities"),
        ("voice", json!("alloy"), "unknown_parameter", "voice"),
        ("input_audio_format", json!("pcm16"), "unknown_parameter", "input_audio_format"),
        ("temperature", json!(0.8), "unknown_parameter", "temperature"),
        ("type", json!("transcription"), "invalid_value", "type"),
        ("model", json!("gpt-realtime-2.1-mini"), "invalid_value", "model"),
        ("output_modalities", both, "invalid_value", "output_modalities"),
        ("audio", nova, "invalid_value", "audio.output.voice"),
        ("audio", slow, "invalid_value", "audio.input.format.rate"),
        ("tools", json!([{ "type": "function" }]), "missing_required_parameter", "tools[0].name"),
    ];
    for (name, value, code, place) in fields {
        let mut session = json!({ "type": "realtime" });
        session[name] = value;
        let update = json!({ "type": "session.update", "event_id": "mine", "session": session });
        client.say(&update).await;
        let error = &client.event().await["error"];
        assert_eq!(error["code"], code, "{name}");
        assert_eq!(error["param"], format!("session.{place}"));
        assert_eq!(error["event_id"], "mine");
    }
    let untyped = json!({ "type": "session.update", "session": { "modalities": ["text"] } });
    client.say(&untyped).await;
    assert_eq!(client.event().await["error"]["param"], "session.type");
}

#[tokio::test]
async fn what_is_no_event_is_an_error_and_the_session_goes_on() {
    let fake = start().await;
    let mut client = session(&fake, "").await;
    let long = json!({ "type": "response.create", "event_id": "x".repeat(513) }).to_string();
    let cases = [
        (BINARY, "{}", "invalid_event", Value::Null),
        (TEXT, "{", "invalid_json", Value::Null),
        (TEXT, "[]", "invalid_event", Value::Null),
        (TEXT, "{\"event_id\":\"a\"}", "invalid_event", Value::Null),
        (
            TEXT,
            "{\"type\":\"transcription_session.update\"}",
            "invalid_value",
            json!("type"),
        ),
        (
            TEXT,
            "{\"type\":\"response.create\",\"model\":\"x\"}",
            "unknown_parameter",
            json!("model"),
        ),
        (TEXT, &long, "string_above_max_length", json!("event_id")),
        (
            TEXT,
            "{\"type\":\"output_audio_buffer.clear\"}",
            "invalid_event",
            Value::Null,
        ),
    ];
    for (first, text, code, param) in cases {
        client.send(first, text.as_bytes()).await;
        let error = &client.event().await["error"];
        assert_eq!(
            (&error["code"], &error["param"]),
            (&json!(code), &param),
            "{text}"
        );
    }
    let events = answer(&mut client, "still there?").await;
    assert!(events.iter().any(|event| event["type"] == "response.done"));
}

#[tokio::test]
async fn the_voice_stays_once_it_was_heard() {
    let fake = start().await;
    let mut client = configured(
        &fake,
        "",
        json!({ "audio": { "output": { "voice": "ash" } } }),
    )
    .await;
    answer(&mut client, "Hi").await;
    for (voice, kind) in [("coral", "error"), ("ash", "session.updated")] {
        let session = json!({ "type": "realtime", "audio": { "output": { "voice": voice } } });
        client
            .say(&json!({ "type": "session.update", "session": session }))
            .await;
        assert_eq!(client.event().await["type"], kind);
    }
}
