//! A Live session: full duplex, without turns (wire.md 8).

mod shapes;
mod sound;

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::event::{ClientEvent, Fault, invalid};
use super::shared::{Host, Shared};
use crate::api::models;
use crate::api::responses;
use crate::errors::{self, ApiError};
use crate::state::{State, now};
use crate::ws::{Ear, Kind, Message, Outbox, Overheard, Said, Session};
use shapes::EVENTS;
use sound::Sound;

/// What only the session's own connection may send.
const PRIMARY_ONLY: [&str; 2] = ["session.start", "session.input_audio.append"];

/// A session on its own connection; sidebands may share it.
pub(super) struct Live {
    state: Arc<State>,
    /// From `session.started` on.
    started: Option<Started>,
}

struct Started {
    config: Value,
    host: Host,
    sound: Sound,
    /// Items for the Responses backend.
    items: Vec<Value>,
    /// Events of Responses that wait to be told, each with its delegation.
    delegated: VecDeque<(String, Value)>,
}

type Done = Result<(), Box<ApiError>>;

impl Live {
    pub(super) fn new(state: &Arc<State>) -> Live {
        Live {
            state: Arc::clone(state),
            started: None,
        }
    }

    /// A socket that watches and steers a session that goes on.
    pub(super) fn attach(state: &Arc<State>, id: &str) -> Option<Box<dyn Session>> {
        let shared = state.live_session(id)?;
        let attached = shared.attach(Arc::clone(state), "session.started", &PRIMARY_ONLY, error);
        Some(Box::new(attached))
    }

    /// Says an event, to sidebands too. `cause`: the id of the client's event behind it.
    fn say(&self, out: &mut Outbox, kind: &str, body: Value, cause: Option<&str>) {
        let event = server(&self.state, kind, body, cause);
        if let Some(started) = &self.started {
            started.reflect(&event);
        }
        out.event(&event);
    }

    fn obey(&mut self, event: &ClientEvent, out: &mut Outbox) -> Done {
        let cause = event.id();
        let cause = cause.as_deref();
        if event.kind == "session.start" {
            return self.start(event, cause, out);
        }
        let Some(started) = &mut self.started else {
            let message = "Send session.start first.";
            return Err(Box::new(invalid("session_not_started", message)));
        };
        let (kind, body) = match event.kind.as_str() {
            "session.input_audio.append" => return started.append(event),
            "session.input_audio.mute" => {
                started.sound.is_muted = true;
                ("session.input_audio.muted", json!({}))
            }
            "session.input_audio.unmute" => {
                started.sound.is_muted = false;
                ("session.input_audio.unmuted", json!({}))
            }
            "session.output_audio.fixture.play" => {
                let audio = event.text("audio").unwrap_or_default();
                started.sound.play(audio)?;
                ("session.output_audio.fixture.playing", json!({}))
            }
            "session.update" => {
                started.update(&event.body["session"])?;
                ("session.updated", json!({ "session": started.config }))
            }
            "session.close" => {
                self.end("close_requested", cause, out);
                return Ok(());
            }
            "response.item.create" => return started.add_item(&event.body["item"]),
            "response.create" => return self.delegate(out),
            appended => {
                started.sound.check_no_fixture()?;
                let at = started.sound.elapsed_ms();
                let body = json!({ "start_ms": at, "end_ms": at });
                (appended_to(appended), body)
            }
        };
        self.say(out, kind, body, cause);
        Ok(())
    }

