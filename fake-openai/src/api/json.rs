//! JSON bodies: read as strictly as OpenAI does, and what several surfaces make of them.

use serde_json::{Map, Value};

use super::Request;
use super::models;
use crate::errors::{self, ApiError};
use crate::wire::Answer;

pub(crate) type Refused = Box<ApiError>;

/// The body as an object; only parameters that the surface has.
pub(super) fn object(request: &Request<'_>, known: &[&str]) -> Result<Map<String, Value>, Refused> {
    let content_type = request.head.get("content-type").unwrap_or_default();
    let parsed: Result<Value, _> = serde_json::from_slice(request.body);
    let Ok(Value::Object(object)) = parsed else {
        let message = if content_type.starts_with("application/json") {
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)"
        } else {
            "you must provide a model parameter"
        };
        return Err(Box::new(errors::bad_request(message)));
    };
    check_known(&object, known)?;
    Ok(object)
}

/// Only parameters that the surface has.
pub(super) fn check_known(object: &Map<String, Value>, known: &[&str]) -> Result<(), Refused> {
    let Some(name) = object.keys().find(|name| !known.contains(&name.as_str())) else {
        return Ok(());
    };
    let message = format!("Unknown parameter: '{name}'.");
    let error = errors::bad_param(name, "unknown_parameter", &message);
    Err(Box::new(error))
}

/// A model that exists.
pub(super) fn model(object: &Map<String, Value>) -> Result<String, Refused> {
    let model = needed(object, "model")?;
    let Some(model) = model.as_str() else {
        return Err(wrong_type("model", "a string"));
    };
    match models::exists(model) {
        true => Ok(model.to_owned()),
        false => Err(Box::new(errors::no_model(model))),
    }
}

/// A parameter that must be there.
pub(super) fn needed<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a Value, Refused> {
    object
        .get(name)
        .ok_or_else(|| Box::new(errors::missing(name)))
}

/// A number within bounds, if it is there.
pub(super) fn number(
    object: &Map<String, Value>,
    name: &str,
    low: f64,
    high: f64,
) -> Result<Option<f64>, Refused> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64() {
            Some(number) if (low..=high).contains(&number) => Ok(Some(number)),
            Some(_) => {
                let message = format!("Invalid '{name}': it must be between {low} and {high}.");
                Err(Box::new(errors::bad_param(name, "invalid_value", &message)))
            }
            None => Err(wrong_type(name, "a number")),
        },
    }
}

/// A flag; false where it is absent.
pub(super) fn flag(object: &Map<String, Value>, name: &str) -> Result<bool, Refused> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(wrong_type(name, "a boolean")),
    }
}

pub(super) fn wrong_type(name: &str, wanted: &str) -> Refused {
    let message = format!("Invalid type for '{name}': expected {wanted}.");
    Box::new(errors::bad_param(name, "invalid_type", &message))
}

/// Tokens of a text, as far as a stand-in counts them: its words.
pub(super) fn tokens(text: &str) -> u64 {
    text.split_whitespace().count().max(1) as u64
}

/// A text in pieces, as a model says it: word by word, spaces kept.
pub(super) fn pieces(text: &str) -> Vec<&str> {
    text.split_inclusive(' ').collect()
}

/// The answer, whichever way it came about.
pub(super) fn settle(answer: Result<Answer, Refused>) -> Answer {
    answer.unwrap_or_else(|refused| (*refused).into())
}
