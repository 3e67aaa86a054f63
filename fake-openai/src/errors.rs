//! Errors in OpenAI's words and shape (wire.md 2.1).

use serde_json::{Value, json};

use crate::wire::Answer;

/// One error, however it is told: as the answer to a request or as an event on a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) code: Option<String>,
    pub(crate) param: Option<String>,
    pub(crate) message: String,
}

impl ApiError {
    /// `{message, type, param, code}`.
    pub(crate) fn object(&self) -> Value {
        json!({
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        })
    }
}

impl From<ApiError> for Answer {
    fn from(error: ApiError) -> Answer {
        Answer::json(error.status, &json!({ "error": error.object() }))
    }
}

/// An error of this status and kind.
pub(crate) fn error(
    status: u16,
    kind: &str,
    code: Option<&str>,
    param: Option<&str>,
    message: &str,
) -> ApiError {
    ApiError {
        status,
        kind: kind.to_owned(),
        code: code.map(str::to_owned),
        param: param.map(str::to_owned),
        message: message.to_owned(),
    }
}

/// A 400 about the request's shape.
pub(crate) fn bad_request(message: &str) -> ApiError {
    error(400, "invalid_request_error", None, None, message)
}

/// A 400 about one parameter.
pub(crate) fn bad_param(param: &str, code: &str, message: &str) -> ApiError {
    error(
        400,
        "invalid_request_error",
        Some(code),
        Some(param),
        message,
    )
}

/// A parameter that is needed and absent.
pub(crate) fn missing(param: &str) -> ApiError {
    let message = format!("Missing required parameter: '{param}'.");
    bad_param(param, "missing_required_parameter", &message)
}

/// No credential at all.
pub(crate) fn no_key() -> ApiError {
    error(
        401,
        "invalid_request_error",
        None,
        None,
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
    )
}

/// A credential that is not known, masked as OpenAI does.
pub(crate) fn wrong_key(key: &str) -> ApiError {
    let message = format!(
        "Incorrect API key provided: {}. You can find your API key at https://platform.openai.com/account/api-keys.",
        masked(key)
    );
    error(
        401,
        "invalid_request_error",
        Some("invalid_api_key"),
        None,
        &message,
    )
}

fn masked(key: &str) -> String {
    let letters: Vec<char> = key.chars().collect();
    if letters.len() < 12 {
        return "*".repeat(letters.len());
    }
    let head: String = letters[..8].iter().collect();
    let tail: String = letters[letters.len() - 4..].iter().collect();
    format!("{head}{}{tail}", "*".repeat(letters.len() - 12))
}

/// A model that does not exist or is not open to the key.
pub(crate) fn no_model(model: &str) -> ApiError {
    let message = format!("The model `{model}` does not exist or you do not have access to it.");
    error(
        404,
        "invalid_request_error",
        Some("model_not_found"),
        None,
        &message,
    )
}

/// An object that does not exist.
pub(crate) fn no_object(what: &str, id: &str) -> ApiError {
    let message = format!("No such {what} object: {id}");
    error(404, "invalid_request_error", None, Some("id"), &message)
}

/// A path that OpenAI does not have.
pub(crate) fn no_route(method: &str, path: &str) -> ApiError {
    let message = format!("Invalid URL ({method} {path})");
    error(404, "invalid_request_error", None, None, &message)
}

/// A path that exists, with another method.
pub(crate) fn wrong_method(method: &str) -> ApiError {
    let message = format!(
        "Not allowed to {method} on this path. (HINT: Perhaps you meant to use a different HTTP method?)"
    );
    error(
        405,
        "invalid_request_error",
        Some("method_not_supported"),
        None,
        &message,
    )
}

/// The type and code that go with a status when nothing else is asked for.
pub(crate) fn usual(status: u16) -> (&'static str, Option<&'static str>, &'static str) {
    match status {
        401 => (
            "invalid_request_error",
            Some("invalid_api_key"),
            "Incorrect API key provided.",
        ),
        403 => (
            "invalid_request_error",
            Some("unsupported_country_region_territory"),
            "Country, region, or territory not supported",
        ),
        404 => ("invalid_request_error", None, "Not found."),
        409 => (
            "invalid_request_error",
            None,
            "The resource is locked by another request.",
        ),
        429 => (
            "rate_limit_error",
            Some("rate_limit_exceeded"),
            "Rate limit reached. Please try again later.",
        ),
        503 => (
            "service_unavailable_error",
            Some("server_is_overloaded"),
            "That model is currently overloaded with other requests.",
        ),
        400..=499 => ("invalid_request_error", None, "The request is not valid."),
        _ => (
            "server_error",
            None,
            "The server had an error while processing your request.",
        ),
    }
}

/// What Cloudflare shows when OpenAI's servers do not answer.
pub(crate) fn cloudflare_html(status: u16) -> String {
    format!(
        "<html>\r\n<head><title>{status} Bad gateway</title></head>\r\n<body>\r\n<center><h1>{status} Bad gateway</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"
    )
}
