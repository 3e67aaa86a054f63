//! Realtime over HTTP: client secrets and calls (wire.md 6.1, 6.2).

use serde_json::{Map, Value, json};

use super::Request;
use super::json::{Refused, object, settle};
use super::models;
use crate::errors;
use crate::multipart::Form;
use crate::sdp;
use crate::state::now;
use crate::strict::Caller;
use crate::wire::Answer;

/// How long a secret may live, in seconds, and how long it does unless asked.
const LIFE: std::ops::RangeInclusive<u64> = 10..=7200;
const USUAL_LIFE: u64 = 600;

pub(super) fn mint(request: &Request<'_>, _: &[&str]) -> Answer {
    settle(try_mint(request, true))
}

pub(super) fn mint_translation(request: &Request<'_>, _: &[&str]) -> Answer {
    settle(try_mint(request, false))
}

fn try_mint(request: &Request<'_>, is_typed: bool) -> Result<Answer, Refused> {
    if !matches!(request.caller, Caller::Project) {
        return Err(Box::new(errors::wrong_key("ek_************")));
    }
    let body = match request.body.is_empty() {
        true => Map::new(),
        false => object(request, &["expires_after", "session"])?,
    };
    let mut session = body
        .get("session")
        .cloned()
        .unwrap_or_else(|| json!({ "type": "realtime" }));
    if is_typed {
        check_session(&session)?;
    }
    let asked = body
        .get("expires_after")
        .map(|after| &after["seconds"])
        .and_then(Value::as_u64);
    let seconds = asked.unwrap_or(USUAL_LIFE);
    if !LIFE.contains(&seconds) {
        let message = "Invalid 'expires_after.seconds': it must be between 10 and 7200.";
        let param = "expires_after.seconds";
        return Err(Box::new(errors::bad_param(param, "invalid_value", message)));
    }
    let object = match session["type"].as_str() {
        Some("transcription") => "realtime.transcription_session",
        _ => "realtime.session",
    };
    session["object"] = json!(object);
    session["id"] = json!(request.state.id("sess_"));
    session["expires_at"] = json!(0);
    let secret = request.state.mint(seconds, session);
    Ok(Answer::ok(&json!({
        "value": secret.value,
        "expires_at": secret.expires_at,
        "session": secret.session,
    })))
}

fn check_session(session: &Value) -> Result<(), Refused> {
    match session["type"].as_str() {
        Some("realtime" | "transcription") => {}
        Some(_) => {
            let message = "Invalid value for 'session.type'.";
            return Err(Box::new(errors::bad_param(
                "session.type",
                "invalid_value",
                message,
            )));
        }
        None => return Err(Box::new(errors::missing("session.type"))),
    }
    match session["model"].as_str() {
        Some(model) if !models::exists(model) => Err(Box::new(errors::no_model(model))),
        _ => Ok(()),
    }
}

pub(super) fn call(request: &Request<'_>, _: &[&str]) -> Answer {
    settle(try_call(request))
}

fn try_call(request: &Request<'_>) -> Result<Answer, Refused> {
    let content_type = request.head.get("content-type").unwrap_or_default();
    let refused = |message: &str| Err(Box::new(errors::bad_request(message)));
    let (offer, session) = match (request.caller, content_type.split(';').next()) {
        (Caller::Ephemeral(secret), Some("application/sdp")) => {
            (request.body.to_vec(), secret.session.clone())
        }
        (Caller::Project, Some("multipart/form-data")) => {
            let form = match Form::parse(content_type, request.body) {
                Ok(form) => form,
                Err(why) => return refused(&why),
            };
            let Some(offer) = form.part("sdp") else {
                return Err(Box::new(errors::missing("sdp")));
            };
            let session = form
                .text("session")
                .and_then(|text| serde_json::from_str(text).ok());
            let Some(session) = session else {
                return Err(Box::new(errors::missing("session")));
            };
            (offer.bytes.to_vec(), session)
        }
        (_, Some("application/sdp")) => {
            return refused(
                "An SDP body needs an ephemeral key; with an API key send multipart/form-data with sdp and session.",
            );
        }
        _ => {
            return refused(
                "Unsupported content type. Expected 'application/sdp' or 'multipart/form-data'.",
            );
        }
    };
    if session != Value::Null {
        check_session(&session)?;
    }
    let id = request.state.id("rtc_u0_");
    match sdp::answer(&String::from_utf8_lossy(&offer), &id) {
        Ok(answer) => {
            request.state.add_call(&id, session);
            Ok(Answer::new(201, "application/sdp", answer)
                .with("location", format!("/v1/realtime/calls/{id}"))
                .with("openai-call-created", now().to_string()))
        }
        Err(why) => Err(Box::new(errors::bad_param("sdp", "invalid_offer", &why))),
    }
}

pub(super) fn hang_up(request: &Request<'_>, ids: &[&str]) -> Answer {
    for id in ids {
        request.state.hang_up(id);
    }
    control(request, ids)
}

pub(super) fn control(request: &Request<'_>, ids: &[&str]) -> Answer {
    let id = ids.first().copied().unwrap_or_default();
    match request.state.has_call(id) {
        true => Answer::new(200, "application/json", ""),
        false => errors::no_object("call", id).into(),
    }
}

/// There is nothing without an upgrade.
pub(super) fn no_socket(request: &Request<'_>, _: &[&str]) -> Answer {
    errors::no_route(&request.head.method, request.head.path()).into()
}
