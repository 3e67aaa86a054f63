//! `/v1/responses`, plain and streamed (wire.md 3.2).

use serde_json::{Map, Value, json};

use super::Request;
use super::json::{Refused, flag, model, number, object, pieces, settle, tokens};
use crate::errors;
use crate::state::{Object, now};
use crate::wire::{Answer, named};

const KNOWN: [&str; 31] = [
    "background",
    "context_management",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "moderation",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

pub(super) fn create(request: &Request<'_>, _: &[&str]) -> Answer {
    settle(try_create(request))
}

fn try_create(request: &Request<'_>) -> Result<Answer, Refused> {
    let body = object(request, &KNOWN)?;
    let model = model(&body)?;
    number(&body, "temperature", 0.0, 2.0)?;
    check_previous(request, &body)?;
    let said = input_text(body.get("input"));
    let text = format!("You said: {said}");
    let id = request.state.id("resp_");
    let item = json!({
        "id": request.state.id("msg_"),
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{ "type": "output_text", "text": text, "annotations": [], "logprobs": [] }],
    });
    let (asked, answered) = (tokens(&said), tokens(&text));
    let usage = json!({
        "input_tokens": asked,
        "input_tokens_details": { "cached_tokens": 0, "cache_write_tokens": 0 },
        "output_tokens": answered,
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": asked + answered,
    });
    let mut response = blank(&body, &id, &model);
    let open = response.clone();
    response["status"] = json!("completed");
    response["output"] = json!([item]);
    response["usage"] = usage;
    let stored = Object {
        json: response.clone(),
        bytes: Vec::new(),
    };
    request.state.store(&id, stored);
    Ok(match flag(&body, "stream")? {
        true => Answer::events(events(&open, &response, &item, &text)),
        false => Answer::ok(&response),
    })
}

fn check_previous(request: &Request<'_>, body: &Map<String, Value>) -> Result<(), Refused> {
    let Some(previous) = body.get("previous_response_id").and_then(Value::as_str) else {
        return Ok(());
    };
    if request.state.object(previous).is_some() {
        return Ok(());
    }
    let message = format!("Previous response with id '{previous}' not found.");
    let code = "previous_response_not_found";
    Err(Box::new(errors::bad_param(
        "previous_response_id",
        code,
        &message,
    )))
}

/// The last text of an input, which is a string or a list of items.
fn input_text(input: Option<&Value>) -> String {
    match input {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => match items.last().map(|item| &item["content"]) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => parts
                .iter()
                .filter_map(|part| part["text"].as_str())
                .collect(),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

fn blank(body: &Map<String, Value>, id: &str, model: &str) -> Value {
    let or = |name: &str, default: Value| body.get(name).cloned().unwrap_or(default);
    json!({
        "id": id,
        "object": "response",
        "created_at": now(),
        "status": "in_progress",
        "background": false,
        "error": null,
        "incomplete_details": null,
        "instructions": or("instructions", Value::Null),
        "max_output_tokens": or("max_output_tokens", Value::Null),
        "metadata": or("metadata", json!({})),
        "model": model,
        "output": [],
        "parallel_tool_calls": true,
        "previous_response_id": or("previous_response_id", Value::Null),
        "reasoning": { "effort": null, "summary": null },
        "service_tier": "default",
        "store": or("store", json!(true)),
        "temperature": or("temperature", json!(1.0)),
        "text": { "format": { "type": "text" } },
        "tool_choice": "auto",
        "tools": or("tools", json!([])),
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": null,
        "user": null,
    })
}

/// Every event of a text response, in order, numbered.
fn events(open: &Value, done: &Value, item: &Value, text: &str) -> Vec<String> {
    let mut blank_item = item.clone();
    blank_item["status"] = json!("in_progress");
    blank_item["content"] = json!([]);
    let item_id = &item["id"];
    let part = &item["content"][0];
    let mut blank_part = part.clone();
    blank_part["text"] = json!("");
    let place = |kind: &str| json!({ "type": kind, "item_id": item_id, "output_index": 0, "content_index": 0 });
    let mut list = vec![
        json!({ "type": "response.created", "response": open }),
        json!({ "type": "response.in_progress", "response": open }),
        json!({ "type": "response.output_item.added", "output_index": 0, "item": blank_item }),
    ];
    let mut added = place("response.content_part.added");
    added["part"] = blank_part;
    list.push(added);
    for piece in pieces(text) {
        let mut delta = place("response.output_text.delta");
        delta["delta"] = json!(piece);
        delta["logprobs"] = json!([]);
        delta["obfuscation"] = json!("Qe7");
        list.push(delta);
    }
    let mut text_done = place("response.output_text.done");
    text_done["text"] = json!(text);
    text_done["logprobs"] = json!([]);
    let mut part_done = place("response.content_part.done");
    part_done["part"] = part.clone();
    list.extend([
        text_done,
        part_done,
        json!({ "type": "response.output_item.done", "output_index": 0, "item": item }),
        json!({ "type": "response.completed", "response": done }),
    ]);
    for (at, event) in list.iter_mut().enumerate() {
        event["sequence_number"] = json!(at);
    }
    list.iter().map(named).collect()
}

pub(super) fn one(request: &Request<'_>, ids: &[&str]) -> Answer {
    let id = ids.first().copied().unwrap_or_default();
    match request.state.object(id) {
        Some(object) => Answer::ok(&object.json),
        None => not_found(id),
    }
}

pub(super) fn delete(request: &Request<'_>, ids: &[&str]) -> Answer {
    let id = ids.first().copied().unwrap_or_default();
    match request.state.remove(id) {
        Some(_) => Answer::ok(&json!({ "id": id, "object": "response", "deleted": true })),
        None => not_found(id),
    }
}

pub(super) fn cancel(request: &Request<'_>, ids: &[&str]) -> Answer {
    let id = ids.first().copied().unwrap_or_default();
    match request.state.object(id) {
        Some(_) => errors::bad_request("Cannot cancel a synchronous response.").into(),
        None => not_found(id),
    }
}

fn not_found(id: &str) -> Answer {
    let message = format!("Response with id '{id}' not found.");
    errors::error(404, "invalid_request_error", None, None, &message).into()
}
