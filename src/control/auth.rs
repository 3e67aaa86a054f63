//! `/api/v1/auth`: registering, logging in and out, and one's own account.

use axum::Json;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{ErrorView, FieldErrorsView, No, UserView};
use super::input::{FormOrJson, Input, Perhaps, Text};
use super::visit::{MaybeSignedIn, People, SignedIn, Stranger};
use crate::admission::accounts::{Details, Tokens};
use crate::error::Kind;

/// Who wants to have an account.
#[derive(Deserialize, ToSchema)]
pub(super) struct Registration {
    /// 3 to 50 characters.
    #[schema(min_length = 3, max_length = 50)]
    username: Text,
    #[schema(format = Email)]
    email: Text,
    /// At least 8 characters.
    #[schema(min_length = 8, max_length = 1024)]
    password: Text,
    /// The operator's code, where registering needs one.
    invite: Option<Text>,
}

/// A name and a password. Also as a form, with whatever else the OAuth2 password grant sends.
#[derive(Deserialize, ToSchema)]
pub(super) struct Login {
    username: Text,
    password: Text,
}

/// What comes of a login.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenPair {
    /// A JWT, to send as `Authorization: Bearer`.
    access_token: String,
    /// Always `bearer`.
    token_type: &'static str,
    /// How long the access token is good, in seconds.
    expires_in: u64,
    /// Makes the next pair, once.
    refresh_token: String,
}

impl From<Tokens> for TokenPair {
    fn from(tokens: Tokens) -> TokenPair {
        TokenPair {
            access_token: tokens.access,
            token_type: "bearer",
            expires_in: tokens.expires_in_s,
            refresh_token: tokens.refresh,
        }
    }
}

/// A refresh token, or nothing where `Authorization` holds a good access token.
#[derive(Deserialize, ToSchema)]
pub(super) struct RefreshToken {
    refresh_token: Option<Text>,
}

/// A change of password.
#[derive(Deserialize, ToSchema)]
pub(super) struct PasswordChange {
    current_password: Text,
    /// At least 8 characters.
    #[schema(min_length = 8, max_length = 1024)]
    new_password: Text,
}

/// What proves that the owner is there.
#[derive(Deserialize, ToSchema)]
pub(super) struct Proof {
    /// The current password.
    password: Text,
}

/// Registers a user, as far as the operator allows (REGISTRATION).
#[utoipa::path(post, path = "/api/v1/auth/register", tag = "auth", request_body = Registration, responses(
    (status = 201, description = "The user", body = UserView),
    (status = 400, description = "The name or the address is taken", body = ErrorView),
    (status = 403, description = "Nobody can register, or not without an invite", body = ErrorView),
    (status = 422, description = "Fields that cannot be used", body = FieldErrorsView),
))]
pub(super) async fn register(
    stranger: Stranger,
    Input(new): Input<Registration>,
) -> Result<(StatusCode, Json<UserView>), No> {
    stranger.charge().await?;
    let details = Details {
        username: new.username.0,
        email: new.email.0,
        password: new.password.0,
    };
    let invite = new.invite.map(|code| code.0);
    let user = stranger
        .accounts
        .register(details, invite.as_deref())
        .await?;
    Ok((StatusCode::CREATED, Json(user.into())))
}

/// Logs in, by JSON or by the OAuth2 password form.
#[utoipa::path(post, path = "/api/v1/auth/login", tag = "auth",
    request_body(content((Login = "application/json"), (Login = "application/x-www-form-urlencoded"))),
    responses(
        (status = 200, description = "A pair of tokens", body = TokenPair),
        (status = 401, description = "Not this name with this password", body = ErrorView),
        (status = 422, description = "Fields that cannot be used", body = FieldErrorsView),
        (status = 429, description = "Too many passwords were tried", body = ErrorView),
    ))]
pub(super) async fn login(
    stranger: Stranger,
    FormOrJson(login): FormOrJson<Login>,
) -> Result<Json<TokenPair>, No> {
    let accounts = &stranger.accounts;
    let tokens = accounts.log_in(&login.username.0, &login.password.0, stranger.client);
    Ok(Json(tokens.await?.into()))
}

