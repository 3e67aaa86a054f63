//! A session of the GA interface: a conversation, or a transcription (wire.md 5.4 to 5.6).

mod items;
mod listening;
mod speaking;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::config;
use super::conversation::{Conversation, Tokens};
use super::event::{ClientEvent, Fault, error, expire, fail, invalid, server};
use super::response::Response;
use super::shapes::EVENTS;
use crate::errors::{self, ApiError};
use crate::state::{State, now};
use crate::ws::{Message, Outbox, Session};

/// A conversation, or a transcription.
pub(super) struct Talk {
    state: Arc<State>,
    config: Value,
    conversation: Conversation,
    listening: listening::Listening,
    tasks: VecDeque<Task>,
    /// What the last response had as input: the next one finds it cached.
    last_input: Tokens,
    has_spoken: bool,
    /// How long every answer is spoken, where a script says so.
    speech_ms: Option<usize>,
    /// Whether its sound goes another way than its events.
    is_media_elsewhere: bool,
}

/// Something that is told event by event.
#[derive(Debug)]
enum Task {
    Response(Box<Response>),
    Transcription(VecDeque<Value>),
}

type Done = Result<(), Box<ApiError>>;

impl Talk {
    /// A conversation with a model, as an ephemeral credential or a call configures it.
    pub(super) fn conversation(state: &Arc<State>, model: &str, given: &Value) -> Talk {
        let config = config::realtime(&state.id("sess_"), model, expiry(state));
        Talk::new(state, config, given)
    }

    /// A transcription.
    pub(super) fn transcription(state: &Arc<State>, given: &Value) -> Talk {
        let config = config::transcription(&state.id("sess_"), expiry(state));
        Talk::new(state, config, given)
    }

    fn new(state: &Arc<State>, mut config: Value, given: &Value) -> Talk {
        take_over(&mut config, given);
        Talk {
            state: Arc::clone(state),
            config,
            conversation: Conversation::new(state.id("conv_")),
            listening: listening::Listening::default(),
            tasks: VecDeque::new(),
            last_input: Tokens::default(),
            has_spoken: false,
            speech_ms: None,
            is_media_elsewhere: false,
        }
    }

    /// The same, with every answer spoken for so long.
    pub(super) fn speaking_for(self, speech: Option<Duration>) -> Talk {
        let speech_ms = speech.map(|speech| speech.as_millis() as usize);
        Talk { speech_ms, ..self }
    }

    /// The same, with its sound on another way than its events.
    pub(super) fn with_media_elsewhere(self) -> Talk {
        Talk {
            is_media_elsewhere: true,
            ..self
        }
    }

    /// The configuration as it is now.
    pub(super) fn config(&self) -> Value {
        self.config.clone()
    }

    fn say(&self, out: &mut Outbox, kind: &str, body: Value) {
        out.event(&server(&self.state, kind, body));
    }

    fn is_transcription(&self) -> bool {
        self.config["type"] == "transcription"
    }

    fn obey(&mut self, event: &ClientEvent, out: &mut Outbox) -> Done {
        match event.kind.as_str() {
            "session.update" => self.update(event, out),
            "input_audio_buffer.append" => self.append(event, out),
            "input_audio_buffer.commit" => self.commit(out),
            "input_audio_buffer.clear" => {
                self.listening.clear();
                self.say(out, "input_audio_buffer.cleared", json!({}));
                Ok(())
            }
            "conversation.item.create" => self.create_item(event, out),
            "conversation.item.delete" => self.delete_item(event, out),
            "conversation.item.retrieve" => self.retrieve_item(event, out),
            "conversation.item.truncate" => self.truncate_item(event, out),
            _ if self.is_transcription() => Err(unavailable(event, "in a transcription session")),
            "response.create" => self.create_response(event),
            "response.cancel" => self.cancel_response(event),
            _ if !self.is_media_elsewhere => Err(unavailable(event, "without WebRTC or SIP")),
            _ => {
                let response = self.interrupt("client_cancelled");
                let body = json!({ "response_id": response });
                self.say(out, "output_audio_buffer.cleared", body);
                Ok(())
            }
        }
    }

    fn update(&mut self, event: &ClientEvent, out: &mut Outbox) -> Done {
        let Some(Value::Object(session)) = event.body.get("session") else {
            return Err(Box::new(errors::missing("session")));
        };
        config::update(&mut self.config, session, self.has_spoken)?;
        self.say(out, "session.updated", json!({ "session": self.config }));
        Ok(())
    }
}

fn unavailable(event: &ClientEvent, place: &str) -> Box<ApiError> {
    let message = format!("The event '{}' is not available {place}.", event.kind);
    Box::new(invalid("invalid_event", &message))
}

fn expiry(state: &State) -> u64 {
    now() + state.session_length.as_secs()
}

/// What a session was given before it began holds as though it were an update.
fn take_over(config: &mut Value, given: &Value) {
    let mut given = given.as_object().cloned().unwrap_or_default();
    for name in ["object", "id", "expires_at", "model"] {
        given.remove(name);
    }
    if given.get("type") == config.get("type") {
        // What does not fit was let through when it was given; it changes nothing.
        let _ = config::update(config, &given, false);
    }
}

impl Session for Talk {
    fn open(&mut self, out: &mut Outbox) {
        self.say(out, "session.created", json!({ "session": self.config }));
    }

    fn hear(&mut self, message: &Message, out: &mut Outbox) {
        let result = ClientEvent::read(message, &EVENTS).and_then(|event| {
            let done = self.obey(&event, out);
            done.map_err(|error| Fault::new(*error, event.id()))
        });
        if let Err(fault) = result {
            out.event(&error(&self.state, &fault));
        }
    }

    fn speaks(&self) -> bool {
        !self.tasks.is_empty()
    }

    fn speak(&mut self, out: &mut Outbox) {
        let Some(mut task) = self.tasks.pop_front() else {
            return;
        };
        let (event, is_over) = match &mut task {
            Task::Transcription(events) => (events.pop_front(), events.is_empty()),
            Task::Response(response) => {
                self.has_spoken |= response.plan.is_audio;
                let event = response.tell(&self.state, &mut self.conversation);
                (event, response.is_over())
            }
        };
        if let Some(event) = event {
            out.event(&event);
        }
        if !is_over {
            self.tasks.push_back(task);
        }
    }

    fn expire(&mut self, out: &mut Outbox) {
        expire(&self.state, out);
    }
}

/// A session that never begins: the error, then the close (wire.md 5.4).
pub(super) struct Refused {
    state: Arc<State>,
    error: ApiError,
    close: u16,
}

impl Refused {
    pub(super) fn new(state: Arc<State>, error: ApiError, close: u16) -> Refused {
        Refused {
            state,
            error,
            close,
        }
    }
}

impl Session for Refused {
    fn open(&mut self, out: &mut Outbox) {
        fail(&self.state, self.error.clone(), self.close, out);
    }

    fn hear(&mut self, _: &Message, _: &mut Outbox) {}
}
