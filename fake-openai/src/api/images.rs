//! `/v1/images/generations` and `/v1/images/edits`, plain and streamed (wire.md 3.3).

use serde_json::{Value, json};

use super::Request;
use super::json::{Refused, flag, needed, object, settle};
use super::models;
use crate::errors;
use crate::multipart::Form;
use crate::state::now;
use crate::wire::{Answer, named};

/// A PNG of one transparent pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const KNOWN: [&str; 14] = [
    "background",
    "model",
    "moderation",
    "n",
    "output_compression",
    "output_format",
    "partial_images",
    "prompt",
    "quality",
    "response_format",
    "size",
    "stream",
    "style",
    "user",
];

fn usage() -> Value {
    json!({
        "total_tokens": 100,
        "input_tokens": 50,
        "output_tokens": 50,
        "input_tokens_details": { "text_tokens": 10, "image_tokens": 40 },
    })
}

fn image() -> Answer {
    Answer::ok(&json!({ "created": now(), "data": [{ "b64_json": PIXEL }], "usage": usage() }))
}

fn stream(surface: &str) -> Answer {
    let event = |kind: &str| {
        json!({
            "type": format!("{surface}.{kind}"),
            "b64_json": PIXEL,
            "created_at": now(),
            "size": "1024x1024",
            "quality": "high",
            "background": "opaque",
            "output_format": "png",
        })
    };
    let mut partial = event("partial_image");
    partial["partial_image_index"] = json!(0);
    let mut done = event("completed");
    done["usage"] = usage();
    Answer::events(vec![named(&partial), named(&done)])
}

fn check_model(model: Option<&str>) -> Result<(), Refused> {
    match model {
        Some(model) if !models::exists(model) => Err(Box::new(errors::no_model(model))),
        _ => Ok(()),
    }
}

pub(super) fn generate(request: &Request<'_>, _: &[&str]) -> Answer {
    let answer = object(request, &KNOWN).and_then(|body| {
        needed(&body, "prompt")?;
        check_model(body.get("model").and_then(Value::as_str))?;
        Ok(if flag(&body, "stream")? {
            stream("image_generation")
        } else {
            image()
        })
    });
    settle(answer)
}

pub(super) fn edit(request: &Request<'_>, _: &[&str]) -> Answer {
    let content_type = request.head.get("content-type").unwrap_or_default();
    let form = match Form::parse(content_type, request.body) {
        Ok(form) => form,
        Err(why) => return errors::bad_request(&why).into(),
    };
    for needed in ["image", "prompt"] {
        if form.part(needed).is_none() {
            return errors::missing(needed).into();
        }
    }
    if let Err(refused) = check_model(form.text("model")) {
        return (*refused).into();
    }
    if form.text("stream") == Some("true") {
        stream("image_edit")
    } else {
        image()
    }
}
