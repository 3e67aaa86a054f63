//! A session's configuration: what it is unless told, and what an update makes of it.

use serde_json::{Map, Value, json};

use super::shape::check_fields;
use super::shapes::{REALTIME, TRANSCRIPTION};
use crate::errors::{self, ApiError};

const INSTRUCTIONS: &str = "You are a helpful, witty, and friendly AI. Act like a human, but remember that you aren't a human.";

/// The configuration of a conversation before anybody changed it (wire.md 5.4).
pub(super) fn realtime(id: &str, model: &str, expires_at: u64) -> Value {
    json!({
        "type": "realtime",
        "object": "realtime.session",
        "id": id,
        "model": model,
        "output_modalities": ["audio"],
        "instructions": INSTRUCTIONS,
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": null,
        "truncation": "auto",
        "prompt": null,
        "expires_at": expires_at,
        "audio": {
            "input": input(),
            "output": { "format": pcm(), "voice": "marin", "speed": 1.0 },
        },
        "include": null,
    })
}

/// The same for a session that only transcribes.
pub(super) fn transcription(id: &str, expires_at: u64) -> Value {
    json!({
        "type": "transcription",
        "object": "realtime.transcription_session",
        "id": id,
        "expires_at": expires_at,
        "audio": { "input": input() },
        "include": null,
    })
}

fn input() -> Value {
    json!({
        "format": pcm(),
        "transcription": null,
        "noise_reduction": null,
        "turn_detection": server_vad(),
    })
}

fn pcm() -> Value {
    json!({ "type": "audio/pcm", "rate": 24_000 })
}

fn server_vad() -> Value {
    json!({
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 200,
        "idle_timeout_ms": null,
        "create_response": true,
        "interrupt_response": true,
    })
}

fn semantic_vad() -> Value {
    json!({
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": true,
        "interrupt_response": true,
    })
}

/// Takes over the fields of an update; says what it refuses, and then changes nothing.
/// `has_spoken`: whether sound was given out already.
pub(super) fn update(
    config: &mut Value,
    update: &Map<String, Value>,
    has_spoken: bool,
) -> Result<(), Box<ApiError>> {
    let is_realtime = config["type"] == "realtime";
    let fields = if is_realtime {
        &REALTIME[..]
    } else {
        &TRANSCRIPTION[..]
    };
    check_fields(update, fields, "session")?;
    check_unchangeable(config, update, has_spoken)?;
    check_modalities(update.get("output_modalities"), "session.output_modalities")?;
    let mut next = config.clone();
    for (name, value) in update {
        match (name.as_str(), value) {
            ("audio", Value::Object(sides)) => take_over_audio(&mut next["audio"], sides),
            _ => next[name] = value.clone(),
        }
    }
    check_whisper(&next)?;
    *config = next;
    Ok(())
}

fn check_unchangeable(
    config: &Value,
    update: &Map<String, Value>,
    has_spoken: bool,
) -> Result<(), Box<ApiError>> {
    if update
        .get("model")
        .is_some_and(|model| *model != config["model"])
    {
        let message = "The model of a session cannot be changed.";
        let error = errors::bad_param("session.model", "invalid_value", message);
        return Err(Box::new(error));
    }
    let voice = update
        .get("audio")
        .and_then(|audio| audio["output"].get("voice"));
    if has_spoken && voice.is_some_and(|voice| *voice != config["audio"]["output"]["voice"]) {
        let message = "Cannot update a conversation's voice if assistant audio is present.";
        let param = "session.audio.output.voice";
        let error = errors::bad_param(param, "cannot_update_voice", message);
        return Err(Box::new(error));
    }
    Ok(())
}

/// Text or sound, never both.
pub(super) fn check_modalities(asked: Option<&Value>, param: &str) -> Result<(), Box<ApiError>> {
    match asked.and_then(Value::as_array).map(Vec::len) {
        None | Some(1) => Ok(()),
        Some(_) => {
            let message = "Invalid modalities. Supported combinations are: ['text'] and ['audio'].";
            let error = errors::bad_param(param, "invalid_value", message);
            Err(Box::new(error))
        }
    }
}

/// `gpt-realtime-whisper` detects no turns.
fn check_whisper(config: &Value) -> Result<(), Box<ApiError>> {
    let input = &config["audio"]["input"];
    let is_whisper = input["transcription"]["model"] == "gpt-realtime-whisper";
    if config["type"] == "transcription" && is_whisper && !input["turn_detection"].is_null() {
        let message = "Turn detection is not supported with 'gpt-realtime-whisper'.";
        let param = "session.audio.input.turn_detection";
        let error = errors::bad_param(param, "invalid_value", message);
        return Err(Box::new(error));
    }
    Ok(())
}

fn take_over_audio(audio: &mut Value, sides: &Map<String, Value>) {
    for (side, fields) in sides {
        for (name, value) in fields.as_object().into_iter().flatten() {
            audio[side][name] = completed(name, value);
        }
    }
}

/// A value with the defaults of what it leaves out.
fn completed(name: &str, value: &Value) -> Value {
    let mut whole = match (name, value["type"].as_str()) {
        ("format", Some("audio/pcm")) => pcm(),
        ("turn_detection", Some("server_vad")) => server_vad(),
        ("turn_detection", Some("semantic_vad")) => semantic_vad(),
        ("transcription", _) if value.is_object() => json!({ "language": null, "prompt": null }),
        _ => return value.clone(),
    };
    for (name, value) in value.as_object().into_iter().flatten() {
        whole[name] = value.clone();
    }
    whole
}
