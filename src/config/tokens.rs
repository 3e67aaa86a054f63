//! The rows of sealed tokens, and what they are sealed with.

use secrecy::{ExposeSecret, SecretString};

use super::draft::{Draft, put};
use super::row::{PLAIN, Row, Section};

/// The shortest key, in bytes.
const SHORTEST: usize = 32;

/// Sealed tokens.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// What they are sealed with, the newest first; none where nothing can be sealed.
    pub keys: Vec<SecretString>,
    /// What callers get who make an OpenAI credential; `None` for what suits their own.
    pub client_secrets: Option<ClientSecrets>,
}

/// What callers get who make an OpenAI credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientSecrets {
    /// OpenAI's own.
    Passthrough,
    /// A token of the relay's own, with that inside.
    Sealed,
}

/// Sealed tokens.
pub(super) const TOKENS: &[Row] = &[
    Row {
        name: "TOKEN_KEY",
        accepts: "one key or several separated by commas, each of at least 32 bytes, for instance from `openssl rand -hex 32`",
        help: "What sealed tokens (`ek_relay_…`) are sealed with: the same on every replica. Of several keys the first seals and all \
               of them open, so that a key can be changed without a gap. Unset, it follows from `SECRET_KEY`, else from `RELAY_TOKEN`.",
        secret: true,
        section: Section::Access,
        set: |draft, text| put(&mut draft.config.tokens.keys, keys(text)),
        ..PLAIN
    },
    Row {
        name: "CLIENT_SECRETS",
        accepts: "passthrough or sealed",
        help: "What callers get from `POST /v1/realtime/client_secrets`: `passthrough` OpenAI's own ephemeral credential, `sealed` a \
               token of the relay's with that inside. Unset, holders of `RELAY_TOKEN` get OpenAI's, accounts and relay keys the relay's. \
               No relay key gets OpenAI's that has a rule which OpenAI knows nothing of.",
        section: Section::Access,
        set: |draft, text| {
            put(
                &mut draft.config.tokens.client_secrets,
                client_secrets(text).map(Some),
            )
        },
        ..PLAIN
    },
];

/// Finds something to seal with once everything is read.
pub(super) fn settle(draft: &mut Draft, errors: &mut Vec<String>) {
    let config = &mut draft.config;
    let secret_key = config.accounts.as_ref().map(|one| one.secret_key.clone());
    let relay_token = config.access.relay_token.clone();
    let others = [&secret_key, &relay_token, &config.upstream.api_key];
    let is_other = |key: &SecretString| {
        let key = key.expose_secret();
        others.iter().any(|other| {
            other
                .as_ref()
                .is_some_and(|other| other.expose_secret() == key)
        })
    };
    if config.tokens.keys.iter().any(is_other) {
        errors.push(
            "TOKEN_KEY: it is the same as OPENAI_API_KEY, SECRET_KEY or RELAY_TOKEN, so whoever holds that could make any token; \
             make one with `openssl rand -hex 32`"
                .to_owned(),
        );
    }
    if config.tokens.keys.is_empty() {
        config.tokens.keys = secret_key.or(relay_token).into_iter().collect();
    }
}

fn keys(text: &str) -> Result<Vec<SecretString>, String> {
    let keys: Vec<&str> = text.split(',').map(str::trim).collect();
    if keys.iter().any(|key| key.len() < SHORTEST) {
        return Err(
            "has a key shorter than 32 bytes; make one with `openssl rand -hex 32`".to_owned(),
        );
    }
    Ok(keys.into_iter().map(SecretString::from).collect())
}

fn client_secrets(text: &str) -> Result<ClientSecrets, String> {
    match text.to_ascii_lowercase().as_str() {
        "passthrough" => Ok(ClientSecrets::Passthrough),
        "sealed" => Ok(ClientSecrets::Sealed),
        _ => Err("is neither passthrough nor sealed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_long_and_in_the_order_in_which_they_stand() {
        let (new, old) = ("n".repeat(32), "o".repeat(40));
        let read = keys(&format!("{new}, {old}")).expect("two keys");
        let read: Vec<&str> = read.iter().map(ExposeSecret::expose_secret).collect();
        assert_eq!(read, [&new, &old]);
        for bad in ["", "short", &format!("{new},"), &format!("{new},short")] {
            assert!(keys(bad).is_err(), "{bad}");
        }
    }
}
