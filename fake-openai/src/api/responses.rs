//! `/v1/responses`, plain and streamed (wire.md 3.2).

use serde_json::{Map, Value, json};

use super::Request;
use super::json::{Refused, check_known, flag, model, number, object, pieces, settle, tokens};
use crate::errors;
use crate::state::{Object, State, now};
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

/// A response that is made, and how it is told.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) response: Value,
    /// What it says.
    pub(crate) text: String,
    /// Every event in order, numbered.
    pub(crate) events: Vec<Value>,
}

pub(super) fn create(request: &Request<'_>, _: &[&str]) -> Answer {
    settle(try_create(request))
}

fn try_create(request: &Request<'_>) -> Result<Answer, Refused> {
    let body = object(request, &KNOWN)?;
    let told = tell(request.state, &body, |_| false)?;
    Ok(match flag(&body, "stream")? {
        true => Answer::events(told.events.iter().map(named).collect()),
        false => Answer::ok(&told.response),
    })
}

/// Makes the response that a body asks for. `knows`: whether an earlier response that is not
/// stored can be continued all the same.
pub(crate) fn tell(
    state: &State,
    body: &Map<String, Value>,
    knows: impl Fn(&str) -> bool,
) -> Result<Told, Refused> {
    check_known(body, &KNOWN)?;
    let model = model(body)?;
    number(body, "temperature", 0.0, 2.0)?;
    check_previous(state, body, knows)?;
    let said = input_text(body.get("input"));
    let text = format!("You said: {said}");
    let open = blank(body, &state.id("resp_"), &model);
    let told = ended(&open, &state.id("msg_"), &said, &text, "completed");
    if flag(body, "store")? || !body.contains_key("store") {
        let id = told.response["id"].as_str().unwrap_or_default();
        let stored = Object {
            json: told.response.clone(),
            bytes: Vec::new(),
        };
        state.store(id, stored);
    }
    Ok(told)
}

/// The response that `told` becomes when it ends after `text` because it was steered.
pub(crate) fn steered(told: &Told, text: &str) -> Told {
    let mut open = told.response.clone();
    open["output"] = json!([]);
    open["usage"] = Value::Null;
    open["status"] = json!("in_progress");
    let item = told.response["output"][0]["id"].as_str();
    let said = told.text.strip_prefix("You said: ").unwrap_or_default();
    let mut cut = ended(&open, item.unwrap_or_default(), said, text, "incomplete");
    let details = json!({ "reason": "steered" });
    cut.response["incomplete_details"] = details.clone();
    if let Some(last) = cut.events.last_mut() {
        last["response"]["incomplete_details"] = details;
    }
    cut
}

/// An open response with its one item, its cost and its end.
fn ended(open: &Value, item: &str, said: &str, text: &str, status: &str) -> Told {
    let item = json!({
        "id": item,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [{ "type": "output_text", "text": text, "annotations": [], "logprobs": [] }],
    });
    let (asked, answered) = (tokens(said), tokens(text));
    let mut response = open.clone();
    response["status"] = json!(status);
    response["output"] = json!([item]);
    response["usage"] = json!({
        "input_tokens": asked,
        "input_tokens_details": { "cached_tokens": 0, "cache_write_tokens": 0 },
        "output_tokens": answered,
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": asked + answered,
    });
    let events = events(open, &response, &item, text);
    Told {
        response,
        text: text.to_owned(),
        events,
    }
}

fn check_previous(
    state: &State,
    body: &Map<String, Value>,
    knows: impl Fn(&str) -> bool,
) -> Result<(), Refused> {
    let Some(previous) = body.get("previous_response_id").and_then(Value::as_str) else {
        return Ok(());
    };
    if knows(previous) || state.object(previous).is_some() {
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
fn events(open: &Value, done: &Value, item: &Value, text: &str) -> Vec<Value> {
    let mut blank_item = item.clone();
    blank_item["status"] = json!("in_progress");
    blank_item["content"] = json!([]);
    let item_id = &item["id"];
    let part = &item["content"][0];
    let mut blank_part = part.clone();
    blank_part["text"] = json!("");
    let last = match done["status"].as_str() {
        Some("incomplete") => "response.incomplete",
        _ => "response.completed",
    };
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
        json!({ "type": last, "response": done }),
    ]);
    for (at, event) in list.iter_mut().enumerate() {
        event["sequence_number"] = json!(at);
    }
    list
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
