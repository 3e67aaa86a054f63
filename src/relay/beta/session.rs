//! Sessions, flat in the beta and nested in GA, and how the beta's clients expect to see them: with
//! every field, whatever the upstream left out.

use super::field::{self, SESSION};
use super::memory::Memory;
use super::{Aliases, Kind, Notes};
use crate::relay::json::{Json, Object};

/// Fields that GA's sessions do not take. The last three are the server's to set.
const NOT_IN_GA: [&str; 5] = ["temperature", "client_secret", "id", "object", "expires_at"];
/// A transcription answers nothing.
const NOT_IN_TRANSCRIPTIONS: [&str; 1] = ["modalities"];

const SERVER_VAD: &str = r#"{"type":"server_vad","threshold":0.5,"prefix_padding_ms":300,"silence_duration_ms":200,"create_response":true,"interrupt_response":true}"#;

/// The beta's fields with the values that they have where nobody set them; without one where
/// nothing could be made up.
const REALTIME: &[(&str, Option<&str>)] = &[
    ("id", None),
    ("object", Some("\"realtime.session\"")),
    ("model", None),
    ("expires_at", None),
    ("modalities", Some(r#"["text","audio"]"#)),
    ("instructions", Some("\"\"")),
    ("voice", Some("\"alloy\"")),
    ("input_audio_format", Some("\"pcm16\"")),
    ("output_audio_format", Some("\"pcm16\"")),
    ("input_audio_transcription", Some("null")),
    ("input_audio_noise_reduction", Some("null")),
    ("turn_detection", Some(SERVER_VAD)),
    ("tools", Some("[]")),
    ("tool_choice", Some("\"auto\"")),
    ("temperature", Some("0.8")),
    ("max_response_output_tokens", Some("\"inf\"")),
    ("speed", Some("1")),
    ("tracing", Some("null")),
    ("prompt", Some("null")),
    ("include", Some("null")),
];
const TRANSCRIPTION: &[(&str, Option<&str>)] = &[
    ("id", None),
    ("object", Some("\"realtime.transcription_session\"")),
    ("expires_at", None),
    ("modalities", Some(r#"["audio","text"]"#)),
    ("input_audio_format", Some("\"pcm16\"")),
    ("input_audio_transcription", Some("null")),
    ("input_audio_noise_reduction", Some("null")),
    ("turn_detection", Some(SERVER_VAD)),
    ("include", Some("null")),
];

impl Kind {
    /// GA's name of it.
    const fn name(self) -> &'static str {
        match self {
            Kind::Realtime => "\"realtime\"",
            Kind::Transcription => "\"transcription\"",
        }
    }

    const fn fields(self) -> &'static [(&'static str, Option<&'static str>)] {
        match self {
            Kind::Realtime => REALTIME,
            Kind::Transcription => TRANSCRIPTION,
        }
    }

    /// What GA says that a session is.
    pub(super) fn of(session: &Object<'_>) -> Option<Kind> {
        match session.string("type")?.as_str() {
            "realtime" => Some(Kind::Realtime),
            "transcription" => Some(Kind::Transcription),
            _ => None,
        }
    }
}

/// Turns what a client asks of a session into GA's shape.
pub(super) fn to_ga(
    session: &mut Object<'_>,
    kind: Kind,
    memory: &mut Memory,
    aliases: &Aliases,
) -> Notes {
    let mut notes = Notes::default();
    let transcription: &[&str] = match kind {
        Kind::Realtime => &[],
        Kind::Transcription => &NOT_IN_TRANSCRIPTIONS,
    };
    for name in NOT_IN_GA.iter().chain(transcription) {
        // The client finds in the next session event what it asked for.
        if ["temperature", "modalities"].contains(name) {
            memory.remember(name, session);
        }
        if session.take(name).is_some() {
            notes.dropped.push(name);
        }
    }
    field::to_ga(session, SESSION, &mut memory.sound);
    memory.response_sound = memory.sound;
    session.set_missing("type", || Json::Raw(kind.name()));
    if let Some(model) = session.string("model")
        && let Some(successor) = aliases.successor(&model)
    {
        session.set("model", Json::string(successor));
        notes.model = Some((model, successor.to_owned()));
    }
    notes
}

/// Turns a session of GA's into the beta's shape, complete, and remembers it.
pub(super) fn to_beta(session: &mut Object<'_>, memory: &mut Memory) {
    session.take("type");
    field::to_beta(session, SESSION, memory.sound);
    for (name, default) in memory.kind.fields() {
        if session.get(name).is_none()
            && let Some(value) = memory.recall(name).or(default.map(Json::Raw))
        {
            session.set(name, value);
        }
        memory.remember(name, session);
    }
}
