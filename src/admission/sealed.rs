//! Sealed tokens, `ek_relay_…`: what one may do, and until when, is inside, so that any relay with the
//! key opens them and nothing of them is kept. Only the standing of their maker is asked for.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::accounts::keys::hex;
use super::keys::rules::RulesText;
use super::sealing::TokenTerms;

/// Starts every sealed token.
pub(super) const PREFIX: &str = "ek_relay_";
/// What the sealing is for, and its form.
const PURPOSE: &[u8] = b"openai-relay sealed token 1";
/// Bytes of a nonce.
const NONCE: usize = 12;
/// The longest token that is looked at, in bytes.
const LONGEST: usize = 16 * 1024;

/// What a sealed token says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Contents {
    /// Who made it.
    #[serde(rename = "m")]
    pub(super) maker: MakerName,
    /// Until when it starts anything, in seconds since the epoch.
    #[serde(rename = "e")]
    pub(super) expires_at_s: i64,
    /// What it may be used for, beside what its maker may.
    #[serde(rename = "r", default)]
    pub(super) rules: RulesText,
    /// The model that its session is of.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<String>,
    /// OpenAI's own ephemeral credential, which goes upstream.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// Who made a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum MakerName {
    /// A holder of `RELAY_TOKEN`, which was this one: a keyed hash.
    #[serde(rename = "t")]
    RelayToken(String),
    /// Somebody logged in.
    #[serde(rename = "l")]
    Login { user: String, login: String },
    /// The holder of a relay key as it was in this version.
    #[serde(rename = "k")]
    Key { id: String, version: i64 },
}

impl Contents {
    pub(super) fn new(
        maker: MakerName,
        expires_at_s: i64,
        terms: &TokenTerms,
        secret: Option<&str>,
    ) -> Contents {
        Contents {
            maker,
            expires_at_s,
            rules: terms.rules.clone(),
            model: terms.model.clone(),
            secret: secret.map(str::to_owned),
        }
    }

    /// OpenAI's credential, if there is one inside.
    pub(super) fn take_secret(&mut self) -> Option<SecretString> {
        self.secret.take().map(SecretString::from)
    }
}

/// Seals tokens and opens them.
pub(super) struct Seal {
    /// The first seals, all of them open.
    keys: Vec<RandomizedNonceKey>,
    fingerprint: Key,
}

impl Seal {
    /// By these keys, the newest first; `None` where there is none.
    pub(super) fn new(keys: &[SecretString]) -> Option<Seal> {
        let derived: Vec<[u8; 32]> = keys.iter().map(derive).collect();
        let fingerprint = Key::new(HMAC_SHA256, derived.first()?);
        let keys = derived
            .iter()
            .map(|key| RandomizedNonceKey::new(&AES_256_GCM_SIV, key));
        Some(Seal {
            keys: keys.collect::<Result<_, _>>().ok()?,
            fingerprint,
        })
    }

    /// What stands for a secret in a token that must end with it.
    pub(super) fn fingerprint(&self, secret: &str) -> String {
        hex(&sign(&self.fingerprint, secret.as_bytes()).as_ref()[..16])
    }

    /// A token that says this.
    pub(super) fn close(&self, contents: &Contents) -> Option<String> {
        let mut sealed = serde_json::to_vec(contents).ok()?;
        let key = self.keys.first()?;
        let nonce = key.seal_in_place_append_tag(Aad::from(PURPOSE), &mut sealed);
        let token = [&nonce.ok()?.as_ref()[..], &sealed].concat();
        Some(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(token)))
    }

    /// What a token says; `None` for one that was not sealed by one of the keys.
    pub(super) fn open(&self, token: &str) -> Option<Contents> {
        if token.len() > LONGEST {
            return None;
        }
        let token = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
        let (nonce, sealed) = token.split_at_checked(NONCE)?;
        self.keys.iter().find_map(|key| {
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut sealed = sealed.to_vec();
            let opened = key.open_in_place(nonce, Aad::from(PURPOSE), &mut sealed);
            serde_json::from_slice(opened.ok()?).ok()
        })
    }
}

fn derive(key: &SecretString) -> [u8; 32] {
    let key = Key::new(HMAC_SHA256, key.expose_secret().as_bytes());
    let mut derived = [0; 32];
    derived.copy_from_slice(sign(&key, PURPOSE).as_ref());
    derived
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(keys: &[&str]) -> Seal {
        let keys: Vec<SecretString> = keys.iter().map(|key| SecretString::from(*key)).collect();
        Seal::new(&keys).expect("keys")
    }

    fn contents() -> Contents {
        let maker = MakerName::Key {
            id: "id".to_owned(),
            version: 3,
        };
        Contents::new(
            maker,
            1_790_000_000,
            &TokenTerms::default(),
            Some("ek_upstream"),
        )
    }

    #[test]
    fn what_was_sealed_is_opened_by_any_relay_with_the_key_and_shows_nothing() {
        let token = seal(&["one"]).close(&contents()).expect("a token");
        let mut opened = seal(&["one"]).open(&token).expect("opened");
        assert_eq!(opened.maker, contents().maker);
        assert_eq!(opened.expires_at_s, 1_790_000_000);
        let secret = opened.take_secret().expect("a secret");
        assert_eq!(secret.expose_secret(), "ek_upstream");
        let bytes = URL_SAFE_NO_PAD
            .decode(&token[PREFIX.len()..])
            .expect("base64");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains("ek_") && !text.contains("id"), "{text}");
        assert_ne!(token, seal(&["one"]).close(&contents()).expect("another"));
    }

    #[test]
    fn keys_rotate_without_a_gap() {
        let old = seal(&["old"]).close(&contents()).expect("a token");
        let both = seal(&["new", "old"]);
        let new = both.close(&contents()).expect("a token");
        assert!(both.open(&old).is_some() && both.open(&new).is_some());
        assert!(seal(&["new"]).open(&new).is_some());
        assert!(seal(&["new"]).open(&old).is_none());
        assert!(seal(&["old"]).open(&new).is_none());
        assert!(Seal::new(&[]).is_none());
    }

    #[test]
    fn no_bit_of_a_token_can_be_another_one() {
        let seal = seal(&["one"]);
        let token = seal.close(&contents()).expect("a token");
        let bytes = URL_SAFE_NO_PAD
            .decode(&token[PREFIX.len()..])
            .expect("base64");
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                let changed = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(changed));
                assert!(seal.open(&changed).is_none(), "bit {bit} of byte {at}");
            }
        }
        for cut in [
            &token[..token.len() - 4],
            PREFIX,
            "ek_relay_AAAA",
            &token[3..],
            "",
        ] {
            assert!(seal.open(cut).is_none(), "{cut}");
        }
        assert!(
            seal.open(&format!("{token}{}", "A".repeat(LONGEST)))
                .is_none()
        );
    }
}
