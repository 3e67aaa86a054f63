//! What the events of a response carry (wire.md 5.5, 5.6).

use serde_json::{Value, json};

use super::Response;
use crate::realtime::conversation::words;
use crate::realtime::reply::Reply;

/// Tokens of the limit that `rate_limits.updated` tells.
const LIMIT: usize = 15_000_000;

impl Response {
    pub(super) fn head(&self, status: &str) -> Value {
        let modality = if self.plan.is_audio { "audio" } else { "text" };
        json!({
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": null,
            "output": [],
            "conversation_id": self.conversation,
            "output_modalities": [modality],
            "max_output_tokens": self.plan.max_output_tokens,
            "audio": { "output": { "format": self.plan.format, "voice": self.plan.voice } },
            "usage": null,
            "metadata": self.plan.metadata,
        })
    }

    pub(super) fn whole(&self) -> Value {
        let mut whole = self.head(self.status);
        if let Some(reason) = self.reason {
            whole["status_details"] = json!({ "type": self.status, "reason": reason });
        }
        whole["output"] = json!([self.item()]);
        whole["usage"] = self.usage();
        whole
    }

    pub(super) fn whose(&self) -> Value {
        json!({ "response_id": self.id })
    }

    pub(super) fn place(&self) -> Value {
        json!({
            "response_id": self.id,
            "item_id": self.item,
            "output_index": 0,
            "content_index": 0,
        })
    }

    pub(super) fn with(&self, name: &str, value: Value) -> Value {
        let mut body = self.place();
        body[name] = value;
        body
    }

    pub(super) fn output_item(&self, item: &Value) -> Value {
        json!({ "response_id": self.id, "output_index": 0, "item": item })
    }

    pub(super) fn part(&self, text: &str) -> Value {
        let part = match self.plan.is_audio {
            true => json!({ "type": "audio", "transcript": text }),
            false => json!({ "type": "text", "text": text }),
        };
        self.with("part", part)
    }

    pub(super) fn blank_item(&self) -> Value {
        match &self.plan.reply {
            Reply::Message(_) => self.message("in_progress", &json!([])),
            Reply::Call { name, .. } => self.called("in_progress", name, ""),
        }
    }

    pub(super) fn item(&self) -> Value {
        let status = match self.status {
            "completed" => "completed",
            _ => "incomplete",
        };
        match (&self.plan.reply, self.plan.is_audio) {
            (Reply::Call { name, .. }, _) => self.called(status, name, &self.text()),
            (Reply::Message(_), true) => {
                let part = json!({ "type": "output_audio", "transcript": self.text() });
                self.message(status, &json!([part]))
            }
            (Reply::Message(_), false) => {
                let part = json!({ "type": "output_text", "text": self.text() });
                self.message(status, &json!([part]))
            }
        }
    }

    pub(super) fn message(&self, status: &str, content: &Value) -> Value {
        json!({
            "id": self.item,
            "object": "realtime.item",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        })
    }

    pub(super) fn called(&self, status: &str, name: &str, arguments: &str) -> Value {
        json!({
            "id": self.item,
            "object": "realtime.item",
            "type": "function_call",
            "status": status,
            "call_id": self.call,
            "name": name,
            "arguments": arguments,
        })
    }

    pub(super) fn in_call(&self, name: &str, value: &Value) -> Value {
        json!({
            "response_id": self.id,
            "item_id": self.item,
            "output_index": 0,
            "call_id": self.call,
            name: value,
        })
    }

    pub(super) fn usage(&self) -> Value {
        let (input, cached) = (self.plan.input, self.plan.cached);
        let text = match &self.plan.reply {
            Reply::Message(_) => words(Some(&self.text())),
            Reply::Call { name, .. } => words(Some(name)) + words(Some(&self.text())),
        };
        let audio = self.told_ms().div_ceil(50);
        let output = text + audio;
        json!({
            "total_tokens": input.total() + output,
            "input_tokens": input.total(),
            "output_tokens": output,
            "input_token_details": {
                "text_tokens": input.text,
                "audio_tokens": input.audio,
                "image_tokens": input.image,
                "cached_tokens": cached.total(),
                "cached_tokens_details": {
                    "text_tokens": cached.text,
                    "audio_tokens": cached.audio,
                    "image_tokens": cached.image,
                },
            },
            "output_token_details": { "text_tokens": text, "audio_tokens": audio },
        })
    }

    pub(super) fn limits(&self) -> Value {
        let used = self.usage()["total_tokens"].as_u64().unwrap_or_default() as usize;
        let limit = json!({
            "name": "tokens",
            "limit": LIMIT,
            "remaining": LIMIT.saturating_sub(used),
            "reset_seconds": used as f64 * 60.0 / LIMIT as f64,
        });
        json!({ "rate_limits": [limit] })
    }
}
