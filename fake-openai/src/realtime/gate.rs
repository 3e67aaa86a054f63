//! Who may open a Realtime session, and on what: judged after the 101 (wire.md 5.1 to 5.4).

use serde_json::Value;

use super::event::invalid;
use crate::api::models;
use crate::errors::{self, ApiError};
use crate::state::State;
use crate::strict::{self, Caller};
use crate::wire::Head;
use crate::ws::Offer;

/// What a session is about.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Subject {
    /// Speech to speech with a model.
    Model(String),
    /// Transcription only.
    Transcription,
    /// A call that was made over HTTP.
    Call(String),
}

/// An error, and the code of the close frame behind it.
pub(super) type Refusal = Box<(ApiError, u16)>;

/// Who is asking; an ephemeral credential brings a session's configuration.
pub(super) fn caller(state: &State, head: &Head, offer: &Offer) -> Result<Value, Refusal> {
    let in_header = head.get("authorization").map(str::to_owned);
    let in_list = offer.subprotocols.iter().find_map(|name| {
        let key = name.strip_prefix("openai-insecure-api-key.")?;
        Some(format!("Bearer {key}"))
    });
    let credential = in_header.or(in_list);
    let minted = match strict::caller(state, credential.as_deref(), true) {
        Ok(Caller::Ephemeral(secret)) => secret.session,
        Ok(_) => Value::Null,
        Err(error) => {
            let code = Some("invalid_api_key".to_owned());
            return Err(Box::new((ApiError { code, ..*error }, 3000)));
        }
    };
    let beta_header = head.all("openai-beta").any(|value| value == b"realtime=v1");
    let beta_entry = offer
        .subprotocols
        .iter()
        .any(|name| name == "openai-beta.realtime-v1");
    if beta_header || beta_entry {
        let message = "The Realtime Beta API is no longer supported. Please use the GA API: remove the 'OpenAI-Beta: realtime=v1' header and the 'openai-beta.realtime-v1' subprotocol.";
        return Err(shape("beta_api_shape_disabled", message));
    }
    Ok(minted)
}

/// What the query asks for. `minted`: the configuration of an ephemeral credential.
pub(super) fn subject(head: &Head, minted: &Value) -> Result<Subject, Refusal> {
    let (model, intent) = (head.query("model"), head.query("intent"));
    if let Some(call) = head.query("call_id") {
        return Ok(Subject::Call(call));
    }
    match (model, intent.as_deref()) {
        (None, Some("transcription")) => Ok(Subject::Transcription),
        (Some(_), Some("transcription")) => {
            let message =
                "Do not pass a model with intent=transcription; set it in session.update.";
            Err(shape("invalid_model", message))
        }
        (_, Some(_)) => Err(shape("invalid_intent", "The intent is not known.")),
        (None, None) => match (minted["type"].as_str(), minted["model"].as_str()) {
            (Some("transcription"), _) => Ok(Subject::Transcription),
            (_, Some(model)) => Ok(Subject::Model(conversational(model)?)),
            _ => Err(no_model()),
        },
        (Some(model), None) => Ok(Subject::Model(conversational(&model)?)),
    }
}

fn no_model() -> Refusal {
    shape("missing_model", "You must provide a model parameter.")
}

fn conversational(model: &str) -> Result<String, Refusal> {
    fitting(model, |model| {
        model.starts_with("gpt-realtime") && !is_translator(model) && !model.ends_with("whisper")
    })
}

fn is_translator(model: &str) -> bool {
    model.starts_with("gpt-realtime-translate")
}

/// The model of a translation.
pub(super) fn translator(head: &Head, minted: &Value) -> Result<String, Refusal> {
    let model = head.query("model");
    let model = model.or_else(|| minted["model"].as_str().map(str::to_owned));
    fitting(&model.ok_or_else(no_model)?, is_translator)
}

fn fitting(model: &str, fits: impl Fn(&str) -> bool) -> Result<String, Refusal> {
    if !models::exists(model) {
        return Err(Box::new((errors::no_model(model), 4004)));
    }
    if !fits(model) {
        let message = format!("Model \"{model}\" is not supported in this mode.");
        return Err(shape("invalid_model", &message));
    }
    Ok(model.to_owned())
}

fn shape(code: &str, message: &str) -> Refusal {
    Box::new((invalid(code, message), 4000))
}
