//! Turns a claimed credential into a principal, whatever carried it: the one rule of who may use
//! the server's key. Decides from its arguments, and asks accounts about their tokens.

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::principal::Principal;
use super::{Ask, Claim, Right, Terms, keys, sealed};
use crate::config::{Access, Environment};
use crate::error::{Kind, Refusal};

/// Prefixes of the relay's own credentials: what carries one and does not check out is refused
/// and never forwarded, even where anonymous use is allowed.
const RELAY_PREFIXES: [&str; 2] = [keys::PREFIX, sealed::PREFIX];
/// Prefix of OpenAI's ephemeral credentials.
const EPHEMERAL_PREFIX: &str = "ek_";
/// Prefix of OpenAI's long-lived keys.
const KEY_PREFIX: &str = "sk-";

/// Finds out who asks. What may ask the database is boxed, so that the rest stays small.
pub(super) async fn identify(terms: &Terms, ask: &Ask<'_>) -> Result<Principal, Refusal> {
    let Terms {
        access,
        accounts,
        keys,
        ..
    } = terms;
    if let Claim::Token(token) = ask.claim {
        if let Some(accounts) = accounts
            && accounts.is_access_token(token)
        {
            let recognised = Box::pin(accounts.recognise(token)).await;
            return recognised.map(Principal::Account);
        }
        if let Some(principal) = known(access, ask.right, token) {
            return Ok(principal);
        }
        if token.starts_with(sealed::PREFIX) {
            return Box::pin(terms.unseal(token)).await;
        }
        if let Some(standing) = Box::pin(keys.recognise(token)).await? {
            return Ok(Principal::Key(standing));
        }
        if is_relays_own(token) {
            return Err(Refusal::new(
                Kind::Unauthorized,
                "This relay does not know that credential, or it has expired. Check it, or ask the operator for a new one.",
            )
            .because(match keys.is_one(token) {
                true => "no such relay key here, or one that is revoked or has expired",
                false => "a relay key that is mistyped or cut off: its checksum is wrong",
            }));
        }
    }
    let has_credentials = access.relay_token.is_some() || accounts.is_some() || keys.any();
    if !has_credentials && may_be_anonymous(access, terms.environment, ask) {
        return Ok(Principal::Anonymous);
    }
    Err(unknown(has_credentials, ask))
}

fn known(access: &Access, right: Right, token: &str) -> Option<Principal> {
    if let Some(expected) = &access.relay_token
        && is_same(expected.expose_secret(), token)
    {
        return Some(Principal::RelayToken);
    }
    if is_relays_own(token) {
        return None;
    }
    if token.starts_with(EPHEMERAL_PREFIX) && right.takes_ephemeral() {
        return Some(Principal::Ephemeral(SecretString::from(token)));
    }
    if token.starts_with(KEY_PREFIX) && access.allow_client_keys {
        return Some(Principal::ClientKey(SecretString::from(token)));
    }
    None
}

/// Takes the same time wherever two strings of one length differ.
fn is_same(expected: &str, given: &str) -> bool {
    expected.as_bytes().ct_eq(given.as_bytes()).into()
}

/// Rule 3 of contract section 2, where no credential is configured.
fn may_be_anonymous(access: &Access, environment: Environment, ask: &Ask<'_>) -> bool {
    if access.allow_anonymous {
        return true;
    }
    if environment.is_production() {
        return false;
    }
    ask.direct_loopback || ask.right.is_exposed()
}

fn unknown(has_credentials: bool, ask: &Ask<'_>) -> Refusal {
    let (cause, message) = match ask.claim {
        Claim::Unreadable => (
            "unreadable credential, or two of them",
            "The credential could not be read. Send exactly one `Authorization: Bearer <credential>` header.",
        ),
        Claim::Token(token) if token.starts_with(KEY_PREFIX) => (
            "an OpenAI key of the client's own",
            "This relay does not take OpenAI keys of its clients. Send a credential of the relay's, or ask the operator about ALLOW_CLIENT_KEYS.",
        ),
        Claim::Token(token) if token.starts_with(EPHEMERAL_PREFIX) => (
            "an ephemeral credential on a route that takes none",
            "An ephemeral OpenAI credential opens realtime and live routes only. Send a credential of the relay's here.",
        ),
        Claim::Token(_) if has_credentials => (
            "wrong token",
            "This relay does not know that credential. Check the key that your client sends: it must be RELAY_TOKEN, a relay key (rk_…), or an access token from /api/v1/auth/login where there are accounts.",
        ),
        Claim::None if has_credentials && ask.is_upgrade => (
            "no credential",
            "This relay needs a credential. Send `Authorization: Bearer <credential>`, or from a page the subprotocol `openai-insecure-api-key.<credential>`; queries are not read for one.",
        ),
        Claim::None if has_credentials => (
            "no credential",
            "This relay needs a credential. Send `Authorization: Bearer <credential>`: RELAY_TOKEN, a relay key (rk_…), or an access token from /api/v1/auth/login where there are accounts.",
        ),
        Claim::None | Claim::Token(_) => (
            "no token is configured, and strangers are not allowed",
            "This relay has no token configured and serves strangers only where it is told to. The operator can set RELAY_TOKEN or SECRET_KEY (better) or ALLOW_ANONYMOUS=true.",
        ),
    };
    Refusal::new(Kind::Unauthorized, message).because(cause)
}

/// Whether a credential claims to be one of the relay's own.
fn is_relays_own(token: &str) -> bool {
    RELAY_PREFIXES
        .iter()
        .any(|prefix| token.starts_with(prefix))
}
