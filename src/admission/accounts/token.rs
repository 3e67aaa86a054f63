//! Access tokens: HS256, by one key that nothing else uses; every claim is required.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::sha256;

/// Who makes and who takes access tokens.
const ISSUER: &str = "openai-relay";
/// What kind of token it is.
const KIND: &str = "access";
/// How far the clocks of replicas may be apart.
const LEEWAY: Duration = Duration::from_secs(30);
/// The longest token that is looked at, in bytes; those made here have some 450.
const LONGEST: usize = 2048;

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claims {
    iss: String,
    aud: String,
    /// The user's id.
    pub(super) sub: String,
    /// The login's id.
    pub(super) sid: String,
    jti: String,
    typ: String,
    iat: u64,
    nbf: u64,
    /// When it ends, in seconds since the epoch.
    pub(super) exp: u64,
}

/// Tokens that were found good, so that a client that sends one again and again is not verified
/// again and again. The older half is forgotten when the younger is full.
#[derive(Default)]
struct Seen {
    young: HashMap<[u8; 32], Arc<Claims>>,
    old: HashMap<[u8; 32], Arc<Claims>>,
}

/// How many tokens each half remembers.
const HALF: usize = 8192;

impl Seen {
    fn get(&mut self, digest: &[u8; 32]) -> Option<Arc<Claims>> {
        if let Some(claims) = self.young.get(digest) {
            return Some(Arc::clone(claims));
        }
        let claims = self.old.remove(digest)?;
        self.put(*digest, Arc::clone(&claims));
        Some(claims)
    }

    fn put(&mut self, digest: [u8; 32], claims: Arc<Claims>) {
        if self.young.len() >= HALF {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest, claims);
    }
}

/// Makes and reads access tokens.
pub(super) struct AccessTokens {
    seen: Mutex<Seen>,
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    life: Duration,
    /// The first part of every token, with the dot behind it.
    head: String,
}

impl AccessTokens {
    /// Tokens by this key that are good for so long.
    pub(super) fn new(key: &[u8; 32], life: Duration) -> AccessTokens {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[ISSUER]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY.as_secs();
        let mut tokens = AccessTokens {
            encoding: EncodingKey::from_secret(key),
            decoding: DecodingKey::from_secret(key),
            validation,
            life,
            seen: Mutex::default(),
            head: String::new(),
        };
        let (sample, _) = tokens.make("", "", 0, u64::MAX);
        tokens.head = sample
            .split_inclusive('.')
            .next()
            .unwrap_or_default()
            .to_owned();
        tokens
    }