    fn start(&mut self, event: &ClientEvent, cause: Option<&str>, out: &mut Outbox) -> Done {
        if self.started.is_some() {
            let message = "The session has started already.";
            return Err(Box::new(invalid("session_already_started", message)));
        }
        let wanted = &event.body["session"];
        let model = wanted["model"].as_str().unwrap_or_default();
        if !models::exists(model) || !model.starts_with("gpt-live") {
            return Err(Box::new(errors::no_model(model)));
        }
        let config = configuration(&self.state, wanted);
        let (shared, host) = Shared::new(config.clone());
        let id = config["id"].as_str().unwrap_or_default();
        self.state.add_live(id, shared);
        self.started = Some(Started {
            sound: Sound::new(&config["audio"]["format"]),
            config: config.clone(),
            host,
            items: Vec::new(),
            delegated: VecDeque::new(),
        });
        self.say(out, "session.started", json!({ "session": config }), cause);
        Ok(())
    }

    /// Lets the Responses backend work on the items.
    fn delegate(&mut self, out: &mut Outbox) -> Done {
        let state = Arc::clone(&self.state);
        let Some(started) = &mut self.started else {
            return Ok(());
        };
        started.check_backend()?;
        let backend = &started.config["delegation"]["responses"];
        let mut body = Map::new();
        body.insert("model".to_owned(), backend["model"].clone());
        body.insert("input".to_owned(), json!(started.items));
        let told = responses::tell(&state, &body, |_| false)?;
        let delegation = state.id("dlg_");
        let response = &told.response["id"];
        let created = json!({
            "delegation": { "id": delegation, "target": "responses", "type": "delegation", "response_id": response },
            "offset_ms": started.sound.elapsed_ms(),
        });
        let events = told.events.into_iter();
        started
            .delegated
            .extend(events.map(|event| (delegation.clone(), event)));
        self.say(out, "session.delegation.created", created, None);
        Ok(())
    }

    fn end(&mut self, reason: &str, cause: Option<&str>, out: &mut Outbox) {
        if let Some(body) = self.started.as_ref().map(|started| started.closed(reason)) {
            self.say(out, "session.closed", body, cause);
        }
        self.forget();
        out.close(1000, "");
    }

    fn forget(&mut self) {
        if let Some(started) = self.started.take() {
            self.state.remove_live(started.id());
        }
    }
}

impl Started {
    fn id(&self) -> &str {
        self.config["id"].as_str().unwrap_or_default()
    }

    fn reflect(&self, event: &Value) {
        let payload = event.to_string().into();
        let kind = Kind::Text;
        // Nobody may be watching.
        let _ = self
            .host
            .events
            .send(Said::Message(Message { kind, payload }));
    }

    fn append(&mut self, event: &ClientEvent) -> Done {
        let audio = event.text("audio").unwrap_or_default();
        self.sound.hear(audio)?;
        // Sidebands hear PCM at 24 kHz and nothing else.
        if self.config["audio"]["format"]["rate"] == 24_000 {
            let kind = "session.input_audio.append";
            self.reflect(&json!({ "type": kind, "audio": audio }));
        }
        Ok(())
    }

    fn update(&mut self, session: &Value) -> Done {
        if let Some(delegation) = session.get("delegation") {
            if delegation["type"] != self.config["delegation"]["type"] {
                let message = "The type of delegation cannot change.";
                let param = "session.delegation.type";
                let error = errors::bad_param(param, "invalid_value", message);
                return Err(Box::new(error));
            }
            for (name, value) in delegation.as_object().into_iter().flatten() {
                match value.as_object() {
                    Some(fields) => {
                        for (field, value) in fields {
                            self.config["delegation"][name][field] = value.clone();
                        }
                    }
                    None => self.config["delegation"][name] = value.clone(),
                }
            }
        }
        if let Some(triggers) = session.get("triggers") {
            self.config["triggers"] = triggers.clone();
        }
        self.host.config.send_replace(self.config.clone());
        Ok(())
    }

    fn check_backend(&self) -> Done {
        if self.config["delegation"]["type"] == "responses" {
            return Ok(());
        }
        let message = "This session does not delegate to Responses.";
        Err(Box::new(invalid("delegation_not_configured", message)))
    }

    fn add_item(&mut self, item: &Value) -> Done {
        self.check_backend()?;
        self.items.push(item.clone());
        Ok(())
    }

