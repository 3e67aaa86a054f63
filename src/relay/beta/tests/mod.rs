//! What both sides of a translation look like: pairs from `tests/fixtures/beta`, properties of all
//! sessions, and what costs nothing.

mod cost;
mod pairs;
mod properties;

use serde_json::Value;

use super::{Aliases, Kind, Notes, RETIRED_MODELS, Translated, Translator};

const SUCCESSOR: &str = "gpt-realtime-2.1-mini";

fn translator(kind: Kind) -> Translator {
    let pairs = RETIRED_MODELS.map(|model| (model.to_owned(), SUCCESSOR.to_owned()));
    Translator::new(kind, Aliases::new(pairs))
}

fn parse(text: &[u8]) -> Value {
    serde_json::from_slice(text).expect("JSON")
}

/// What goes on in an event's place; `None` for the event itself.
fn events(translated: Translated<'_>) -> (Option<Vec<Value>>, Notes) {
    let texts = match translated {
        Translated::Unchanged => return (None, Notes::default()),
        Translated::Renamed(pieces) => vec![pieces.concat()],
        Translated::Rewritten(rewritten) => {
            return (Some(vec![parse(&rewritten.text)]), rewritten.notes);
        }
        Translated::Several(texts) => texts,
        Translated::Dropped => Vec::new(),
    };
    let events = texts.iter().map(|text| parse(text)).collect();
    (Some(events), Notes::default())
}

fn from_client(translator: &mut Translator, event: &Value) -> (Option<Vec<Value>>, Notes) {
    events(translator.client_event(event.to_string().as_bytes()))
}

fn from_server(translator: &mut Translator, event: &Value) -> Option<Vec<Value>> {
    events(translator.server_event(event.to_string().as_bytes())).0
}
