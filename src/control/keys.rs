//! `/api/v1/keys` and `/api/v1/admin/keys`: users look after their relay keys, admins after all.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Control;
use super::answer::{ErrorView, FieldErrorsView, No};
use super::input::{Id, Input, Part, Text, problem};
use super::visit::{Admin, People, SignedIn};
use crate::admission::accounts::Account;
use crate::admission::keys::rules::{RulesText, forbidden};
use crate::admission::keys::{Registry, Wish};
use crate::error::Refusal;
use crate::store::{Key, Role, parse_time, timestamp};

/// A relay key, without the key itself.
#[derive(Serialize, ToSchema)]
#[schema(title = "Key")]
pub(super) struct KeyView {
    /// A UUID.
    id: String,
    /// Its first characters.
    hint: String,
    name: String,
    /// The owner's id; null for the operator's.
    user_id: Option<String>,
    /// Whether it was revoked.
    is_revoked: bool,
    rules: RulesText,
    /// RFC 3339.
    created_at: String,
    /// RFC 3339; null for one that has no end.
    expires_at: Option<String>,
}

/// A relay key that was just made.
#[derive(Serialize, ToSchema)]
#[schema(title = "MadeKey")]
pub(super) struct MadeKey {
    /// The key, shown once.
    key: String,
    #[serde(flatten)]
    known: KeyView,
}

/// A part of the list of keys.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyList {
    keys: Vec<KeyView>,
}

/// A key to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    /// 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    name: Text,
    /// RFC 3339; left out, it has no end.
    expires_at: Option<Text>,
    /// What it may be used for; left out, for all that its owner may.
    #[serde(default)]
    rules: RulesText,
    /// Whose it is, by id or name: for admins; left out, the operator's.
    user: Option<Text>,
}

impl From<Key> for KeyView {
    fn from(key: Key) -> KeyView {
        KeyView {
            rules: serde_json::from_str(&key.rules).unwrap_or_default(),
            id: key.id,
            hint: key.hint,
            name: key.name,
            user_id: key.user_id,
            is_revoked: key.is_revoked,
            created_at: timestamp(key.created_at_ms),
            expires_at: key.expires_at_ms.map(timestamp),
        }
    }
}

/// One's own keys, the oldest first.
#[utoipa::path(get, path = "/api/v1/keys", tag = "keys", security(("bearer" = [])), params(
    ("limit" = Option<u32>, Query, description = "How many at once, 50 unless said", minimum = 1, maximum = 500),
    ("offset" = Option<u32>, Query, description = "How many to leave out before"),
), responses(
    (status = 200, description = "Keys", body = KeyList),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "A credential that is not a user's", body = ErrorView),
    (status = 422, description = "Parameters that cannot be used", body = FieldErrorsView),
))]
pub(super) async fn list(
    State(control): State<Control>,
    user: SignedIn,
    part: Part,
) -> Result<Json<KeyList>, No> {
    let owner = user.account().user_id.as_str();
    listed(&control, Some(owner), &part).await
}

/// Makes a key of one's own. The answer is the only place where it is shown.
#[utoipa::path(post, path = "/api/v1/keys", tag = "keys", request_body = NewKey, security(("bearer" = [])), responses(
    (status = 201, description = "The key", body = MadeKey),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "A credential that is not a user's, or rules that only admins may give", body = ErrorView),
    (status = 409, description = "There are too many", body = ErrorView),
    (status = 422, description = "Fields that cannot be used", body = FieldErrorsView),
))]
pub(super) async fn add(
    State(control): State<Control>,
    user: SignedIn,
    Input(new): Input<NewKey>,
) -> Result<(StatusCode, Json<MadeKey>), No> {
    let account = user.account();
    if new.user.is_some() {
        return Err(forbidden("Keys of others are made at /api/v1/admin/keys.").into());
    }
    if new.rules.organization && account.role != Role::Admin {
        let rule = "Whether organization and project go up is for admins to say.";
        return Err(forbidden(rule).into());
    }
    let owner = account.user_id.clone();
    made(&control, account, new, Some(owner)).await
}

