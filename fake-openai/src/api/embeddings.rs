//! `POST /v1/embeddings` and `/v1/moderations`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::Request;
use super::json::{Refused, model, needed, number, object, settle, tokens};
use crate::errors;
use crate::wire::Answer;

const KNOWN: [&str; 5] = ["dimensions", "encoding_format", "input", "model", "user"];
const CATEGORIES: [&str; 13] = [
    "hate",
    "hate/threatening",
    "harassment",
    "harassment/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
];

pub(super) fn create(request: &Request<'_>, _: &[&str]) -> Answer {
    settle(try_create(request))
}

fn try_create(request: &Request<'_>) -> Result<Answer, Refused> {
    let body = object(request, &KNOWN)?;
    let model = model(&body)?;
    let texts = texts(needed(&body, "input")?);
    let length = number(&body, "dimensions", 1.0, 3072.0)?.unwrap_or(1536.0) as usize;
    let is_base64 = match body.get("encoding_format").and_then(Value::as_str) {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => {
            let message = "Invalid value for 'encoding_format': use 'float' or 'base64'.";
            return Err(Box::new(errors::bad_param(
                "encoding_format",
                "invalid_value",
                message,
            )));
        }
    };
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let vector = vector(text, length);
            let embedding = if is_base64 {
                let bytes: Vec<u8> = vector
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect();
                json!(STANDARD.encode(bytes))
            } else {
                json!(vector)
            };
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        })
        .collect();
    let used: u64 = texts.iter().map(|text| tokens(text)).sum();
    Ok(Answer::ok(&json!({
        "object": "list",
        "data": data,
        "model": model,
        "usage": { "prompt_tokens": used, "total_tokens": used },
    })))
}

fn texts(input: &Value) -> Vec<String> {
    match input {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) if items.iter().all(Value::is_string) => items
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        other => vec![other.to_string()],
    }
}

/// A vector that is the same for the same text.
fn vector(text: &str, length: usize) -> Vec<f32> {
    let seed = text.bytes().fold(17u32, |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    (0..length)
        .map(|at| {
            let mixed = seed.wrapping_add(at as u32).wrapping_mul(2_654_435_761);
            (mixed % 2000) as f32 / 1000.0 - 1.0
        })
        .collect()
}

pub(super) fn moderate(request: &Request<'_>, _: &[&str]) -> Answer {
    settle(try_moderate(request))
}

fn try_moderate(request: &Request<'_>) -> Result<Answer, Refused> {
    let body = object(request, &["input", "model"])?;
    let text = needed(&body, "input")?.to_string();
    let is_flagged = text.contains("violence");
    let each = |value: &dyn Fn(&str) -> Value| -> Map<String, Value> {
        CATEGORIES
            .iter()
            .map(|name| ((*name).to_owned(), value(name)))
            .collect()
    };
    let is_hit = |name: &str| is_flagged && name == "violence";
    Ok(Answer::ok(&json!({
        "id": request.state.id("modr-"),
        "model": "omni-moderation-latest",
        "results": [{
            "flagged": is_flagged,
            "categories": each(&|name| json!(is_hit(name))),
            "category_scores": each(&|name| json!(if is_hit(name) { 0.98 } else { 0.01 })),
            "category_applied_input_types": each(&|_| json!(["text"])),
        }],
    })))
}
