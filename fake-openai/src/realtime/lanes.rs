//! Responses over one socket: in order within a lane, side by side across lanes (wire.md 7).

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::event::{invalid, object};
use super::shape::Shape::{Any, List, OneOf, Text};
use super::shape::{Field, Shape, check_fields, need, unsupported};
use crate::api::responses::{self, Told};
use crate::errors::{self, ApiError};
use crate::state::State;
use crate::ws::{Message, Outbox, Session};

/// Lanes of a connection, and responses that are asked for and not told to their end.
const LANES: usize = 32;
const IN_FLIGHT: usize = 16;

/// What `response.steer` may have.
const STEER: [Field; 3] = [
    need("type", Text),
    need("previous_response_id", Text),
    need("input", Any),
];
const STEER_ITEMS: Shape = List(&Shape::Tagged(&[(
    "message",
    &[
        need("type", Text),
        need("role", OneOf(&["user"])),
        need("content", Any),
    ],
)]));

/// All lanes of a connection.
pub(super) struct Lanes {
    state: Arc<State>,
    lanes: VecDeque<Lane>,
    /// The ids of what was told to its end here; the cache of a connection is its own.
    told: BTreeSet<String>,
    steers: u64,
}

/// Requests that wait for each other. The one without a name is for those without a `stream_id`.
#[derive(Debug)]
struct Lane {
    name: Option<String>,
    waiting: VecDeque<Map<String, Value>>,
    active: Option<Active>,
}

/// A response that is being told.
#[derive(Debug)]
struct Active {
    body: Map<String, Value>,
    told: Told,
    /// How many of its events were told.
    sent: usize,
    /// What it was steered with.
    steered: Option<Value>,
}

impl Lanes {
    pub(super) fn new(state: &Arc<State>) -> Lanes {
        Lanes {
            state: Arc::clone(state),
            lanes: VecDeque::new(),
            told: BTreeSet::new(),
            steers: 0,
        }
    }

    fn create(&mut self, mut body: Map<String, Value>) -> Result<(), Box<ApiError>> {
        body.remove("type");
        let name = body
            .remove("stream_id")
            .as_ref()
            .map(lane_name)
            .transpose()?;
        if body.get("background").is_some_and(|flag| *flag != false) {
            let message = "Background responses are not supported over WebSocket.";
            let error = errors::bad_param("background", "unsupported_parameter", message);
            return Err(Box::new(error));
        }
        let in_flight = self.lanes.iter().map(Lane::in_flight).sum::<usize>();
        if in_flight >= IN_FLIGHT {
            let message = "This WebSocket connection has too many responses in flight.";
            return Err(Box::new(invalid("websocket_stream_limit_reached", message)));
        }
        let at = self.lanes.iter().position(|lane| lane.name == name);
        if at.is_none() && self.lanes.len() >= LANES {
            let message = "This WebSocket connection has reached its stream limit.";
            let code = "websocket_stream_limit_reached";
            return Err(Box::new(errors::bad_param("stream_id", code, message)));
        }
        let at = at.unwrap_or_else(|| {
            self.lanes.push_back(Lane::new(name));
            self.lanes.len() - 1
        });
        self.lanes[at].waiting.push_back(body);
        Ok(())
    }

    fn steer(&mut self, body: &Map<String, Value>, out: &mut Outbox) {
        let target = body
            .get("previous_response_id")
            .cloned()
            .unwrap_or_default();
        let input = body.get("input").cloned().unwrap_or_default();
        let mut steer = json!({ "previous_response_id": target });
        let found = self.lanes.iter_mut().find_map(|lane| {
            let active = lane.active.as_mut()?;
            (active.told.response["id"] == target).then_some((&lane.name, active))
        });
        let is_over = target.as_str().is_some_and(|id| self.told.contains(id));
        let refused = match (check_steer(body, &input), &found) {
            (Err(message), _) => Some(("invalid_input", message)),
            (Ok(()), Some((_, active))) if active.steered.is_some() => {
                Some(("too_many_pending_steers", "A steer is pending.".to_owned()))
            }
            (Ok(()), Some(_)) => None,
            (Ok(()), None) if is_over => Some((
                "response_already_completed",
                "The response is complete.".to_owned(),
            )),
            (Ok(()), None) => Some((
                "response_not_found",
                "The response is not available on this connection.".to_owned(),
            )),
        };
        self.steers += 1;
        let lane = found.as_ref().and_then(|(name, _)| (*name).clone());
        let mut event = json!({ "sequence_number": self.steers - 1 });
        match (refused, found) {
            (None, Some((_, active))) => {
                active.steer(input);
                steer["id"] = json!(self.state.id("steer_"));
                event["type"] = json!("response.steer.accepted");
            }
            (refused, _) => {
                let (code, message) = refused.unwrap_or_default();
                let kind = "invalid_request_error";
                steer["input"] = input;
                event["type"] = json!("response.steer.failed");
                event["error"] = json!({ "type": kind, "code": code, "message": message });
            }
        }
        event["steer"] = steer;
        out.event(&in_lane(event, lane.as_deref()));
    }
}

