//! P21: forged access tokens are refused, whichever way they were forged.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac::{HMAC_SHA256, HMAC_SHA384, HMAC_SHA512, Key, sign};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::support::people::SECRET_KEY;

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock")
        .as_secs()
}

/// The key that access tokens are signed with, as `admission::accounts::keys` derives it.
fn right_key() -> Vec<u8> {
    let secret = Key::new(HMAC_SHA256, SECRET_KEY.as_bytes());
    sign(&secret, b"openai-relay access token 1")
        .as_ref()
        .to_vec()
}

fn part(json: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(json.to_string())
}

/// A token of these parts, signed by HS256.
fn signed(head: &str, claims: &str, key: &[u8]) -> String {
    let text = format!("{head}.{claims}");
    let tag = sign(&Key::new(HMAC_SHA256, key), text.as_bytes());
    format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

/// What is in a good token.
fn parts(token: &str) -> (String, Value) {
    let mut parts = token.split('.');
    let head = parts.next().expect("a head").to_owned();
    let claims = parts.next().expect("claims");
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).expect("base64");
    (head, serde_json::from_slice(&claims).expect("JSON"))
}

/// Tokens with the right claims and a head of the forger's.
fn other_heads(claims: &Value) -> Vec<(String, String)> {
    let key = right_key();
    let mut forged = Vec::new();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let head = part(&json!({ "typ": "JWT", "alg": alg }));
        forged.push((
            format!("alg {alg:?}, no signature"),
            format!("{head}.{}.", part(claims)),
        ));
        forged.push((
            format!("alg {alg:?}, signed"),
            signed(&head, &part(claims), &key),
        ));
    }
    for alg in [
        "HS384", "HS512", "RS256", "ES256", "PS256", "EdDSA", "hs256",
    ] {
        let head = part(&json!({ "typ": "JWT", "alg": alg }));
        forged.push((format!("alg {alg}"), signed(&head, &part(claims), &key)));
    }
    for (name, algorithm) in [("HS384", HMAC_SHA384), ("HS512", HMAC_SHA512)] {
        let text = format!(
            "{}.{}",
            part(&json!({ "typ": "JWT", "alg": name })),
            part(claims)
        );
        let tag = sign(&Key::new(algorithm, &key), text.as_bytes());
        let tag = BASE64_URL_SAFE_NO_PAD.encode(tag.as_ref());
        forged.push((format!("{name} by the right key"), format!("{text}.{tag}")));
    }
    for (name, value) in [
        ("kid", json!("../../../../dev/null")),
        ("kid", json!("' OR 1=1 --")),
        ("kid", json!("/proc/self/environ")),
        ("jku", json!("https://evil.example/keys.json")),
        ("x5u", json!("https://evil.example/cert.pem")),
        ("jwk", json!({ "kty": "oct", "k": "AAAA" })),
        ("crit", json!(["exp"])),
        ("cty", json!("JWT")),
        ("zip", json!("DEF")),
    ] {
        let mut head = json!({ "typ": "JWT", "alg": "HS256" });
        head[name] = value.clone();
        forged.push((
            format!("{name}: {value}"),
            signed(&part(&head), &part(claims), &key),
        ));
        forged.push((
            format!("{name}: {value}, by no key"),
            signed(&part(&head), &part(claims), b""),
        ));
    }
    forged
}

/// Tokens with the right head and signature, and claims that no token of the relay's has.
fn other_claims(head: &str, claims: &Value) -> Vec<(String, String)> {
    let key = right_key();
    let mut forged = Vec::new();
    for name in [
        "iss", "aud", "sub", "sid", "jti", "typ", "iat", "nbf", "exp",
    ] {
        let mut claims = claims.clone();
        claims.as_object_mut().expect("an object").remove(name);
        forged.push((
            format!("without {name}"),
            signed(head, &part(&claims), &key),
        ));
    }
    for (name, value) in [
        ("exp", json!(now() - 3600)),
        ("exp", json!((now() + 600).to_string())),
        ("exp", json!(now() as f64 + 600.5)),
        ("exp", json!(null)),
        ("exp", json!([now() + 600])),
        ("exp", json!(now() + 10 * 365 * 86_400)),
        ("exp", json!(u64::MAX)),
        ("nbf", json!(now() + 3600)),
        ("nbf", json!("0")),
        ("iat", json!(now() + 3600)),
        ("aud", json!("other")),
        ("aud", json!(["other", "another"])),
        ("iss", json!("other")),
        ("typ", json!("refresh")),
        ("sub", json!("00000000-0000-4000-8000-000000000000")),
        ("sub", json!("' OR '1'='1")),
        ("sid", json!("00000000-0000-4000-8000-000000000000")),
        ("sid", json!("' OR '1'='1")),
        ("role", json!("admin")),
    ] {
        let mut claims = claims.clone();
        claims[name] = value.clone();
        forged.push((
            format!("{name}: {value}"),
            signed(head, &part(&claims), &key),
        ));
    }
    forged
}

