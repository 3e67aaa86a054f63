//! The retired Realtime beta in terms of GA, and back: clients of 2025 speak the one, the upstream
//! only the other (wire.md 5.3).
//!
//! Pure: no I/O and no clock. Events come and go as the text of one WebSocket message. Audio is
//! never parsed and never copied; of everything else only the places that differ are taken apart.
//! What is unknown, in events as in fields, passes.

mod client;
mod field;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod item;
pub(crate) mod marker;
mod memory;
mod models;
mod response;
mod rule;
mod scan;
mod secret;
mod server;
mod session;
#[cfg(test)]
mod tests;

pub(crate) use models::{Aliases, RETIRED_MODELS, renew_session, without_model};

use crate::relay::json::Object;
use memory::Memory;

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A conversation with a model.
    Realtime,
    /// Text of what is heard, and no answers.
    Transcription,
}

impl Kind {
    /// What the query's `intent` asks for.
    pub(crate) fn of_intent(intent: Option<&str>) -> Kind {
        match intent {
            Some("transcription") => Kind::Transcription,
            _ => Kind::Realtime,
        }
    }
}

/// Translates one session, or the minting of one key. Remembers little: below 32 KiB.
pub(crate) struct Translator {
    memory: Memory,
    aliases: Aliases,
}

/// What becomes of an event.
#[derive(Debug)]
pub(crate) enum Translated<'a> {
    /// It goes on as it came.
    Unchanged,
    /// These pieces, one behind the other, go on in its place: the event with another type, and
    /// nothing copied.
    Renamed([&'a [u8]; 3]),
    /// This goes on in its place.
    Rewritten(Rewritten),
    /// These go on in its place, in this order.
    Several(Vec<Vec<u8>>),
    /// The receiver's interface has no such event.
    Dropped,
}

/// A text that takes the place of another.
#[derive(Debug)]
pub(crate) struct Rewritten {
    /// JSON.
    pub(crate) text: Vec<u8>,
    /// What the client asked for in vain, or not by that name.
    pub(crate) notes: Notes,
}

/// What is worth a line in the log.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Fields of the client's that GA does not take.
    pub(crate) dropped: Vec<&'static str>,
    /// The model that the client named, and the one that takes its place.
    pub(crate) model: Option<(String, String)>,
}

impl Translator {
    /// For one session. A session event from the upstream corrects the kind.
    pub(crate) fn new(kind: Kind, aliases: Aliases) -> Translator {
        Translator {
            memory: Memory::new(kind),
            aliases,
        }
    }

    /// The names that it replaces.
    pub(crate) fn aliases(&self) -> &Aliases {
        &self.aliases
    }

    /// An event from the client, for GA.
    pub(crate) fn client_event<'a>(&mut self, event: &'a [u8]) -> Translated<'a> {
        rule::apply(client::RULES, self, event)
    }

    /// An event from GA, for the client.
    pub(crate) fn server_event<'a>(&mut self, event: &'a [u8]) -> Translated<'a> {
        rule::apply(server::RULES, self, event)
    }

    /// The body of `POST /v1/realtime/sessions` or `/v1/realtime/transcription_sessions`, for
    /// `POST /v1/realtime/client_secrets`. `None` if it is not a JSON object: it goes as it is, and
    /// the upstream says what is wrong.
    ///
    /// The beta's keys lived for a minute; GA's live for ten unless the client says otherwise.
    pub(crate) fn secret_request(&mut self, body: &[u8]) -> Option<Rewritten> {
        secret::request(self, body)
    }

    /// The answer of `client_secrets`, for the client that sent the request of
    /// [`Translator::secret_request`]. `None` if it holds no secret: it goes as it is.
    pub(crate) fn secret_answer(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        secret::answer(self, body)
    }
}

impl Translated<'_> {
    fn rewritten(event: &Object<'_>) -> Translated<'static> {
        Translated::Rewritten(Rewritten::new(event, Notes::default()))
    }
}

impl Rewritten {
    fn new(object: &Object<'_>, notes: Notes) -> Rewritten {
        Rewritten {
            text: object.to_text(),
            notes,
        }
    }
}