/// One key of one's own, without the key itself.
#[utoipa::path(get, path = "/api/v1/keys/{id}", tag = "keys", security(("bearer" = [])),
    params(("id" = String, Path, description = "The key's id")), responses(
    (status = 200, description = "The key", body = KeyView),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "A credential that is not a user's", body = ErrorView),
    (status = 404, description = "No such key of one's own", body = ErrorView),
    (status = 422, description = "An id that cannot be one", body = FieldErrorsView),
))]
pub(super) async fn show(
    State(control): State<Control>,
    user: SignedIn,
    Id(id): Id,
) -> Result<Json<KeyView>, No> {
    let registry = control.gate.keys().registry()?;
    Ok(Json(own(&registry, user.account(), &id).await?.into()))
}

/// Puts a new key in the place of one of one's own, and ends at once what the old one and its tokens do.
#[utoipa::path(post, path = "/api/v1/keys/{id}/rotate", tag = "keys", security(("bearer" = [])),
    params(("id" = String, Path, description = "The key's id")), responses(
    (status = 200, description = "The new key", body = MadeKey),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "A credential that is not a user's", body = ErrorView),
    (status = 404, description = "No such key of one's own, or it is revoked", body = ErrorView),
    (status = 422, description = "An id that cannot be one", body = FieldErrorsView),
))]
pub(super) async fn rotate(
    State(control): State<Control>,
    user: SignedIn,
    Id(id): Id,
) -> Result<Json<MadeKey>, No> {
    let registry = control.gate.keys().registry()?;
    let known = own(&registry, user.account(), &id).await?;
    rotated(&control, &registry, user.account(), known).await
}

/// Revokes a key of one's own, and ends at once what it and its tokens do.
#[utoipa::path(delete, path = "/api/v1/keys/{id}", tag = "keys", security(("bearer" = [])),
    params(("id" = String, Path, description = "The key's id")), responses(
    (status = 204, description = "It is over"),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "A credential that is not a user's", body = ErrorView),
    (status = 404, description = "No such key of one's own, or it is revoked", body = ErrorView),
    (status = 422, description = "An id that cannot be one", body = FieldErrorsView),
))]
pub(super) async fn revoke(
    State(control): State<Control>,
    user: SignedIn,
    Id(id): Id,
) -> Result<StatusCode, No> {
    let registry = control.gate.keys().registry()?;
    own(&registry, user.account(), &id).await?;
    revoked(&control, &registry, user.account(), &id).await
}

/// All keys, or those of a user (`search`, by id or name), the oldest first.
#[utoipa::path(get, path = "/api/v1/admin/keys", tag = "admin", security(("bearer" = [])), params(
    ("search" = Option<String>, Query, description = "A user's id or name"),
    ("limit" = Option<u32>, Query, description = "How many at once, 50 unless said", minimum = 1, maximum = 500),
    ("offset" = Option<u32>, Query, description = "How many to leave out before"),
), responses(
    (status = 200, description = "Keys", body = KeyList),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "Not an admin", body = ErrorView),
    (status = 404, description = "No such user", body = ErrorView),
    (status = 422, description = "Parameters that cannot be used", body = FieldErrorsView),
))]
pub(super) async fn list_all(
    State(control): State<Control>,
    People(accounts): People,
    _: Admin,
    part: Part,
) -> Result<Json<KeyList>, No> {
    let owner = match part.search.as_str() {
        "" => None,
        user => Some(accounts.directory().user(user).await?.id),
    };
    listed(&control, owner.as_deref(), &part).await
}

/// Makes a key for a user, or for the operator. The answer is the only place where it is shown.
#[utoipa::path(post, path = "/api/v1/admin/keys", tag = "admin", request_body = NewKey, security(("bearer" = [])), responses(
    (status = 201, description = "The key", body = MadeKey),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "Not an admin", body = ErrorView),
    (status = 404, description = "No such user", body = ErrorView),
    (status = 409, description = "There are too many", body = ErrorView),
    (status = 422, description = "Fields that cannot be used", body = FieldErrorsView),
))]
pub(super) async fn add_any(
    State(control): State<Control>,
    People(accounts): People,
    admin: Admin,
    Input(new): Input<NewKey>,
) -> Result<(StatusCode, Json<MadeKey>), No> {
    let owner = match &new.user {
        Some(user) => Some(accounts.directory().user(&user.0).await?.id),
        None => None,
    };
    made(&control, admin.account(), new, owner).await
}

