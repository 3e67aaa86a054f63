//! What GA's server sends, event by event, as a beta client expects it.

use serde_json::json;

use super::rule::Rule;
use super::{Kind, Notes, Rewritten, Translated, Translator, field, item, response, session};
use crate::relay::json::{Json, Object};

/// By type, audio first. Whatever is not here goes down as it came.
pub(super) const RULES: &[(&str, Rule)] = &[
    (
        "response.output_audio.delta",
        Rule::Rename("response.audio.delta"),
    ),
    (
        "response.output_audio_transcript.delta",
        Rule::Rename("response.audio_transcript.delta"),
    ),
    (
        "response.output_text.delta",
        Rule::Rename("response.text.delta"),
    ),
    ("response.function_call_arguments.delta", Rule::Pass),
    (
        "conversation.item.input_audio_transcription.delta",
        Rule::Pass,
    ),
    (
        "response.output_audio.done",
        Rule::Rename("response.audio.done"),
    ),
    (
        "response.output_audio_transcript.done",
        Rule::Rename("response.audio_transcript.done"),
    ),
    (
        "response.output_text.done",
        Rule::Rename("response.text.done"),
    ),
    ("response.function_call_arguments.done", Rule::Pass),
    ("response.created", Rule::Rewrite(response)),
    ("response.done", Rule::Rewrite(response)),
    ("response.output_item.added", Rule::Rewrite(with_item)),
    ("response.output_item.done", Rule::Rewrite(with_item)),
    ("response.content_part.added", Rule::Rewrite(with_part)),
    ("response.content_part.done", Rule::Rewrite(with_part)),
    ("conversation.item.added", Rule::Rewrite(item_added)),
    ("conversation.item.created", Rule::Rewrite(item_added)),
    ("conversation.item.done", Rule::Rewrite(item_done)),
    ("conversation.item.deleted", Rule::Rewrite(item_deleted)),
    ("conversation.item.retrieved", Rule::Rewrite(with_item)),
    ("conversation.item.truncated", Rule::Pass),
    (
        "conversation.item.input_audio_transcription.completed",
        Rule::Pass,
    ),
    (
        "conversation.item.input_audio_transcription.failed",
        Rule::Pass,
    ),
    (
        "conversation.item.input_audio_transcription.segment",
        Rule::Pass,
    ),
    ("conversation.created", Rule::Rewrite(conversation_created)),
    ("session.created", Rule::Rewrite(session_created)),
    ("session.updated", Rule::Rewrite(session_updated)),
    ("error", Rule::Rewrite(error)),
    ("rate_limits.updated", Rule::Pass),
    ("input_audio_buffer.speech_started", Rule::Pass),
    ("input_audio_buffer.speech_stopped", Rule::Pass),
    ("input_audio_buffer.committed", Rule::Pass),
    ("input_audio_buffer.cleared", Rule::Pass),
    ("input_audio_buffer.timeout_triggered", Rule::Pass),
    ("input_audio_buffer.dtmf_event_received", Rule::Pass),
    ("output_audio_buffer.started", Rule::Pass),
    ("output_audio_buffer.stopped", Rule::Pass),
    ("output_audio_buffer.cleared", Rule::Pass),
    ("mcp_list_tools.in_progress", Rule::Pass),
    ("mcp_list_tools.completed", Rule::Pass),
    ("mcp_list_tools.failed", Rule::Pass),
    ("response.mcp_call_arguments.delta", Rule::Pass),
    ("response.mcp_call_arguments.done", Rule::Pass),
    ("response.mcp_call.in_progress", Rule::Pass),
    ("response.mcp_call.completed", Rule::Pass),
    ("response.mcp_call.failed", Rule::Pass),
];

