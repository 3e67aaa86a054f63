//! The surfaces of OpenAI's API, one file each, and the table that leads to them.

mod audio;
mod chat;
mod completions;
mod embeddings;
mod files;
mod images;
mod json;
mod live;
pub(crate) mod models;
mod probe;
mod realtime;
pub(crate) mod responses;
mod socket;
mod uploads;

pub use probe::deterministic_bytes;

use crate::errors;
use crate::state::State;
use crate::strict::Caller;
use crate::wire::{Answer, Head};

/// A judged request with its whole body.
pub(crate) struct Request<'a> {
    pub(crate) head: &'a Head,
    pub(crate) body: &'a [u8],
    pub(crate) caller: &'a Caller,
    pub(crate) state: &'a State,
}

type Handler = fn(&Request<'_>, &[&str]) -> Answer;

/// Method, path below `/v1/` with `*` for one segment, handler.
const ROUTES: [(&str, &str, Handler); 39] = [
    ("GET", "models", models::list),
    ("GET", "models/*", models::one),
    ("POST", "chat/completions", chat::create),
    ("POST", "completions", completions::create),
    ("POST", "responses", responses::create),
    ("GET", "responses/*", responses::one),
    ("DELETE", "responses/*", responses::delete),
    ("POST", "responses/*/cancel", responses::cancel),
    ("POST", "embeddings", embeddings::create),
    ("POST", "moderations", embeddings::moderate),
    ("POST", "images/generations", images::generate),
    ("POST", "images/edits", images::edit),
    ("POST", "audio/speech", audio::speech),
    ("POST", "audio/transcriptions", audio::transcribe),
    ("POST", "audio/translations", audio::transcribe),
    ("POST", "files", files::create),
    ("GET", "files", files::list),
    ("GET", "files/*", files::one),
    ("DELETE", "files/*", files::delete),
    ("GET", "files/*/content", files::content),
    ("POST", "uploads", uploads::create),
    ("POST", "uploads/*/parts", uploads::part),
    ("POST", "uploads/*/complete", uploads::complete),
    ("POST", "uploads/*/cancel", uploads::cancel),
    ("POST", "realtime/client_secrets", realtime::mint),
    (
        "POST",
        "realtime/translations/client_secrets",
        realtime::mint_translation,
    ),
    ("POST", "realtime/calls", realtime::call),
    ("POST", "realtime/calls/*/hangup", realtime::hang_up),
    ("POST", "realtime/calls/*/accept", realtime::control),
    ("POST", "realtime/calls/*/reject", realtime::control),
    ("POST", "realtime/calls/*/refer", realtime::control),
    ("POST", "live/sessions", live::create),
    ("POST", "live/sessions/*/fork", live::fork),
    ("POST", "live/sessions/*/hangup", live::control),
    ("POST", "live/sessions/*/accept", live::control),
    ("POST", "live/sessions/*/reject", live::control),
    ("POST", "live/sessions/*/refer", live::control),
    ("GET", "live/sessions/*/content", live::content),
    ("GET", "realtime", realtime::no_socket),
];

/// Answers a request whose credential is good.
pub(crate) fn answer(request: &Request<'_>) -> Answer {
    let path = request.head.path();
    if let Some(control) = path.strip_prefix("/__fake/") {
        return probe::control(request, control);
    }
    let Some(path) = path.strip_prefix("/v1/") else {
        return errors::no_route(&request.head.method, path).into();
    };
    if let Some(rest) = path.strip_prefix("_fake/") {
        return probe::probe(request, rest);
    }
    let segments: Vec<&str> = path.split('/').collect();
    let mut is_known = false;
    for (method, pattern, handler) in ROUTES {
        let Some(ids) = matched(pattern, &segments) else {
            continue;
        };
        is_known = true;
        let is_head = request.head.method == "HEAD" && method == "GET";
        if request.head.method == method || is_head {
            return handler(request, &ids);
        }
    }
    match is_known {
        true => errors::wrong_method(&request.head.method).into(),
        false => errors::no_route(&request.head.method, request.head.path()).into(),
    }
}

/// The segments that stand at the stars, if the path fits.
fn matched<'a>(pattern: &str, segments: &[&'a str]) -> Option<Vec<&'a str>> {
    let wanted: Vec<&str> = pattern.split('/').collect();
    if wanted.len() != segments.len() {
        return None;
    }
    let mut ids = Vec::new();
    for (wanted, segment) in wanted.iter().zip(segments) {
        match *wanted {
            "*" if !segment.is_empty() => ids.push(*segment),
            wanted if wanted == *segment => {}
            _ => return None,
        }
    }
    Some(ids)
}
