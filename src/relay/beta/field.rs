//! Where each field of the beta's flat shapes lies in GA's nested ones, and how its value is written
//! there (wire.md 5.3; schemas `RealtimeSession`, `RealtimeSessionCreateRequestGA`).

use crate::relay::json::{Json, Object};

/// One field in both shapes.
pub(super) struct Field {
    beta: &'static str,
    ga: &'static [&'static str],
    form: Form,
}

/// What differs in the value.
#[derive(Clone, Copy)]
enum Form {
    Same,
    /// `["text","audio"]` and `["audio"]`.
    Modalities,
    /// `"pcm16"` and `{"type":"audio/pcm","rate":24000}`.
    Format,
    /// `{"type":"function","function":{"name":"x"}}`, which old SDKs document, and
    /// `{"type":"function","name":"x"}`, which both take.
    ToolChoice,
}

const fn field(beta: &'static str, ga: &'static [&'static str], form: Form) -> Field {
    Field { beta, ga, form }
}

const MODALITIES: Field = field("modalities", &["output_modalities"], Form::Modalities);
const VOICE: Field = field("voice", &["audio", "output", "voice"], Form::Same);
const OUTPUT_FORMAT: Field = field(
    "output_audio_format",
    &["audio", "output", "format"],
    Form::Format,
);
const TOOL_CHOICE: Field = field("tool_choice", &["tool_choice"], Form::ToolChoice);
const MAX_TOKENS: Field = field(
    "max_response_output_tokens",
    &["max_output_tokens"],
    Form::Same,
);

/// Of sessions of both kinds, where a name or place differs.
pub(super) const SESSION: &[Field] = &[
    MODALITIES,
    VOICE,
    field(
        "input_audio_format",
        &["audio", "input", "format"],
        Form::Format,
    ),
    OUTPUT_FORMAT,
    field(
        "input_audio_transcription",
        &["audio", "input", "transcription"],
        Form::Same,
    ),
    field(
        "input_audio_noise_reduction",
        &["audio", "input", "noise_reduction"],
        Form::Same,
    ),
    field(
        "turn_detection",
        &["audio", "input", "turn_detection"],
        Form::Same,
    ),
    field("speed", &["audio", "output", "speed"], Form::Same),
    TOOL_CHOICE,
    MAX_TOKENS,
];

/// Of the parameters of `response.create`. The first SDKs sent `max_response_output_tokens`.
pub(super) const PARAMETERS: &[Field] =
    &[MODALITIES, VOICE, OUTPUT_FORMAT, TOOL_CHOICE, MAX_TOKENS];

/// Of response objects.
pub(super) const RESPONSE: &[Field] = &[MODALITIES, VOICE, OUTPUT_FORMAT];

/// How a client writes that it wants sound. GA knows one way, the beta had these; the client gets
/// its own back.
#[derive(Clone, Copy)]
pub(super) struct Sound(&'static str);

const SOUND: [(&[&str], &str); 3] = [
    (&["text", "audio"], r#"["text","audio"]"#),
    (&["audio", "text"], r#"["audio","text"]"#),
    (&["audio"], r#"["audio"]"#),
];

impl Default for Sound {
    fn default() -> Sound {
        Sound(SOUND[0].1)
    }
}

impl Sound {
    pub(super) fn to_json(self) -> Json<'static> {
        Json::Raw(self.0)
    }
}

/// The beta's formats, their types in GA, and GA's objects.
const FORMATS: [(&str, &str, &str); 3] = [
    (
        r#""pcm16""#,
        "audio/pcm",
        r#"{"type":"audio/pcm","rate":24000}"#,
    ),
    (r#""g711_ulaw""#, "audio/pcmu", r#"{"type":"audio/pcmu"}"#),
    (r#""g711_alaw""#, "audio/pcma", r#"{"type":"audio/pcma"}"#),
];

/// Moves the fields of an object to their places in GA.
pub(super) fn to_ga(object: &mut Object<'_>, fields: &[Field], sound: &mut Sound) {
    for field in fields {
        let Some(value) = object.take(field.beta) else {
            continue;
        };
        let value = match field.form {
            Form::Same => value,
            Form::Modalities => modalities_to_ga(value, sound),
            Form::Format => format_to_ga(value),
            Form::ToolChoice => tool_choice_to_ga(value),
        };
        object.set_at(field.ga, value);
    }
}

/// Moves the fields of an object to their places in the beta.
pub(super) fn to_beta(object: &mut Object<'_>, fields: &[Field], sound: Sound) {
    for field in fields {
        let Some(value) = object.take_at(field.ga) else {
            continue;
        };
        let value = match field.form {
            Form::Same | Form::ToolChoice => value,
            Form::Modalities => modalities_to_beta(value, sound),
            Form::Format => format_to_beta(value),
        };
        object.set(field.beta, value);
    }
}

/// The beta's name of what an error's `param` names: `session.audio.output.voice` is
/// `session.voice`. `None` where it is the same.
pub(super) fn param_to_beta(param: &str) -> Option<String> {
    let (object, rest) = param.split_once('.')?;
    let fields = match object {
        "session" => SESSION,
        "response" => RESPONSE,
        _ => return None,
    };
    fields.iter().find_map(|field| {
        let inner = rest.strip_prefix(&*field.ga.join("."))?;
        let is_whole = inner.is_empty() || inner.starts_with(['.', '[']);
        let differs = field.ga != [field.beta];
        (is_whole && differs).then(|| format!("{object}.{}{inner}", field.beta))
    })
}

fn listed(value: &Json<'_>) -> Option<Vec<String>> {
    serde_json::from_str(value.text()?).ok()
}

/// What is none of the beta's combinations goes as it is: the upstream says what is wrong with it.
fn modalities_to_ga<'a>(value: Json<'a>, sound: &mut Sound) -> Json<'a> {
    let Some(list) = listed(&value) else {
        return value;
    };
    match SOUND.iter().find(|(names, _)| list == *names) {
        Some((_, written)) => {
            *sound = Sound(written);
            Json::Raw(r#"["audio"]"#)
        }
        None => value,
    }
}

fn modalities_to_beta(value: Json<'_>, sound: Sound) -> Json<'_> {
    match listed(&value) {
        Some(list) if list == ["audio"] => sound.to_json(),
        _ => value,
    }
}

fn format_to_ga(value: Json<'_>) -> Json<'_> {
    let known = FORMATS.iter().find(|(beta, ..)| value.text() == Some(beta));
    if let Some((_, _, ga)) = known {
        return Json::Raw(ga);
    }
    // One that neither knows is told to be that, not to be of the wrong type.
    match value.as_string() {
        Some(_) => Json::Made(format!("{{\"type\":{}}}", value.text().unwrap_or_default())),
        None => value,
    }
}

fn format_to_beta(mut value: Json<'_>) -> Json<'_> {
    let kind = value.as_object().and_then(|format| format.string("type"));
    let known = FORMATS
        .iter()
        .find(|(_, ga, _)| kind.as_deref() == Some(ga));
    known.map_or(value, |(beta, ..)| Json::Raw(beta))
}

fn tool_choice_to_ga(mut value: Json<'_>) -> Json<'_> {
    if let Some(choice) = value.as_object() {
        let path = ["function", "name"];
        if let Some(name) = choice.take_at(&path) {
            choice.set("name", name);
        }
    }
    value
}
