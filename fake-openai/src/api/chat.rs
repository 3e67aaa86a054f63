//! `POST /v1/chat/completions`, plain and streamed (wire.md 3.1).

use serde_json::{Map, Value, json};

use super::Request;
use super::json::{
    Refused, flag, model, needed, number, object, pieces, settle, tokens, wrong_type,
};
use crate::errors;
use crate::state::now;
use crate::wire::{Answer, data};

const KNOWN: [&str; 38] = [
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "moderation",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
    "prompt",
];

/// What is to be said, and how.
struct Plan {
    id: String,
    model: String,
    text: String,
    tool: Option<String>,
    choices: u64,
    prompt_tokens: u64,
    with_usage: bool,
    with_padding: bool,
}

pub(super) fn create(request: &Request<'_>, _: &[&str]) -> Answer {
    settle(try_create(request))
}

fn try_create(request: &Request<'_>) -> Result<Answer, Refused> {
    let body = object(request, &KNOWN)?;
    let model = model(&body)?;
    let messages = needed(&body, "messages")?;
    let Some(messages) = messages.as_array() else {
        return Err(wrong_type("messages", "an array of objects"));
    };
    if messages.is_empty() {
        let message = "Invalid 'messages': empty array. Expected an array with minimum length 1.";
        return Err(Box::new(errors::bad_param(
            "messages",
            "empty_array",
            message,
        )));
    }
    number(&body, "temperature", 0.0, 2.0)?;
    number(&body, "top_p", 0.0, 1.0)?;
    let choices = number(&body, "n", 1.0, 4.0)?.unwrap_or(1.0);
    let is_streamed = flag(&body, "stream")?;
    if !is_streamed
        && body
            .get("stream_options")
            .is_some_and(|options| !options.is_null())
    {
        let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(Box::new(errors::bad_param(
            "stream_options",
            "invalid_value",
            message,
        )));
    }
    let said = last_text(messages);
    let options = body.get("stream_options").cloned().unwrap_or_default();
    let plan = Plan {
        id: request.state.id("chatcmpl-"),
        model,
        tool: tool(&body, &said),
        prompt_tokens: messages
            .iter()
            .map(|message| tokens(&text_of(message)))
            .sum(),
        text: format!("You said: {said}"),
        choices: choices as u64,
        with_usage: options["include_usage"] == true,
        with_padding: options["include_obfuscation"] != false,
    };
    Ok(if is_streamed {
        plan.stream()
    } else {
        plan.whole()
    })
}

fn last_text(messages: &[Value]) -> String {
    let last = messages
        .iter()
        .rev()
        .find(|message| message["role"] == "user");
    last.or(messages.last()).map(text_of).unwrap_or_default()
}

/// The text of a message, in parts or not.
fn text_of(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        _ => String::new(),
    }
}

/// The tool to call: the first one, where the user begins with "call ".
fn tool(body: &Map<String, Value>, said: &str) -> Option<String> {
    let name = body.get("tools")?.get(0)?["function"]["name"].as_str()?;
    said.starts_with("call ").then(|| name.to_owned())
}

impl Plan {
    fn usage(&self) -> Value {
        let said = tokens(&self.text) * self.choices;
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": said,
            "total_tokens": self.prompt_tokens + said,
            "prompt_tokens_details": { "cached_tokens": 0, "audio_tokens": 0 },
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        })
    }

    fn calls(&self) -> Option<Value> {
        let name = self.tool.as_ref()?;
        Some(json!([{
            "id": "call_1",
            "type": "function",
            "function": { "name": name, "arguments": "{\"city\":\"Paris\"}" },
        }]))
    }

    fn finish(&self) -> &'static str {
        if self.tool.is_some() {
            "tool_calls"
        } else {
            "stop"
        }
    }

    fn whole(&self) -> Answer {
        let mut message = json!({ "role": "assistant", "content": self.text, "refusal": null, "annotations": [] });
        if let Some(calls) = self.calls() {
            message["content"] = Value::Null;
            message["tool_calls"] = calls;
        }
        let choice = |index| json!({ "index": index, "message": message, "logprobs": null, "finish_reason": self.finish() });
        Answer::ok(&json!({
            "id": self.id,
            "object": "chat.completion",
            "created": now(),
            "model": self.model,
            "choices": (0..self.choices).map(choice).collect::<Vec<_>>(),
            "usage": self.usage(),
            "service_tier": "default",
        }))
    }

    fn stream(&self) -> Answer {
        let mut events = Vec::new();
        for index in 0..self.choices {
            events.push(self.chunk(index, &json!({ "role": "assistant", "content": "" }), None));
            match self.calls() {
                Some(mut calls) => {
                    calls[0]["index"] = json!(0);
                    events.push(self.chunk(index, &json!({ "tool_calls": calls }), None));
                }
                None => events.extend(
                    pieces(&self.text)
                        .iter()
                        .map(|piece| self.chunk(index, &json!({ "content": piece }), None)),
                ),
            }
            events.push(self.chunk(index, &json!({}), Some(self.finish())));
        }
        if self.with_usage {
            let mut last = self.frame();
            last["choices"] = json!([]);
            last["usage"] = self.usage();
            events.push(data(&last));
        }
        events.push("data: [DONE]\n\n".to_owned());
        Answer::events(events)
    }

    fn chunk(&self, index: u64, delta: &Value, finish: Option<&str>) -> String {
        let mut frame = self.frame();
        frame["choices"] =
            json!([{ "index": index, "delta": delta, "logprobs": null, "finish_reason": finish }]);
        if self.with_usage {
            frame["usage"] = Value::Null;
        }
        if self.with_padding {
            frame["obfuscation"] = json!("k3Zt");
        }
        data(&frame)
    }

    fn frame(&self) -> Value {
        json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": now(),
            "model": self.model,
            "service_tier": "default",
        })
    }
}
