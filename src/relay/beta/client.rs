//! What a beta client sends, event by event, as GA wants it.

use super::rule::Rule;
use super::{Kind, Rewritten, Translated, Translator, item, response, session};
use crate::relay::json::{Json, Object};

/// By type, audio first. Whatever is not here goes up as it came.
pub(super) const RULES: &[(&str, Rule)] = &[
    ("input_audio_buffer.append", Rule::Pass),
    ("input_audio_buffer.commit", Rule::Pass),
    ("input_audio_buffer.clear", Rule::Pass),
    ("output_audio_buffer.clear", Rule::Pass),
    ("response.create", Rule::Rewrite(response_create)),
    ("response.cancel", Rule::Pass),
    ("conversation.item.create", Rule::Rewrite(item_create)),
    ("conversation.item.delete", Rule::Pass),
    ("conversation.item.retrieve", Rule::Pass),
    ("conversation.item.truncate", Rule::Pass),
    ("session.update", Rule::Rewrite(session_update)),
    (
        "transcription_session.update",
        Rule::Rewrite(transcription_session_update),
    ),
];

fn session_update(translator: &mut Translator, event: &mut Object<'_>) -> Translated<'static> {
    let kind = translator.memory.kind;
    update(translator, event, kind)
}

fn transcription_session_update(
    translator: &mut Translator,
    event: &mut Object<'_>,
) -> Translated<'static> {
    update(translator, event, Kind::Transcription)
}

fn update(translator: &mut Translator, event: &mut Object<'_>, kind: Kind) -> Translated<'static> {
    event.set("type", Json::Raw("\"session.update\""));
    let Translator { memory, aliases } = translator;
    let session = event.object("session");
    let notes = session.map(|session| session::to_ga(session, kind, memory, aliases));
    Translated::Rewritten(Rewritten::new(event, notes.unwrap_or_default()))
}

fn response_create(translator: &mut Translator, event: &mut Object<'_>) -> Translated<'static> {
    let Some(parameters) = event.object("response") else {
        return Translated::Unchanged;
    };
    let notes = response::to_ga(parameters, &mut translator.memory);
    Translated::Rewritten(Rewritten::new(event, notes))
}

fn item_create(_: &mut Translator, event: &mut Object<'_>) -> Translated<'static> {
    // As the beta's guide wrote it for "at the end"; GA's schema knows a string or nothing.
    let is_at_end = event.is_null("previous_item_id");
    if is_at_end {
        event.take("previous_item_id");
    }
    if event.object("item").is_some_and(item::to_ga) || is_at_end {
        Translated::rewritten(event)
    } else {
        Translated::Unchanged
    }
}
