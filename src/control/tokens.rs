//! `/api/v1/tokens`: sealed tokens for any route that their maker may use, for a browser say.

use axum::Json;
use axum::extract::State;
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Control;
use super::answer::{ErrorView, FieldErrorsView, No};
use super::input::{Perhaps, problem};
use super::visit::Sealer;
use crate::admission::keys::rules::RulesText;
use crate::admission::{LIVES_S, TokenTerms};
use crate::store::now_ms;

/// How long a token lives unless said otherwise, in seconds.
const LIFE_S: u64 = 600;

/// A token to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// How many seconds it may start things for: 10 to 7200, 600 unless said.
    #[schema(minimum = 10, maximum = 7200)]
    expires_in: Option<u64>,
    /// What it may be used for, beside what its maker may.
    #[serde(default)]
    rules: RulesText,
}

/// A token, in the shape of OpenAI's ephemeral credentials.
#[derive(Serialize, ToSchema)]
#[schema(title = "Token")]
pub(super) struct TokenView {
    /// `ek_relay_…`.
    value: String,
    /// Seconds since the epoch.
    expires_at: i64,
}

/// Makes a token that may do no more than its maker, for at most two hours. It ends with its maker.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "keys", request_body = Option<NewToken>, security(("bearer" = [])), responses(
    (status = 201, description = "The token", body = TokenView),
    (status = 401, description = "No good credential", body = ErrorView),
    (status = 403, description = "A credential that makes no tokens, or a relay that has nothing to seal with", body = ErrorView),
    (status = 422, description = "Fields that cannot be used", body = FieldErrorsView),
))]
pub(super) async fn make(
    State(control): State<Control>,
    sealer: Sealer,
    headers: HeaderMap,
    Perhaps(new): Perhaps<NewToken>,
) -> Result<(StatusCode, Json<TokenView>), No> {
    let life_s = new.expires_in.unwrap_or(LIFE_S);
    if !LIVES_S.contains(&life_s) {
        let message = "Use a number of seconds from 10 to 7200.";
        return Err(problem("body", "expires_in", message).into());
    }
    let page = headers.get(header::ORIGIN);
    let page = page.and_then(|page| page.to_str().ok());
    let mut terms = TokenTerms::of_page(page);
    terms.set_rules(new.rules);
    let expires_at_s = (now_ms() / 1000).saturating_add_unsigned(life_s);
    let sealing = control.gate.sealing();
    let minted = sealing.mint(&sealer.principal, expires_at_s, &terms, None)?;
    Ok((
        StatusCode::CREATED,
        Json(TokenView {
            value: minted.token,
            expires_at: minted.expires_at_s,
        }),
    ))
}
