//! The input audio buffer, and the turns in it.
//!
//! A turn is a matter of length alone: it starts with the first 100 ms of sound and ends with the
//! append that makes it as long as a turn is.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::{Done, Talk, Task};
use crate::errors;
use crate::realtime::audio::{bytes_per_ms, decode};
use crate::realtime::conversation::{Item, words};
use crate::realtime::event::{ClientEvent, invalid, server};
use crate::ws::Outbox;

/// The shortest sound that can be committed, in milliseconds.
const SHORTEST: usize = 100;

/// What was heard and is not an item yet.
#[derive(Debug, Default)]
pub(super) struct Listening {
    buffer: Vec<u8>,
    /// Milliseconds that went through the buffer before what is in it.
    before_ms: usize,
    /// The id of the item that the turn will become.
    turn: Option<String>,
}

impl Listening {
    pub(super) fn clear(&mut self) {
        self.buffer.clear();
        self.turn = None;
    }
}

impl Talk {
    fn buffered_ms(&self) -> usize {
        self.listening.buffer.len() / bytes_per_ms(&self.config["audio"]["input"]["format"])
    }

    pub(super) fn append(&mut self, event: &ClientEvent, out: &mut Outbox) -> Done {
        let audio = event.text("audio").unwrap_or_default();
        self.listening.buffer.extend(decode(audio, "audio")?);
        let detection = self.config["audio"]["input"]["turn_detection"].clone();
        let ms = self.buffered_ms();
        if detection.is_null() || ms < SHORTEST {
            return Ok(());
        }
        if self.listening.turn.is_none() {
            self.start_turn(&detection, out);
        }
        if ms as u128 >= self.state.turn_length.as_millis() {
            self.end_turn(&detection, out);
        }
        Ok(())
    }

    fn start_turn(&mut self, detection: &Value, out: &mut Outbox) {
        let item = self.state.id("item_");
        let body = json!({ "audio_start_ms": self.listening.before_ms, "item_id": item });
        self.say(out, "input_audio_buffer.speech_started", body);
        self.listening.turn = Some(item);
        if detection["interrupt_response"] == true {
            self.interrupt("turn_detected");
        }
    }

    fn end_turn(&mut self, detection: &Value, out: &mut Outbox) {
        let end = self.listening.before_ms + self.buffered_ms();
        let body = json!({ "audio_end_ms": end, "item_id": self.listening.turn });
        self.say(out, "input_audio_buffer.speech_stopped", body);
        self.make_item(out);
        let answers = detection["create_response"] == true && !self.is_transcription();
        if answers && self.active().is_none() {
            self.answer_turn();
        }
    }

    pub(super) fn commit(&mut self, out: &mut Outbox) -> Done {
        let ms = self.buffered_ms();
        if ms < SHORTEST {
            let message = format!(
                "Error committing input audio buffer: buffer too small. Expected at least {SHORTEST}ms of audio, but buffer only has {ms}.00ms of audio."
            );
            let code = "input_audio_buffer_commit_empty";
            return Err(Box::new(invalid(code, &message)));
        }
        self.make_item(out);
        Ok(())
    }

    /// Turns the buffer into a message of the user.
    fn make_item(&mut self, out: &mut Outbox) {
        let ms = self.buffered_ms();
        let turn = self.listening.turn.take();
        let id = turn.unwrap_or_else(|| self.state.id("item_"));
        let value = json!({
            "id": id,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{ "type": "input_audio", "transcript": null }],
        });
        let mut item = Item::new(value.clone());
        item.audio = std::mem::take(&mut self.listening.buffer);
        item.audio_ms = ms;
        self.listening.before_ms += ms;
        let before = self.conversation.push(item);
        let committed = json!({ "previous_item_id": before, "item_id": id });
        self.say(out, "input_audio_buffer.committed", committed);
        let body = json!({ "previous_item_id": before, "item": value });
        self.say(out, "conversation.item.added", body.clone());
        self.say(out, "conversation.item.done", body);
        self.transcribe(&id, ms);
    }

    /// Writes down what was said, if that was asked for.
    fn transcribe(&mut self, id: &str, ms: usize) {
        let model = self.config["audio"]["input"]["transcription"]["model"].clone();
        let Some(model) = model.as_str() else {
            return;
        };
        let text = format!("I heard {ms} milliseconds of sound.");
        if let Some(item) = self.conversation.item_mut(id) {
            item.value["content"][0]["transcript"] = json!(text);
        }
        let kind = "conversation.item.input_audio_transcription";
        let place =
            |name: &str, value: Value| json!({ "item_id": id, "content_index": 0, name: value });
        let include = self.config["include"].as_array();
        let has_logprobs = include.is_some_and(|list| !list.is_empty());
        let deltas = text.split_inclusive(' ').map(|piece| {
            let mut body = place("delta", json!(piece));
            body["obfuscation"] = json!("Qe7");
            if has_logprobs {
                body["logprobs"] = json!([logprob(piece)]);
            }
            server(&self.state, &format!("{kind}.delta"), body)
        });
        let mut events: VecDeque<Value> = deltas.collect();
        let mut body = place("transcript", json!(text));
        body["usage"] = usage(model, ms, words(Some(&text)));
        if has_logprobs {
            body["logprobs"] = text.split_inclusive(' ').map(logprob).collect();
        }
        events.push_back(server(&self.state, &format!("{kind}.completed"), body));
        self.tasks.push_back(Task::Transcription(events));
    }

    /// The event must be about an item that is there.
    pub(super) fn known_item(
        &self,
        event: &ClientEvent,
        what: &str,
    ) -> Result<String, Box<errors::ApiError>> {
        let id = event.text("item_id").unwrap_or_default();
        match self.conversation.item(id) {
            Some(_) => Ok(id.to_owned()),
            None => {
                let message = format!("Error: the item with id '{id}' does not exist.");
                let code = format!("item_{what}_invalid_item_id");
                Err(Box::new(errors::bad_param("item_id", &code, &message)))
            }
        }
    }
}

fn logprob(token: &str) -> Value {
    json!({ "token": token, "logprob": -0.01, "bytes": token.as_bytes() })
}

fn usage(model: &str, ms: usize, words: usize) -> Value {
    if model == "whisper-1" {
        return json!({ "type": "duration", "seconds": ms as f64 / 1000.0 });
    }
    let heard = ms.div_ceil(100);
    json!({
        "type": "tokens",
        "total_tokens": heard + words,
        "input_tokens": heard,
        "input_token_details": { "text_tokens": 0, "audio_tokens": heard },
        "output_tokens": words,
    })
}
