//! `POST /v1/completions`, the legacy surface.

use serde_json::json;

use super::Request;
use super::json::{Refused, flag, model, needed, number, object, pieces, settle, tokens};
use crate::state::now;
use crate::wire::{Answer, data};

const KNOWN: [&str; 18] = [
    "best_of",
    "echo",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_tokens",
    "model",
    "n",
    "presence_penalty",
    "prompt",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "suffix",
    "temperature",
    "top_p",
    "user",
];

pub(super) fn create(request: &Request<'_>, _: &[&str]) -> Answer {
    settle(try_create(request))
}

fn try_create(request: &Request<'_>) -> Result<Answer, Refused> {
    let body = object(request, &KNOWN)?;
    let model = model(&body)?;
    number(&body, "temperature", 0.0, 2.0)?;
    let prompt = needed(&body, "prompt")?.as_str().unwrap_or_default();
    let text = format!("You said: {prompt}");
    let (asked, said) = (tokens(prompt), tokens(&text));
    let usage =
        json!({ "prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said });
    let id = request.state.id("cmpl-");
    let frame = |text: &str, finish: Option<&str>| {
        json!({
            "id": id,
            "object": "text_completion",
            "created": now(),
            "model": model,
            "choices": [{ "text": text, "index": 0, "logprobs": null, "finish_reason": finish }],
        })
    };
    if !flag(&body, "stream")? {
        let mut whole = frame(&text, Some("stop"));
        whole["usage"] = usage;
        return Ok(Answer::ok(&whole));
    }
    let mut events: Vec<String> = pieces(&text)
        .iter()
        .map(|piece| data(&frame(piece, None)))
        .collect();
    events.push(data(&frame("", Some("stop"))));
    if body
        .get("stream_options")
        .is_some_and(|options| options["include_usage"] == true)
    {
        let mut last = frame("", None);
        last["choices"] = json!([]);
        last["usage"] = usage;
        events.push(data(&last));
    }
    events.push("data: [DONE]\n\n".to_owned());
    Ok(Answer::events(events))
}