/// Tokens that somebody without the key could make of a good one.
fn without_the_key(token: &str, head: &str, claims: &Value) -> Vec<(String, String)> {
    let mut forged = Vec::new();
    for (name, key) in [
        ("no key", &b""[..]),
        ("the bare SECRET_KEY", SECRET_KEY.as_bytes()),
        ("a guess", b"secret"),
        ("zeros", &[0; 32]),
    ] {
        forged.push((format!("by {name}"), signed(head, &part(claims), key)));
    }
    let (text, tag) = token.rsplit_once('.').expect("three parts");
    let mut admin = claims.clone();
    admin["sub"] = json!("somebody-else");
    for (name, forgery) in [
        ("empty signature", format!("{text}.")),
        ("no signature", text.to_owned()),
        ("half a signature", format!("{text}.{}", &tag[..20])),
        ("a signature too long", format!("{token}AAAA")),
        ("another signature", format!("{text}.{}", "A".repeat(43))),
        (
            "other claims, same signature",
            format!("{head}.{}.{tag}", part(&admin)),
        ),
        ("four parts", format!("{token}.{tag}")),
        ("padding", format!("{token}=")),
        ("plain base64", {
            let claims = BASE64_STANDARD.encode(claims.to_string());
            format!("{head}.{claims}.{tag}")
        }),
        ("the parts swapped", format!("{tag}.{text}")),
        ("a million bytes", format!("{text}.{}", "A".repeat(1 << 20))),
        (
            "sixty thousand bytes",
            format!("{text}.{}", "A".repeat(60_000)),
        ),
        (
            "claims that are no JSON",
            signed(head, "bm9wZQ", &right_key()),
        ),
        ("nothing but dots", "..".to_owned()),
    ] {
        forged.push((name.to_owned(), forgery));
    }
    forged
}

#[tokio::test]
async fn forged_tokens_open_nothing() {
    let mut people = People::start(Home::Sqlite).await;
    let good = people.join("alice").await;
    let (head, claims) = parts(&good.access);
    let resigned = signed(&head, &part(&claims), &right_key());
    let resigned = Tokens {
        access: resigned,
        ..good.clone()
    };
    assert!(
        people.opens(&resigned).await,
        "the corpus knows the right key"
    );
    people.upstream.take_received();
    let mut forged = other_heads(&claims);
    forged.extend(other_claims(&head, &claims));
    forged.extend(without_the_key(&good.access, &head, &claims));
    assert!(forged.len() >= 60);
    for (name, token) in &forged {
        for path in ["/v1/models", "/api/v1/auth/me"] {
            let answer = people.call("GET", path, Some(token), None).await;
            let is_refused = answer.status == 401 || (answer.status == 431 && token.len() > 60_000);
            assert!(
                is_refused,
                "{name} on {path}: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
    assert!(people.upstream.take_received().is_empty());
    assert!(people.opens(&good).await);
    people
        .relay
        .line(|line| line["path"] == "/v1/models" && line["status"] == 200)
        .await;
    let mut took: Vec<f64> = people
        .relay
        .exchanges()
        .iter()
        .filter(|line| line["path"] == "/v1/models" && line["status"] == 401)
        .filter_map(|line| line["total_ms"].as_f64())
        .collect();
    took.sort_by(f64::total_cmp);
    let median = took[took.len() / 2];
    trust::record(
        "P21",
        &format!(
            "{} forged tokens: all refused, half of them within {median:.2} ms",
            forged.len()
        ),
    );
}
