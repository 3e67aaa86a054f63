//! Responses: what a client asks of one, and the object that tells of it (schemas
//! `RealtimeBetaResponse`, `RealtimeResponse`).

use super::Notes;
use super::field::{self, PARAMETERS, RESPONSE};
use super::item;
use super::memory::Memory;
use crate::relay::json::{Json, Object};

/// The beta's fields that are there even if the upstream leaves them out, and what they say then:
/// the session's own, or this.
const FIELDS: [(&str, &str, &str); 10] = [
    ("object", "", "\"realtime.response\""),
    ("status_details", "", "null"),
    ("output", "", "[]"),
    ("modalities", "modalities", r#"["text","audio"]"#),
    ("voice", "voice", "\"alloy\""),
    ("output_audio_format", "output_audio_format", "\"pcm16\""),
    ("temperature", "temperature", "0.8"),
    ("max_output_tokens", "max_response_output_tokens", "\"inf\""),
    ("usage", "", "null"),
    ("metadata", "", "null"),
];

/// Turns the parameters of `response.create` into GA's.
pub(super) fn to_ga(parameters: &mut Object<'_>, memory: &mut Memory) -> Notes {
    let mut notes = Notes::default();
    if parameters.take("temperature").is_some() {
        notes.dropped.push("temperature");
    }
    memory.response_sound = memory.sound;
    field::to_ga(parameters, PARAMETERS, &mut memory.response_sound);
    let input = parameters.array("input").into_iter().flatten();
    for input in input.filter_map(Json::as_object) {
        item::to_ga(input);
    }
    notes
}

/// Turns a response into the beta's, complete.
pub(super) fn to_beta(response: &mut Object<'_>, memory: &Memory) {
    field::to_beta(response, RESPONSE, memory.response_sound);
    for (name, of_session, default) in FIELDS {
        let known = || memory.recall(of_session).unwrap_or(Json::Raw(default));
        response.set_missing(name, known);
    }
    let output = response.array("output").into_iter().flatten();
    for output in output.filter_map(Json::as_object) {
        item::to_beta(output);
    }
    // The client knows the conversation by the name that it was told.
    if response.string("conversation_id").is_some()
        && let Some(conversation) = memory.conversation()
    {
        response.set("conversation_id", Json::string(conversation));
    }
}
