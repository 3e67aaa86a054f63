//! Conversation items and the parts of their content: `text` and `audio` in the beta, `output_text`
//! and `output_audio` in GA (wire.md 5.3; schemas `RealtimeConversationItem*`).

use crate::relay::json::{Json, Object};

/// What an assistant said, in the beta and in GA.
const SAID: [(&str, &str); 2] = [("text", "output_text"), ("audio", "output_audio")];
/// What anybody else said, where a client calls it as if an assistant had.
const HEARD: [(&str, &str); 2] = [("text", "input_text"), ("audio", "input_audio")];

/// Whether anything had to be changed for GA.
pub(super) fn to_ga(item: &mut Object<'_>) -> bool {
    let types = match item.string("role").as_deref() {
        Some("assistant") => &SAID,
        Some(_) => &HEARD,
        None => return false,
    };
    let Some(content) = item.array("content") else {
        return false;
    };
    let mut is_changed = false;
    for part in content.iter_mut().filter_map(Json::as_object) {
        let said = part.string("type");
        if let Some((_, ga)) = types.iter().find(|(beta, _)| said.as_deref() == Some(beta)) {
            part.set("type", Json::string(ga));
            is_changed = true;
        }
    }
    is_changed
}

/// GA leaves `object` out; the beta's clients append to `content` and `arguments` without looking.
pub(super) fn to_beta(item: &mut Object<'_>) {
    item.set_missing("object", || Json::Raw("\"realtime.item\""));
    match item.string("type").as_deref() {
        Some("message") => item.set_missing("content", || Json::Raw("[]")),
        Some("function_call") => item.set_missing("arguments", || Json::Raw("\"\"")),
        _ => {}
    }
    let content = item.array("content").into_iter().flatten();
    for part in content.filter_map(Json::as_object) {
        type_to_beta(part);
    }
}

/// A part on its own. Deltas are appended to its text or transcript.
pub(super) fn part_to_beta(part: &mut Object<'_>) {
    type_to_beta(part);
    match part.string("type").as_deref() {
        Some("text") => part.set_missing("text", || Json::Raw("\"\"")),
        Some("audio") => part.set_missing("transcript", || Json::Raw("\"\"")),
        _ => {}
    }
}

fn type_to_beta(part: &mut Object<'_>) {
    let said = part.string("type");
    if let Some((beta, _)) = SAID.iter().find(|(_, ga)| said.as_deref() == Some(ga)) {
        part.set("type", Json::string(beta));
    }
}
