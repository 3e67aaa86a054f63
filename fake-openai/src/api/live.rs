//! Live over HTTP: sessions over WebRTC, and what steers them (wire.md 8).

use serde_json::{Value, json};

use super::Request;
use super::json::{Refused, object, settle};
use super::models;
use crate::errors;
use crate::sdp;
use crate::strict::Caller;
use crate::wire::Answer;

pub(super) fn create(request: &Request<'_>, _: &[&str]) -> Answer {
    settle(try_create(request))
}

fn try_create(request: &Request<'_>) -> Result<Answer, Refused> {
    if !matches!(request.caller, Caller::Project) {
        return Err(Box::new(errors::wrong_key("ek_************")));
    }
    let body = object(request, &["session", "transport"])?;
    let text = |name: &str, field: &str| body.get(name).and_then(|value| value[field].as_str());
    let model = text("session", "model").unwrap_or_default();
    if !models::exists(model) || !model.starts_with("gpt-live") {
        return Err(Box::new(errors::no_model(model)));
    }
    let Some(offer) = text("transport", "sdp") else {
        return Err(Box::new(errors::missing("transport.sdp")));
    };
    let id = request.state.id("live_");
    match sdp::answer(offer, &id) {
        Ok(answer) => {
            request.state.add_call(&id, json!({ "model": model }));
            Ok(Answer::ok(&json!({
                "session": { "id": id },
                "transport": { "type": "webrtc", "sdp": answer },
            })))
        }
        Err(why) => {
            let param = "transport.sdp";
            Err(Box::new(errors::bad_param(param, "invalid_offer", &why)))
        }
    }
}

pub(super) fn fork(request: &Request<'_>, ids: &[&str]) -> Answer {
    let steered = control(request, ids);
    if steered.status != 200 {
        return steered;
    }
    let id = request.state.id("live_");
    request.state.add_call(&id, Value::Null);
    Answer::ok(&json!({ "session": { "id": id } }))
}

pub(super) fn control(request: &Request<'_>, ids: &[&str]) -> Answer {
    let id = ids.first().copied().unwrap_or_default();
    let is_there = request.state.has_call(id) || request.state.live_session(id).is_some();
    match is_there {
        true => Answer::new(200, "application/json", ""),
        false => errors::no_object("session", id).into(),
    }
}

pub(super) fn content(request: &Request<'_>, ids: &[&str]) -> Answer {
    let steered = control(request, ids);
    match steered.status {
        200 => Answer::new(200, "audio/wav", "RIFF"),
        _ => steered,
    }
}