fn lane_name(value: &Value) -> Result<String, Box<ApiError>> {
    let name = value.as_str().unwrap_or_default();
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if (1..=256).contains(&name.len()) && name.bytes().all(is_letter) {
        return Ok(name.to_owned());
    }
    let message = "Invalid 'stream_id': expected 1 to 256 of A-Z, a-z, 0-9, '_', '.', '-'.";
    let error = errors::bad_param("stream_id", "invalid_value", message);
    Err(Box::new(error))
}

fn check_steer(body: &Map<String, Value>, input: &Value) -> Result<(), String> {
    check_fields(body, &STEER, "").map_err(|error| error.message)?;
    match input {
        Value::String(text) if !text.is_empty() => Ok(()),
        Value::Array(items) if !items.is_empty() => {
            let checked = STEER_ITEMS.check(input, "input");
            checked.map_err(|error| error.message)
        }
        _ => Err("The input is empty.".to_owned()),
    }
}

/// An event with the name of its lane, if that has one.
fn in_lane(mut event: Value, name: Option<&str>) -> Value {
    if let Some(name) = name {
        event["stream_id"] = json!(name);
    }
    event
}

fn error(error: &ApiError, lane: Option<&str>) -> Value {
    let event = json!({ "type": "error", "status": error.status, "error": error.object() });
    in_lane(event, lane)
}

impl Lane {
    fn new(name: Option<String>) -> Lane {
        Lane {
            name,
            waiting: VecDeque::new(),
            active: None,
        }
    }

    fn in_flight(&self) -> usize {
        self.waiting.len() + usize::from(self.active.is_some())
    }

    /// Tells the next event; gives the id of the response that it ends.
    fn speak(
        &mut self,
        state: &State,
        knows: impl Fn(&str) -> bool,
        out: &mut Outbox,
    ) -> Option<String> {
        let name = self.name.as_deref();
        if self.active.is_none() {
            let body = self.waiting.pop_front()?;
            match responses::tell(state, &body, knows) {
                Ok(told) => self.active = Some(Active::new(body, told)),
                Err(refused) => {
                    out.event(&error(&refused, name));
                    return None;
                }
            }
        }
        let active = self.active.as_mut()?;
        let event = active.told.events.get(active.sent).cloned();
        out.event(&in_lane(event.unwrap_or_default(), name));
        active.sent += 1;
        if active.sent < active.told.events.len() {
            return None;
        }
        let ended = self.active.take()?;
        let id = ended.told.response["id"].as_str().map(str::to_owned);
        if let (Some(input), Some(id)) = (ended.steered, &id) {
            let mut body = ended.body;
            body.insert("input".to_owned(), input);
            body.insert("previous_response_id".to_owned(), json!(id));
            self.waiting.push_front(body);
        }
        id
    }
}

impl Active {
    fn new(body: Map<String, Value>, told: Told) -> Active {
        Active {
            body,
            told,
            sent: 0,
            steered: None,
        }
    }

    /// Ends after what was said so far, unless that was everything.
    fn steer(&mut self, input: Value) {
        let deltas = self.told.events[..self.sent].iter();
        let text: String = deltas.filter_map(|event| event["delta"].as_str()).collect();
        if text.len() < self.told.text.len() {
            self.told = responses::steered(&self.told, &text);
        }
        self.steered = Some(input);
    }
}

impl Session for Lanes {
    fn hear(&mut self, message: &Message, out: &mut Outbox) {
        let body = match object(message) {
            Ok(body) => body,
            Err(refused) => return out.event(&error(&refused, None)),
        };
        let lane = body.get("stream_id").and_then(Value::as_str);
        let lane = lane.map(str::to_owned);
        let done = match body.get("type").and_then(Value::as_str) {
            Some("response.create") => self.create(body),
            Some("response.steer") => {
                self.steer(&body, out);
                Ok(())
            }
            Some(kind) => Err(unsupported(
                kind,
                &["response.create", "response.steer"],
                "type",
            )),
            None => Err(Box::new(errors::missing("type"))),
        };
        if let Err(refused) = done {
            out.event(&error(&refused, lane.as_deref()));
        }
    }

    fn speaks(&self) -> bool {
        self.lanes.iter().any(|lane| lane.in_flight() > 0)
    }

    fn speak(&mut self, out: &mut Outbox) {
        let Some(at) = self.lanes.iter().position(|lane| lane.in_flight() > 0) else {
            return;
        };
        let knows = |id: &str| self.told.contains(id);
        let ended = self.lanes[at].speak(&self.state, knows, out);
        self.told.extend(ended);
        // The next time the lane behind it has its turn.
        self.lanes.rotate_left(at + 1);
    }

    fn expire(&mut self, out: &mut Outbox) {
        let message = "Responses websocket connection limit reached (60 minutes). Create a new websocket connection to continue.";
        let limit = invalid("websocket_connection_limit_reached", message);
        out.event(&error(&limit, None));
        out.close(1001, "");
    }
}
