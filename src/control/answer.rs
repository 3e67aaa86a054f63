//! What the routes of the accounts API say: refusals in their form, and the shapes of users.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Door, Refusal};
use crate::store::{User, timestamp};

/// A refusal as an answer.
pub(super) struct No(pub(super) Refusal);

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> No {
        No(refusal)
    }
}

impl IntoResponse for No {
    fn into_response(self) -> Response {
        let mut response = self.0.clone().into_response(Door::Api).map(Body::from);
        // For the edge, which writes the log line.
        response.extensions_mut().insert(self.0);
        response
    }
}

/// A user, as it is shown to itself and to admins.
#[derive(Serialize, ToSchema)]
#[schema(title = "User")]
pub(super) struct UserView {
    /// A UUID.
    id: String,
    username: String,
    email: String,
    /// `user` or `admin`.
    role: &'static str,
    is_active: bool,
    /// RFC 3339.
    created_at: String,
    /// RFC 3339; null before the first login.
    last_login_at: Option<String>,
}

impl From<User> for UserView {
    fn from(user: User) -> UserView {
        UserView {
            id: user.id,
            username: user.username,
            email: user.email,
            role: user.role.name(),
            is_active: user.is_active,
            created_at: timestamp(user.created_at_ms),
            last_login_at: user.last_login_at_ms.map(timestamp),
        }
    }
}

/// An error of the accounts API.
#[derive(Serialize, ToSchema)]
#[schema(title = "Error")]
#[allow(dead_code, reason = "describes what `Refusal` writes")]
pub(super) struct ErrorView {
    /// What was wrong and what to do.
    detail: String,
    /// Seconds to wait before the next attempt, where waiting helps.
    retry_after: Option<u64>,
}

/// An error over fields.
#[derive(Serialize, ToSchema)]
#[schema(title = "FieldErrors")]
#[allow(dead_code, reason = "describes what `Refusal` writes")]
pub(super) struct FieldErrorsView {
    /// One for each field that cannot be used.
    detail: Vec<FieldErrorView>,
}

/// What is wrong with one field.
#[derive(Serialize, ToSchema)]
#[schema(title = "FieldError")]
#[allow(dead_code, reason = "describes what `Refusal` writes")]
pub(super) struct FieldErrorView {
    /// Where it stands, such as `["body", "email"]`.
    loc: Vec<String>,
    /// In words.
    msg: String,
    /// Always `value_error`.
    r#type: String,
}
