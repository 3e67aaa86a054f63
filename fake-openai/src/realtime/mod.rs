//! What speaks on the stand-in's WebSockets.
//!
//! - `gate`: who may open a Realtime session, and on what
//! - `shape`, `shapes`: what events must look like; `event`: how they are read and told
//! - `talk`: a conversation or a transcription; `config`, `conversation`, `reply`, `response`: its parts
//! - `translation`: a session without turns
//! - `lanes`: Responses over one socket; `live`: a Live session
//! - `shared`: sessions that live apart from sockets, and sidebands
//! - `audio`: how long bytes of sound are, and what they are

mod audio;
mod config;
mod conversation;
mod event;
mod gate;
mod lanes;
mod live;
mod reply;
mod response;
mod shape;
mod shapes;
mod shared;
mod talk;
mod translation;

use std::sync::Arc;

use serde_json::Value;

pub use audio::speech;
pub(crate) use shared::Shared;

use crate::errors::{self, ApiError};
use crate::script::Script;
use crate::state::State;
use crate::strict;
use crate::wire::Head;
use crate::ws::{Echo, Flood, Kind, Offer, Session};
use gate::{Refusal, Subject};
use lanes::Lanes;
use live::Live;
use talk::{Refused, Talk};
use translation::Translation;

/// The model of a call whose configuration names none.
const USUAL_MODEL: &str = "gpt-realtime-2.1";

/// Opens a session for a caller whose credential is good.
type Open = fn(&Arc<State>, &Head, &Value, &Script) -> Result<Box<dyn Session>, Refusal>;

/// The session for an upgrade that is well-formed; the error that refuses it.
pub(crate) fn session(
    state: &Arc<State>,
    head: &Head,
    offer: &Offer,
    script: &Script,
) -> Result<Box<dyn Session>, Box<ApiError>> {
    let open: Open = match head.path() {
        "/v1/realtime" => realtime,
        "/v1/realtime/translations" => translation,
        path => {
            strict::identify(state, head)?;
            return match scripted(script) {
                Some(session) => Ok(session),
                None => elsewhere(state, head, path),
            };
        }
    };
    // Realtime refuses after the 101 only (wire.md 5.4).
    let opened = gate::caller(state, head, offer).and_then(|minted| match scripted(script) {
        Some(session) => Ok(session),
        None => open(state, head, &minted, script),
    });
    Ok(opened.unwrap_or_else(|refusal| {
        let (error, close) = *refusal;
        Box::new(Refused::new(Arc::clone(state), error, close))
    }))
}

fn realtime(
    state: &Arc<State>,
    head: &Head,
    minted: &Value,
    script: &Script,
) -> Result<Box<dyn Session>, Refusal> {
    let talk = match gate::subject(head, minted)? {
        Subject::Model(model) => Talk::conversation(state, &model, minted),
        Subject::Transcription => Talk::transcription(state, minted),
        Subject::Call(id) => return sideband(state, &id),
    };
    Ok(Box::new(talk.speaking_for(script.socket.speech)))
}

fn translation(
    state: &Arc<State>,
    head: &Head,
    minted: &Value,
    _: &Script,
) -> Result<Box<dyn Session>, Refusal> {
    let model = gate::translator(head, minted)?;
    Ok(Box::new(Translation::new(state, &model, minted)))
}

fn sideband(state: &Arc<State>, id: &str) -> Result<Box<dyn Session>, Refusal> {
    let begin = |session: &Value| {
        let talk = match (session["type"].as_str(), session["model"].as_str()) {
            (Some("transcription"), _) => Talk::transcription(state, session),
            (_, model) => Talk::conversation(state, model.unwrap_or(USUAL_MODEL), session),
        };
        shared::serve_alone(state, talk.with_media_elsewhere(), Talk::config)
    };
    match state.call_session(id, begin) {
        Some(shared) => Ok(Box::new(shared.attach(
            Arc::clone(state),
            "session.created",
            &[],
            event::error,
        ))),
        None => {
            let message = format!("No call with id '{id}' is going on.");
            Err(Box::new((event::invalid("call_not_found", &message), 4004)))
        }
    }
}

/// What a script wants in place of a session.
fn scripted(script: &Script) -> Option<Box<dyn Session>> {
    if script.socket.echo {
        return Some(Box::new(Echo));
    }
    let flood = script.socket.flood.clone()?;
    Some(Box::new(flood))
}

/// Sessions whose credential is judged like that of any request.
fn elsewhere(
    state: &Arc<State>,
    head: &Head,
    path: &str,
) -> Result<Box<dyn Session>, Box<ApiError>> {
    match path {
        "/v1/live/sessions" => Ok(Box::new(Live::new(state))),
        "/v1/responses" => Ok(Box::new(Lanes::new(state))),
        "/v1/_fake/echo" => Ok(Box::new(Echo)),
        "/v1/_fake/flood" => Ok(Box::new(flood(head))),
        path => {
            let attached = path.strip_prefix("/v1/live/sessions/");
            let Some(id) = attached.and_then(|rest| rest.strip_suffix("/attach")) else {
                return Err(Box::new(errors::no_route(&head.method, path)));
            };
            Live::attach(state, id).ok_or_else(|| Box::new(errors::no_object("session", id)))
        }
    }
}

/// `?n=`, `size=` and `kind=binary`.
fn flood(head: &Head) -> Flood {
    let number = |name: &str| head.query(name).and_then(|text| text.parse().ok());
    let kind = match head.query("kind").as_deref() {
        Some("binary") => Kind::Binary,
        _ => Kind::Text,
    };
    let size = number("size").unwrap_or(1024);
    Flood::new(kind, number("n").unwrap_or(1), size as usize)
}