fn response(translator: &mut Translator, event: &mut Object<'_>) -> Translated<'static> {
    let Some(response) = event.object("response") else {
        return Translated::Unchanged;
    };
    response::to_beta(response, &translator.memory);
    Translated::rewritten(event)
}

fn with_item(_: &mut Translator, event: &mut Object<'_>) -> Translated<'static> {
    let Some(item) = event.object("item") else {
        return Translated::Unchanged;
    };
    item::to_beta(item);
    Translated::rewritten(event)
}

fn with_part(_: &mut Translator, event: &mut Object<'_>) -> Translated<'static> {
    let Some(part) = event.object("part") else {
        return Translated::Unchanged;
    };
    item::part_to_beta(part);
    Translated::rewritten(event)
}

fn item_added(translator: &mut Translator, event: &mut Object<'_>) -> Translated<'static> {
    item_created(event, |id| translator.memory.items.added(id))
}

fn item_done(translator: &mut Translator, event: &mut Object<'_>) -> Translated<'static> {
    item_created(event, |id| translator.memory.items.done(id))
}

/// GA tells of an item when it is there and when it is complete; the beta told once, when it was
/// there. So the first of the two is `conversation.item.created`, and the second nothing.
fn item_created(event: &mut Object<'_>, is_news: impl FnOnce(&str) -> bool) -> Translated<'static> {
    let Some(item) = event.object("item") else {
        return Translated::Unchanged;
    };
    if item.string("id").is_some_and(|id| !is_news(&id)) {
        return Translated::Dropped;
    }
    item::to_beta(item);
    event.set("type", Json::Raw("\"conversation.item.created\""));
    Translated::rewritten(event)
}

/// The next item of this name is another.
fn item_deleted(translator: &mut Translator, event: &mut Object<'_>) -> Translated<'static> {
    if let Some(id) = event.string("item_id") {
        translator.memory.items.forget(&id);
    }
    Translated::Unchanged
}

/// The beta's conversation followed its session at once. GA does not promise one, so the client is
/// told of one here, and not again when the upstream tells of it.
fn session_created(translator: &mut Translator, event: &mut Object<'_>) -> Translated<'static> {
    let Some(session) = event.object("session") else {
        return Translated::Unchanged;
    };
    let id = session.string("id");
    let to_transcription = "\"transcription_session.created\"";
    let session = session_event(translator, event, to_transcription);
    let memory = &mut translator.memory;
    if memory.kind == Kind::Transcription || memory.conversation().is_some() {
        return Translated::Rewritten(session);
    }
    let id = id.unwrap_or_default();
    let name = format!("conv_{}", id.strip_prefix("sess_").unwrap_or(&id));
    let conversation = json!({
        "type": "conversation.created",
        "event_id": format!("{}_{name}", event.string("event_id").unwrap_or_default()),
        "conversation": { "id": name, "object": "realtime.conversation" },
    });
    memory.tell_of(name);
    Translated::Several(vec![session.text, conversation.to_string().into_bytes()])
}

fn session_updated(translator: &mut Translator, event: &mut Object<'_>) -> Translated<'static> {
    let to_transcription = "\"transcription_session.updated\"";
    Translated::Rewritten(session_event(translator, event, to_transcription))
}

/// The session itself says what it is, whatever the client asked for.
fn session_event(
    translator: &mut Translator,
    event: &mut Object<'_>,
    to_transcription: &'static str,
) -> Rewritten {
    if let Some(session) = event.object("session") {
        let memory = &mut translator.memory;
        memory.kind = Kind::of(session).unwrap_or(memory.kind);
        session::to_beta(session, memory);
    }
    if translator.memory.kind == Kind::Transcription {
        event.set("type", Json::Raw(to_transcription));
    }
    Rewritten::new(event, Notes::default())
}

fn conversation_created(
    translator: &mut Translator,
    event: &mut Object<'_>,
) -> Translated<'static> {
    let memory = &mut translator.memory;
    if memory.conversation().is_some() {
        return Translated::Dropped;
    }
    let conversation = event.object("conversation");
    if let Some(id) = conversation.and_then(|conversation| conversation.string("id")) {
        memory.tell_of(id);
    }
    Translated::Unchanged
}

fn error(_: &mut Translator, event: &mut Object<'_>) -> Translated<'static> {
    let Some(error) = event.object("error") else {
        return Translated::Unchanged;
    };
    let param = error.string("param");
    let (Some(param), Some(beta)) = (&param, param.as_deref().and_then(field::param_to_beta))
    else {
        return Translated::Unchanged;
    };
    error.set("param", Json::string(&beta));
    // OpenAI quotes the place in its sentence, by the name that only GA knows.
    if let Some(message) = error.string("message") {
        let message = message.replace(&format!("'{param}'"), &format!("'{beta}'"));
        error.set("message", Json::string(&message));
    }
    Translated::rewritten(event)
}
