//! Events in and out: one object of JSON in one text (wire.md 5.4).

use serde_json::{Map, Value, json};

use super::shape::{Field, check_fields, unsupported};
use crate::errors::{self, ApiError};
use crate::state::State;
use crate::ws::{Kind, Message, Outbox};

const EXPIRED: &str = "Your session hit the maximum duration of 60 minutes.";

/// An event of a client whose fields are what its type wants.
#[derive(Clone, Debug)]
pub(super) struct ClientEvent {
    pub(super) kind: String,
    pub(super) body: Map<String, Value>,
}

/// An event that was refused, with the id that the client gave it.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) error: ApiError,
    pub(super) event_id: Option<String>,
}

impl ClientEvent {
    /// Reads a message as one of the events that a surface knows.
    pub(super) fn read(
        message: &Message,
        known: &[(&'static str, &'static [Field])],
    ) -> Result<ClientEvent, Box<Fault>> {
        let body = object(message).map_err(|error| Fault::new(error, None))?;
        let event_id = body.get("event_id").and_then(Value::as_str);
        let fault = |error: ApiError| Fault::new(error, event_id.map(str::to_owned));
        let Some(kind) = body.get("type").and_then(Value::as_str) else {
            let message = "The 'type' field is missing.";
            return Err(fault(invalid("invalid_event", message)));
        };
        let Some((_, fields)) = known.iter().find(|(name, _)| *name == kind) else {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            return Err(fault(*unsupported(kind, &names, "type")));
        };
        check_fields(&body, fields, "").map_err(|error| fault(*error))?;
        Ok(ClientEvent {
            kind: kind.to_owned(),
            body,
        })
    }

    /// The id that the client gave it.
    pub(super) fn id(&self) -> Option<String> {
        self.text("event_id").map(str::to_owned)
    }

    /// A field, if it is a string.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name).and_then(Value::as_str)
    }
}

/// The object that a message holds.
pub(super) fn object(message: &Message) -> Result<Map<String, Value>, ApiError> {
    if message.kind == Kind::Binary {
        let why = "Binary frames are not supported. Send events as JSON in text frames.";
        return Err(invalid("invalid_event", why));
    }
    match serde_json::from_slice(&message.payload) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(invalid("invalid_event", "An event must be a JSON object.")),
        Err(error) => {
            let why = format!("Could not parse the event as JSON: {error}.");
            Err(invalid("invalid_json", &why))
        }
    }
}

impl Fault {
    pub(super) fn new(error: ApiError, event_id: Option<String>) -> Box<Fault> {
        Box::new(Fault { error, event_id })
    }
}

/// An `invalid_request_error` that concerns no parameter.
pub(super) fn invalid(code: &str, message: &str) -> ApiError {
    errors::error(400, "invalid_request_error", Some(code), None, message)
}

/// An event of the server: its type, an id, and the fields of `body`.
pub(super) fn server(state: &State, kind: &str, body: Value) -> Value {
    let mut event = json!({ "type": kind, "event_id": state.id("event_") });
    if let (Some(event), Value::Object(body)) = (event.as_object_mut(), body) {
        event.extend(body);
    }
    event
}

/// The event that tells an error; the session goes on.
pub(super) fn error(state: &State, fault: &Fault) -> Value {
    let ApiError {
        kind,
        code,
        param,
        message,
        ..
    } = &fault.error;
    let error = json!({
        "type": kind,
        "code": code,
        "message": message,
        "param": param,
        "event_id": fault.event_id,
    });
    server(state, "error", json!({ "error": error }))
}

/// Tells an error, and closes with its type and code as the reason (wire.md 5.4).
pub(super) fn fail(state: &State, error: ApiError, close: u16, out: &mut Outbox) {
    let reason = format!("{}.{}", error.kind, error.code.as_deref().unwrap_or("null"));
    out.event(&self::error(state, &Fault::new(error, None)));
    out.close(close, &reason);
}

/// Tells that the session has lived too long, and closes (wire.md 5.4).
pub(super) fn expire(state: &State, out: &mut Outbox) {
    let error = invalid("session_expired", EXPIRED);
    out.event(&self::error(state, &Fault::new(error, None)));
    out.close(1001, EXPIRED);
}
