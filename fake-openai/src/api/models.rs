//! `/v1/models` (wire.md 1.4).

use serde_json::{Value, json};

use super::Request;
use crate::errors;
use crate::wire::Answer;

/// What the stand-in's key may use, and when it goes away.
const MODELS: [(&str, Option<&str>); 16] = [
    ("gpt-6-luna", None),
    ("gpt-5.6-luna", None),
    ("gpt-4o-mini", Some("2027-01-14")),
    ("gpt-3.5-turbo-instruct", None),
    ("gpt-realtime-2.1", None),
    ("gpt-realtime-2.1-mini", None),
    ("gpt-realtime-mini-2025-10-06", Some("2027-01-20")),
    ("gpt-realtime-translate", None),
    ("gpt-realtime-whisper", None),
    ("gpt-image-1", None),
    ("gpt-4o-mini-tts", None),
    ("gpt-4o-transcribe", None),
    ("whisper-1", None),
    ("text-embedding-3-small", None),
    ("omni-moderation-latest", None),
    ("gpt-live-1", None),
];

pub(crate) fn exists(model: &str) -> bool {
    MODELS.iter().any(|(id, _)| *id == model)
}

fn model(id: &str, shutdown_date: Option<&str>) -> Value {
    json!({
        "id": id,
        "object": "model",
        "created": 1_780_000_000,
        "owned_by": "openai",
        "shutdown_date": shutdown_date,
    })
}

pub(super) fn list(_: &Request<'_>, _: &[&str]) -> Answer {
    let data: Vec<Value> = MODELS.iter().map(|(id, date)| model(id, *date)).collect();
    Answer::ok(&json!({ "object": "list", "data": data }))
}

pub(super) fn one(_: &Request<'_>, ids: &[&str]) -> Answer {
    let wanted = ids.first().copied().unwrap_or_default();
    match MODELS.iter().find(|(id, _)| *id == wanted) {
        Some((id, date)) => Answer::ok(&model(id, *date)),
        None => errors::no_model(wanted).into(),
    }
}
