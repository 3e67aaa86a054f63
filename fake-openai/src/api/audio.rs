//! `/v1/audio/speech`, `/transcriptions` and `/translations` (wire.md 3.3).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::Request;
use super::json::{Refused, model, needed, object, pieces, settle, tokens};
use super::models;
use super::probe::deterministic_bytes;
use crate::errors;
use crate::multipart::Form;
use crate::wire::{Answer, data};

const KNOWN: [&str; 7] = [
    "input",
    "instructions",
    "model",
    "response_format",
    "speed",
    "stream_format",
    "voice",
];
/// Bytes of sound per answer, and per chunk of it.
const SOUND: usize = 96_000;
const CHUNK: usize = 8_000;

pub(super) fn speech(request: &Request<'_>, _: &[&str]) -> Answer {
    settle(try_speech(request))
}

fn try_speech(request: &Request<'_>) -> Result<Answer, Refused> {
    let body = object(request, &KNOWN)?;
    model(&body)?;
    let input = needed(&body, "input")?.as_str().unwrap_or_default();
    needed(&body, "voice")?;
    let sound = wav(&deterministic_bytes(7, SOUND));
    if body.get("stream_format").and_then(Value::as_str) == Some("sse") {
        let mut events: Vec<String> = sound
            .chunks(CHUNK)
            .map(|chunk| {
                data(&json!({ "type": "speech.audio.delta", "audio": STANDARD.encode(chunk) }))
            })
            .collect();
        let (asked, said) = (tokens(input), 101);
        let usage =
            json!({ "input_tokens": asked, "output_tokens": said, "total_tokens": asked + said });
        events.push(data(
            &json!({ "type": "speech.audio.done", "usage": usage }),
        ));
        return Ok(Answer::events(events));
    }
    let content_type = match body.get("response_format").and_then(Value::as_str) {
        None | Some("mp3") => "audio/mpeg",
        Some("opus") => "audio/opus",
        Some("aac") => "audio/aac",
        Some("flac") => "audio/flac",
        Some("wav") => "audio/wav",
        Some("pcm") => "audio/pcm",
        Some(_) => {
            let message = "Invalid value for 'response_format'.";
            return Err(Box::new(errors::bad_param(
                "response_format",
                "invalid_value",
                message,
            )));
        }
    };
    let chunks = sound.chunks(CHUNK).map(Bytes::copy_from_slice).collect();
    Ok(Answer::chunks(content_type, chunks))
}

/// 24 kHz mono 16-bit PCM in a WAV container.
fn wav(pcm: &[u8]) -> Vec<u8> {
    let length = pcm.len() as u32;
    let mut out = b"RIFF".to_vec();
    out.extend((36 + length).to_le_bytes());
    out.extend(b"WAVEfmt ");
    out.extend(16u32.to_le_bytes());
    out.extend([1, 0, 1, 0]);
    out.extend(24_000u32.to_le_bytes());
    out.extend(48_000u32.to_le_bytes());
    out.extend([2, 0, 16, 0]);
    out.extend(b"data");
    out.extend(length.to_le_bytes());
    out.extend_from_slice(pcm);
    out
}

pub(super) fn transcribe(request: &Request<'_>, _: &[&str]) -> Answer {
    let content_type = request.head.get("content-type").unwrap_or_default();
    let form = match Form::parse(content_type, request.body) {
        Ok(form) => form,
        Err(why) => return errors::bad_request(&why).into(),
    };
    let Some(file) = form.part("file").filter(|file| file.filename.is_some()) else {
        return errors::missing("file").into();
    };
    match form.text("model") {
        None => return errors::missing("model").into(),
        Some(model) if !models::exists(model) => return errors::no_model(model).into(),
        Some(_) => {}
    }
    let text = format!("I heard {} bytes of sound.", file.bytes.len());
    let usage = json!({
        "type": "tokens",
        "input_tokens": 14,
        "input_token_details": { "text_tokens": 0, "audio_tokens": 14 },
        "output_tokens": tokens(&text),
        "total_tokens": 14 + tokens(&text),
    });
    if form.text("stream") == Some("true") {
        let mut events: Vec<String> = pieces(&text)
            .iter()
            .map(|piece| data(&json!({ "type": "transcript.text.delta", "delta": piece })))
            .collect();
        events.push(data(
            &json!({ "type": "transcript.text.done", "text": text, "usage": usage }),
        ));
        return Answer::events(events);
    }
    match form.text("response_format") {
        None | Some("json") => Answer::ok(&json!({ "text": text, "usage": usage })),
        Some("text") => Answer::new(200, "text/plain; charset=utf-8", format!("{text}\n")),
        Some("verbose_json") => Answer::ok(&json!({
            "task": "transcribe",
            "language": "english",
            "duration": 2.0,
            "text": text,
            "segments": [],
            "usage": { "type": "duration", "seconds": 2 },
        })),
        Some(_) => errors::bad_param(
            "response_format",
            "invalid_value",
            "Invalid value for 'response_format'.",
        )
        .into(),
    }
}