    /// A token for a user within a login, and for how many seconds it is good. Times are in
    /// seconds since the epoch; it ends with its login.
    pub(super) fn make(
        &self,
        user_id: &str,
        login_id: &str,
        now: u64,
        login_end: u64,
    ) -> (String, u64) {
        let exp = now.saturating_add(self.life.as_secs()).min(login_end);
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: ISSUER.to_owned(),
            sub: user_id.to_owned(),
            sid: login_id.to_owned(),
            jti: Uuid::new_v4().to_string(),
            typ: KIND.to_owned(),
            iat: now,
            nbf: now,
            exp,
        };
        let token = encode(&Header::new(Algorithm::HS256), &claims, &self.encoding);
        (
            token.expect("strings and numbers become JSON"),
            exp.saturating_sub(now),
        )
    }

    /// Whether a text has the form of a token made here, good or not.
    pub(super) fn is_ours(&self, token: &str) -> bool {
        token.starts_with(&self.head)
    }

    /// What a token says, if it is one of ours and good now, in seconds since the epoch.
    pub(super) fn read(&self, token: &str, now: u64) -> Option<Arc<Claims>> {
        if token.len() > LONGEST || !self.is_ours(token) {
            return None;
        }
        let digest = sha256(token);
        let seen = self.seen().get(&digest);
        if let Some(claims) = seen {
            let is_over = claims.exp.saturating_add(LEEWAY.as_secs()) < now;
            return (!is_over).then_some(claims);
        }
        let claims = Arc::new(self.verify(token, now)?);
        self.seen().put(digest, Arc::clone(&claims));
        Some(claims)
    }

    fn verify(&self, token: &str, now: u64) -> Option<Claims> {
        let claims = decode::<Claims>(token, &self.decoding, &self.validation)
            .ok()?
            .claims;
        let is_sound = claims.typ == KIND
            && !claims.jti.is_empty()
            && !claims.sid.is_empty()
            && claims.iat <= now.saturating_add(LEEWAY.as_secs())
            // Nobody can make one that outlives what the operator allows.
            && claims.exp.saturating_sub(claims.iat) <= self.life.as_secs();
        is_sound.then_some(claims)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn tokens() -> AccessTokens {
        AccessTokens::new(&KEY, Duration::from_secs(3600))
    }

    fn now() -> u64 {
        jsonwebtoken::get_current_timestamp()
    }

    #[test]
    fn a_token_says_who_and_until_when() {
        let (token, life) = tokens().make("user", "login", now(), now() + 10_000);
        assert_eq!(life, 3600);
        let claims = tokens().read(&token, now()).expect("a good token");
        assert_eq!(
            (claims.sub.as_str(), claims.sid.as_str()),
            ("user", "login")
        );
        let (_, life) = tokens().make("user", "login", now(), now() + 10);
        assert_eq!(life, 10, "it ends with its login");
    }

    #[test]
    fn a_token_that_was_good_once_is_not_good_for_ever() {
        let tokens = tokens();
        let (token, _) = tokens.make("user", "login", now(), now() + 10_000);
        assert!(tokens.read(&token, now()).is_some());
        assert!(tokens.read(&token, now() + 3600 + 30).is_some());
        assert!(tokens.read(&token, now() + 3600 + 31).is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_keeps_what_is_used() {
        let mut seen = Seen::default();
        let (token, _) = tokens().make("user", "login", now(), now() + 10_000);
        let claims = tokens().read(&token, now()).expect("a good token");
        let key = |number: u32| sha256(&number.to_string());
        seen.put(key(0), Arc::clone(&claims));
        for number in 1..100_000 {
            seen.put(key(number), Arc::clone(&claims));
            assert!(seen.get(&key(0)).is_some());
        }
        assert!(seen.young.len() + seen.old.len() <= 2 * HALF);
        assert!(seen.get(&key(1)).is_none());
    }

    fn good() -> Value {
        json!({
            "iss": ISSUER, "aud": ISSUER, "sub": "user", "sid": "login", "jti": "1", "typ": KIND,
            "iat": now(), "nbf": now(), "exp": now() + 600,
        })
    }

    fn signed(claims: &Value) -> String {
        encode(
            &Header::new(Algorithm::HS256),
            claims,
            &EncodingKey::from_secret(&KEY),
        )
        .expect("a token")
    }

    #[test]
    fn even_with_the_right_signature_every_claim_counts() {
        assert!(tokens().read(&signed(&good()), now()).is_some());
        for name in [
            "iss", "aud", "sub", "sid", "jti", "typ", "iat", "nbf", "exp",
        ] {
            let mut claims = good();
            claims.as_object_mut().expect("an object").remove(name);
            assert!(tokens().read(&signed(&claims), now()).is_none(), "{name}");
        }
        for (name, value) in [
            ("iss", json!("other")),
            ("aud", json!("other")),
            ("aud", json!(["other"])),
            ("typ", json!("refresh")),
            ("jti", json!("")),
            ("sid", json!("")),
            ("sub", json!(7)),
            ("exp", json!(now() - 31)),
            ("exp", json!((now() + 600).to_string())),
            ("exp", json!(null)),
            ("exp", json!(-1)),
            ("exp", json!(now() + 10 * 365 * 86_400)),
            ("nbf", json!(now() + 60)),
            ("nbf", json!("0")),
            ("iat", json!(now() + 60)),
            ("iat", json!(0)),
            ("role", json!("admin")),
        ] {
            let mut claims = good();
            claims[name] = value.clone();
            assert!(
                tokens().read(&signed(&claims), now()).is_none(),
                "{name}: {value}"
            );
        }
    }
}
