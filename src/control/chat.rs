//! `/api/v1/chat`: described here. Where there are accounts the edge relays these, with a Permit;
//! what arrives here says why it is not.

use std::collections::BTreeMap;

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::answer::{ErrorView, FieldErrorsView, No};
use super::visit::People;
use crate::error::{Kind, Refusal};

/// A chat completion as OpenAI takes it; every field goes up as it was sent.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code, reason = "describes what is relayed")]
pub(super) struct ChatRequest {
    /// `DEFAULT_MODEL`, unless said otherwise.
    model: Option<String>,
    /// The conversation so far.
    #[schema(value_type = Vec<Object>)]
    messages: Vec<Value>,
    /// Whatever else OpenAI takes.
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// The models that may be named.
#[derive(Serialize, ToSchema)]
pub(super) struct Models {
    /// Their ids.
    models: Vec<String>,
}

/// A chat completion, whole. `stream` is switched off.
#[utoipa::path(post, path = "/api/v1/chat/completions", tag = "chat", request_body = ChatRequest, security(("bearer" = [])), responses(
    (status = 200, description = "OpenAI's answer, as it is", content_type = "application/json", body = Object),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "A credential that is not a user's", body = ErrorView),
    (status = 422, description = "A body that is no JSON object", body = FieldErrorsView),
    (status = "default", description = "OpenAI's error, with `detail` added", body = ErrorView),
))]
pub(super) async fn completions(_: People) -> No {
    elsewhere()
}

/// A chat completion as server-sent events, ending with `data: [DONE]`. `stream` is switched on.
#[utoipa::path(post, path = "/api/v1/chat/completions/stream", tag = "chat", request_body = ChatRequest, security(("bearer" = [])), responses(
    (status = 200, description = "OpenAI's events, as they are", content_type = "text/event-stream", body = Value),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "A credential that is not a user's", body = ErrorView),
    (status = 422, description = "A body that is no JSON object", body = FieldErrorsView),
    (status = "default", description = "OpenAI's error, with `detail` added", body = ErrorView),
))]
pub(super) async fn stream(_: People) -> No {
    elsewhere()
}

/// The models, as OpenAI lists them; remembered for a minute.
#[utoipa::path(get, path = "/api/v1/chat/models", tag = "chat", security(("bearer" = [])), responses(
    (status = 200, description = "Their ids", body = Models),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "A credential that is not a user's", body = ErrorView),
    (status = "default", description = "OpenAI's error, with `detail` added", body = ErrorView),
))]
pub(super) async fn models(_: People) -> Result<Json<Models>, No> {
    Err(elsewhere())
}

/// HEAD, which comes here with the GET route.
fn elsewhere() -> No {
    let message = "This route does not take that method.";
    No(Refusal::new(Kind::MethodNotAllowed, message))
}
