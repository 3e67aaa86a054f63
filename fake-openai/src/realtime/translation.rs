//! A translation: no turns, sound in and sound out as it comes (wire.md 5.5).

use std::sync::Arc;

use serde_json::{Value, json};

use super::audio::{decode, encode, speech};
use super::event::{ClientEvent, Fault, error, expire, server};
use super::shape::Shape::{Free, Nullable, Object, OneOf, Short, Text};
use super::shape::{Field, check_fields, may, need};
use super::shapes::TRANSCRIBER;
use crate::errors::{self, ApiError};
use crate::state::{State, now};
use crate::ws::{Message, Outbox, Session};

const EVENT_ID: Field = may("event_id", Short(512));
const TYPE: Field = need("type", Text);
const EVENTS: [(&str, &[Field]); 3] = [
    ("session.update", &[EVENT_ID, TYPE, need("session", Free)]),
    (
        "session.input_audio_buffer.append",
        &[EVENT_ID, TYPE, need("audio", Text)],
    ),
    ("session.close", &[EVENT_ID, TYPE]),
];
const SESSION: [Field; 1] = [may(
    "audio",
    Object(&[
        may(
            "input",
            Object(&[
                may("transcription", TRANSCRIBER),
                may(
                    "noise_reduction",
                    Nullable(&Object(&[need(
                        "type",
                        OneOf(&["near_field", "far_field"]),
                    )])),
                ),
            ]),
        ),
        may("output", Object(&[may("language", Text)])),
    ]),
)];

/// What is translated at once: 200 ms of PCM at 24 kHz.
const FRAME_MS: usize = 200;
const FRAME: usize = FRAME_MS * 48;

/// A translation of everything that is heard.
pub(super) struct Translation {
    state: Arc<State>,
    config: Value,
    buffer: Vec<u8>,
    elapsed_ms: usize,
    is_closing: bool,
}

impl Translation {
    /// With this model, as an ephemeral credential configures it.
    pub(super) fn new(state: &Arc<State>, model: &str, minted: &Value) -> Translation {
        let mut config = json!({
            "id": state.id("sess_"),
            "type": "translation",
            "expires_at": now() + state.session_length.as_secs(),
            "model": model,
            "audio": {
                "input": { "transcription": null, "noise_reduction": null },
                "output": { "language": "en" },
            },
        });
        merge(&mut config["audio"], &minted["audio"]);
        Translation {
            state: Arc::clone(state),
            config,
            buffer: Vec::new(),
            elapsed_ms: 0,
            is_closing: false,
        }
    }

    fn say(&self, out: &mut Outbox, kind: &str, body: Value) {
        out.event(&server(&self.state, kind, body));
    }

    fn obey(&mut self, event: &ClientEvent, out: &mut Outbox) -> Result<(), Box<ApiError>> {
        match event.kind.as_str() {
            "session.update" => {
                let Some(Value::Object(session)) = event.body.get("session") else {
                    return Err(Box::new(errors::missing("session")));
                };
                check_fields(session, &SESSION, "session")?;
                merge(&mut self.config["audio"], &event.body["session"]["audio"]);
                self.say(out, "session.updated", json!({ "session": self.config }));
            }
            "session.input_audio_buffer.append" => {
                let audio = event.text("audio").unwrap_or_default();
                self.buffer.extend(decode(audio, "audio")?);
            }
            _ => self.is_closing = true,
        }
        Ok(())
    }

    /// Says what `frame` bytes of sound mean.
    fn translate(&mut self, frame: usize, out: &mut Outbox) {
        self.buffer.drain(..frame);
        self.elapsed_ms += FRAME_MS;
        let elapsed = self.elapsed_ms;
        let text = format!(" word{}", elapsed / FRAME_MS);
        if !self.config["audio"]["input"]["transcription"].is_null() {
            let body = json!({ "delta": text, "elapsed_ms": elapsed });
            self.say(out, "session.input_transcript.delta", body);
        }
        let sound = json!({
            "delta": encode(&speech(&text, FRAME)),
            "sample_rate": 24_000,
            "channels": 1,
            "format": "pcm16",
            "elapsed_ms": elapsed,
        });
        self.say(out, "session.output_audio.delta", sound);
        let body = json!({ "delta": text, "elapsed_ms": elapsed });
        self.say(out, "session.output_transcript.delta", body);
    }
}

/// Takes over the fields of `audio` one by one.
fn merge(audio: &mut Value, update: &Value) {
    for (side, fields) in update.as_object().into_iter().flatten() {
        for (name, value) in fields.as_object().into_iter().flatten() {
            audio[side][name] = value.clone();
        }
    }
}

impl Session for Translation {
    fn open(&mut self, out: &mut Outbox) {
        self.say(out, "session.created", json!({ "session": self.config }));
    }

    fn hear(&mut self, message: &Message, out: &mut Outbox) {
        let result = ClientEvent::read(message, &EVENTS).and_then(|event| {
            let done = self.obey(&event, out);
            done.map_err(|error| Fault::new(*error, event.id()))
        });
        if let Err(fault) = result {
            out.event(&error(&self.state, &fault));
        }
    }

    fn speaks(&self) -> bool {
        self.buffer.len() >= FRAME || self.is_closing
    }

    fn speak(&mut self, out: &mut Outbox) {
        match self.buffer.len() {
            FRAME.. => self.translate(FRAME, out),
            0 => {
                self.say(out, "session.closed", json!({}));
                out.close(1000, "");
                self.is_closing = false;
            }
            rest => self.translate(rest, out),
        }
    }

    fn expire(&mut self, out: &mut Outbox) {
        expire(&self.state, out);
    }
}