    fn closed(&self, reason: &str) -> Value {
        let usage = json!({ "seconds": self.sound.seconds() });
        json!({ "reason": reason, "session": self.config, "usage": usage })
    }
}

fn appended_to(kind: &str) -> &'static str {
    match kind {
        "session.instructions.append" => "session.instructions.appended",
        "session.thinking.append" => "session.thinking.appended",
        _ => "session.commentary.appended",
    }
}

/// What was wanted, with the server's defaults.
fn configuration(state: &State, wanted: &Value) -> Value {
    let audio = &wanted["audio"];
    let or = |value: &Value, usual: Value| {
        if value.is_null() {
            return usual;
        }
        value.clone()
    };
    let pcm = json!({ "type": "audio/pcm", "rate": 24_000 });
    json!({
        "id": state.id("live_"),
        "expires_at": now() + state.session_length.as_secs(),
        "model": wanted["model"],
        "status": "active",
        "audio": {
            "format": or(&audio["format"], pcm),
            "output": { "voice": or(&audio["output"]["voice"], json!("marin")) },
        },
        "instructions": or(&wanted["instructions"], json!("You are a helpful voice.")),
        "input": or(&wanted["input"], json!([])),
        "delegation": wanted["delegation"],
        "store": or(&wanted["store"], json!(false)),
        "triggers": or(&wanted["triggers"], json!([])),
    })
}

/// An event of the server; `cause` comes back as `client_event_id`.
fn server(state: &State, kind: &str, body: Value, cause: Option<&str>) -> Value {
    let mut event = super::event::server(state, kind, body);
    if let Some(cause) = cause {
        event["client_event_id"] = json!(cause);
    }
    event
}

fn error(state: &State, fault: &Fault) -> Value {
    let ApiError {
        kind,
        code,
        param,
        message,
        ..
    } = &fault.error;
    let mut error = json!({ "type": kind, "code": code, "message": message });
    for (name, value) in [("param", param), ("client_event_id", &fault.event_id)] {
        if let Some(value) = value {
            error[name] = json!(value);
        }
    }
    let cause = fault.event_id.as_deref();
    server(state, "error", json!({ "error": error }), cause)
}

impl Session for Live {
    fn hear(&mut self, message: &Message, out: &mut Outbox) {
        let result = ClientEvent::read(message, &EVENTS).and_then(|event| {
            let done = self.obey(&event, out);
            done.map_err(|error| Fault::new(*error, event.id()))
        });
        if let Err(fault) = result {
            let event = error(&self.state, &fault);
            if let Some(started) = &self.started {
                started.reflect(&event);
            }
            out.event(&event);
        }
    }

    fn speaks(&self) -> bool {
        let started = self.started.as_ref();
        started.is_some_and(|started| started.sound.speaks() || !started.delegated.is_empty())
    }

    fn speak(&mut self, out: &mut Outbox) {
        let Some(started) = &mut self.started else {
            return;
        };
        if let Some((delegation, event)) = started.delegated.pop_front() {
            let body = json!({ "event": event, "delegation_id": delegation });
            return self.say(out, "response.event", body, None);
        }
        for (kind, body) in started.sound.speak() {
            self.say(out, kind, body, None);
        }
    }

    fn ear(&mut self) -> Option<&mut Ear> {
        Some(&mut self.started.as_mut()?.host.commands)
    }

    fn overhear(&mut self, heard: Overheard, out: &mut Outbox) {
        if let Overheard::Command(message) = heard {
            self.hear(&message, out);
        }
    }

    fn expire(&mut self, out: &mut Outbox) {
        self.end("expired", None, out);
    }
}

impl Drop for Live {
    /// Sidebands hear that the connection is lost.
    fn drop(&mut self) {
        if let Some(started) = &self.started {
            let body = started.closed("connection_lost");
            started.reflect(&server(&self.state, "session.closed", body, None));
        }
        self.forget();
    }
}