/// One key, whosever it is.
#[utoipa::path(get, path = "/api/v1/admin/keys/{id}", tag = "admin", security(("bearer" = [])),
    params(("id" = String, Path, description = "The key's id")), responses(
    (status = 200, description = "The key", body = KeyView),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "Not an admin", body = ErrorView),
    (status = 404, description = "No such key", body = ErrorView),
    (status = 422, description = "An id that cannot be one", body = FieldErrorsView),
))]
pub(super) async fn show_any(
    State(control): State<Control>,
    _: Admin,
    Id(id): Id,
) -> Result<Json<KeyView>, No> {
    let registry = control.gate.keys().registry()?;
    Ok(Json(registry.key(&id).await?.into()))
}

/// Puts a new key in the place of any, and ends at once what the old one and its tokens do.
#[utoipa::path(post, path = "/api/v1/admin/keys/{id}/rotate", tag = "admin", security(("bearer" = [])),
    params(("id" = String, Path, description = "The key's id")), responses(
    (status = 200, description = "The new key", body = MadeKey),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "Not an admin", body = ErrorView),
    (status = 404, description = "No such key, or it is revoked", body = ErrorView),
    (status = 422, description = "An id that cannot be one", body = FieldErrorsView),
))]
pub(super) async fn rotate_any(
    State(control): State<Control>,
    admin: Admin,
    Id(id): Id,
) -> Result<Json<MadeKey>, No> {
    let registry = control.gate.keys().registry()?;
    let known = registry.key(&id).await?;
    rotated(&control, &registry, admin.account(), known).await
}

/// Revokes any key, and ends at once what it and its tokens do.
#[utoipa::path(delete, path = "/api/v1/admin/keys/{id}", tag = "admin", security(("bearer" = [])),
    params(("id" = String, Path, description = "The key's id")), responses(
    (status = 204, description = "It is over"),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "Not an admin", body = ErrorView),
    (status = 404, description = "No such key, or it is revoked", body = ErrorView),
    (status = 422, description = "An id that cannot be one", body = FieldErrorsView),
))]
pub(super) async fn revoke_any(
    State(control): State<Control>,
    admin: Admin,
    Id(id): Id,
) -> Result<StatusCode, No> {
    let registry = control.gate.keys().registry()?;
    revoked(&control, &registry, admin.account(), &id).await
}

async fn listed(control: &Control, owner: Option<&str>, part: &Part) -> Result<Json<KeyList>, No> {
    let registry = control.gate.keys().registry()?;
    let keys = registry.keys(owner, part.limit, part.offset).await?;
    Ok(Json(KeyList {
        keys: keys.into_iter().map(KeyView::from).collect(),
    }))
}

async fn made(
    control: &Control,
    by: &Account,
    new: NewKey,
    owner: Option<String>,
) -> Result<(StatusCode, Json<MadeKey>), No> {
    let expires_at_ms = new.expires_at.map(|text| {
        let at = parse_time(&text.0);
        at.ok_or_else(|| {
            problem(
                "body",
                "expires_at",
                "Use RFC 3339, such as 2027-01-31T12:00:00Z.",
            )
        })
    });
    let wish = Wish {
        name: new.name.0,
        expires_at_ms: expires_at_ms.transpose()?,
        rules: new.rules,
    };
    let registry = control.gate.keys().registry()?;
    let (key, known) = registry.create(&wish, owner.as_deref()).await?;
    tracing::info!(key = known.id, by = by.user_id, "a relay key was made");
    let known = known.into();
    Ok((StatusCode::CREATED, Json(MadeKey { key, known })))
}

/// A key of this account's; another one's is none.
async fn own(registry: &Registry, account: &Account, id: &str) -> Result<Key, Refusal> {
    let key = registry.key(id).await;
    let key = key.map(|key| (key.user_id.as_deref() == Some(&account.user_id)).then_some(key))?;
    key.ok_or_else(Registry::no_such_key)
}

async fn rotated(
    control: &Control,
    registry: &Registry,
    by: &Account,
    known: Key,
) -> Result<Json<MadeKey>, No> {
    let (key, known) = registry.rotate_known(known).await?;
    control.gate.keys().end_key(&known.id);
    tracing::info!(key = known.id, by = by.user_id, "a relay key was rotated");
    let known = known.into();
    Ok(Json(MadeKey { key, known }))
}

async fn revoked(
    control: &Control,
    registry: &Registry,
    by: &Account,
    id: &str,
) -> Result<StatusCode, No> {
    registry.revoke(id).await?;
    control.gate.keys().end_key(id);
    tracing::info!(key = id, by = by.user_id, "a relay key was revoked");
    Ok(StatusCode::NO_CONTENT)
}