/// Makes a new pair of tokens: from a refresh token, which is used up by that, or from an access
/// token that is still good.
#[utoipa::path(post, path = "/api/v1/auth/refresh", tag = "auth", request_body = Option<RefreshToken>,
    security((), ("bearer" = [])),
    responses(
        (status = 200, description = "A pair of tokens", body = TokenPair),
        (status = 401, description = "The token is not good, or not any more", body = ErrorView),
        (status = 422, description = "Fields that cannot be used", body = FieldErrorsView),
    ))]
pub(super) async fn refresh(
    visit: MaybeSignedIn,
    Perhaps(shown): Perhaps<RefreshToken>,
) -> Result<Json<TokenPair>, No> {
    let accounts = &visit.accounts;
    let tokens = match shown.refresh_token {
        Some(token) => {
            let trial = visit.charge().await?;
            let tokens = accounts.refresh(&token.0, visit.client).await;
            // Nobody tried anything where the database did not answer.
            if !matches!(&tokens, Err(refusal) if refusal.kind() == Kind::BadLogin) {
                visit.forgive(trial).await;
            }
            tokens?
        }
        None => accounts.renew(visit.signed_in?.account()).await?,
    };
    Ok(Json(tokens.into()))
}

/// Ends the login of the access token, or of a refresh token, with all that runs for it.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "auth", request_body = Option<RefreshToken>,
    security((), ("bearer" = [])),
    responses(
        (status = 204, description = "It has ended, or had before"),
        (status = 401, description = "The access token is not good, or not any more", body = ErrorView),
        (status = 422, description = "Fields that cannot be used", body = FieldErrorsView),
    ))]
pub(super) async fn logout(
    visit: MaybeSignedIn,
    Perhaps(shown): Perhaps<RefreshToken>,
) -> Result<StatusCode, No> {
    let accounts = &visit.accounts;
    match shown.refresh_token {
        Some(token) => {
            visit.charge().await?;
            accounts.log_out_by_refresh_token(&token.0).await?;
        }
        None => accounts.log_out(visit.signed_in?.account()).await?,
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The user that is logged in.
#[utoipa::path(get, path = "/api/v1/auth/me", tag = "auth", security(("bearer" = [])), responses(
    (status = 200, description = "The user", body = UserView),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "A credential that is not a user's", body = ErrorView),
))]
pub(super) async fn me(People(accounts): People, user: SignedIn) -> Result<Json<UserView>, No> {
    Ok(Json(accounts.me(user.account()).await?.into()))
}

/// Deletes the account that is logged in, and ends all that it does.
#[utoipa::path(delete, path = "/api/v1/auth/me", tag = "auth", request_body = Proof, security(("bearer" = [])), responses(
    (status = 204, description = "It is gone"),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "Not the current password, or not a user", body = ErrorView),
    (status = 409, description = "It is the last admin", body = ErrorView),
    (status = 422, description = "Fields that cannot be used", body = FieldErrorsView),
    (status = 429, description = "Too many passwords were tried", body = ErrorView),
))]
pub(super) async fn delete_me(
    People(accounts): People,
    user: SignedIn,
    Input(proof): Input<Proof>,
) -> Result<StatusCode, No> {
    accounts
        .delete_self(user.account(), &proof.password.0)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes one's password; every other login ends.
#[utoipa::path(post, path = "/api/v1/auth/password", tag = "auth", request_body = PasswordChange, security(("bearer" = [])), responses(
    (status = 204, description = "It is changed"),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "Not the current password, or not a user", body = ErrorView),
    (status = 422, description = "Fields that cannot be used", body = FieldErrorsView),
    (status = 429, description = "Too many passwords were tried", body = ErrorView),
))]
pub(super) async fn change_password(
    People(accounts): People,
    user: SignedIn,
    Input(change): Input<PasswordChange>,
) -> Result<StatusCode, No> {
    let (current, new) = (&change.current_password.0, &change.new_password.0);
    accounts
        .change_password(user.account(), current, new)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
