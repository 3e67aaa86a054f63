//! Keys that follow from `SECRET_KEY`, one for each purpose, and what is made with them.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};

/// Starts a refresh token, so that people and scanners recognise one.
const REFRESH_PREFIX: &str = "rt_";
/// Starts the code of an invite.
const INVITE_PREFIX: &str = "invite_";

/// One key for each purpose.
pub(super) struct Keys {
    /// Signs access tokens (HS256).
    pub(super) access: [u8; 32],
    /// Makes a refresh token's successor.
    refresh: Key,
    /// Hides addresses and names in tables and in memory.
    blind: Key,
}

impl Keys {
    /// The keys that follow from this secret.
    pub(super) fn derive(secret: &str) -> Keys {
        let secret = Key::new(HMAC_SHA256, secret.as_bytes());
        let derived = |purpose: &str| {
            let mut key = [0; 32];
            key.copy_from_slice(sign(&secret, purpose.as_bytes()).as_ref());
            key
        };
        Keys {
            access: derived("openai-relay access token 1"),
            refresh: Key::new(HMAC_SHA256, &derived("openai-relay refresh token 1")),
            blind: Key::new(HMAC_SHA256, &derived("openai-relay blind index 1")),
        }
    }

    /// The token that takes another one's place: always the same, and known to nobody without
    /// the key.
    pub(super) fn successor(&self, token: &str) -> String {
        format!(
            "{REFRESH_PREFIX}{}",
            hex(sign(&self.refresh, token.as_bytes()).as_ref())
        )
    }

    /// What stands for a text where the text itself should not be kept.
    pub(super) fn blind(&self, kind: &str, text: &str) -> [u8; 16] {
        let mut short = [0; 16];
        let tag = sign(&self.blind, format!("{kind}\0{text}").as_bytes());
        short.copy_from_slice(&tag.as_ref()[..16]);
        short
    }

    /// The same, for tables.
    pub(super) fn blind_text(&self, kind: &str, text: &str) -> String {
        hex(&self.blind(kind, text))
    }
}

/// A fresh refresh token: 256 bits.
pub(super) fn new_refresh_token() -> String {
    format!("{REFRESH_PREFIX}{}", hex(&random::<32>()))
}

/// A fresh code of an invite: 128 bits.
pub(super) fn new_invite_code() -> String {
    format!("{INVITE_PREFIX}{}", hex(&random::<16>()))
}

/// A fresh password for somebody who will change it: 96 bits.
pub(super) fn new_password() -> String {
    hex(&random::<12>())
}

/// What is kept of a secret that is random itself and so needs no slow hash.
pub(in crate::admission) fn hash(secret: &str) -> String {
    hex(&sha256(secret))
}

/// SHA-256.
pub(in crate::admission) fn sha256(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    bytes
}

/// Random bytes from the operating system's seed.
pub(in crate::admission) fn random<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    // Fails only where the machine has no source of randomness, and then nothing here is safe.
    aws_lc_rs::rand::fill(&mut bytes).expect("a source of randomness");
    bytes
}

/// In hexadecimal.
pub(in crate::admission) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15].map(|half| char::from(DIGITS[usize::from(half)])));
    digits.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_depends_on_the_token_and_the_key_alone() {
        let (one, other) = (Keys::derive("one"), Keys::derive("other"));
        assert_eq!(one.successor("rt_a"), one.successor("rt_a"));
        assert_ne!(one.successor("rt_a"), one.successor("rt_b"));
        assert_ne!(one.successor("rt_a"), other.successor("rt_a"));
        assert_eq!(one.successor("rt_a").len(), new_refresh_token().len());
    }

    #[test]
    fn no_two_purposes_share_a_key() {
        let keys = Keys::derive("secret");
        assert_ne!(keys.blind("name", "x"), keys.blind("address", "x"));
        assert_eq!(hash("abc").len(), 64);
        assert!(hash("abc").starts_with("ba7816bf"), "{}", hash("abc"));
    }
}
