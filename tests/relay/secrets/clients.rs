//! P18: clients' secrets do not show in the log and go up only where they must.

use serde_json::json;

use super::*;
use crate::support::ws::{Frame, upgrade};
use crate::support::{RELAY_TOKEN, authorization, pair_with, request, trust};

/// The twelve shapes that secrets come in; the last ones look like nothing in particular.
pub(super) const SHAPES: [&str; 12] = [
    "sk-aB3dE5fG7hJ9kL1mN3pQ5rS7",
    "sk-proj-aB3dE5fG7hJ9kL1mN3pQ",
    "sk-svcacct-aB3dE5fG7hJ9kL1m",
    "rk_abcdefghij0123456789klmnop_1a2b",
    "ek_68af296e8e408191a1120ab6383263c2",
    "ek_relay_AbCdEfGhIjKl0123456789",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.c2lnbmF0dXJlMTIzNDU2Nzg5MA",
    "dXNlcjpodW50ZXIyLXBhc3N3b3Jk",
    "s3ss10n-c00k13-v4lu3-abcdef",
    "icePwd0123456789abcdefgh",
    "hunter2-plain-password-0123456789",
    RELAY_TOKEN,
];

/// A place that a secret may stand in: the request, and whether the contract sends it up there.
struct Place {
    name: &'static str,
    request: Vec<u8>,
    goes_up: bool,
}

fn places(secret: &str) -> Vec<Place> {
    let good = authorization();
    let place = |name, goes_up, method: &str, target: &str, lines: &[&str], body: &str| Place {
        name,
        request: request(method, target, lines, body.as_bytes()),
        goes_up,
    };
    let with = |line: String| [good.clone(), line];
    let header = |name, goes_up, line: String| {
        let lines = with(line);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        place(name, goes_up, "GET", "/v1/models", &lines, "")
    };
    let alone = |name, line: String| place(name, false, "GET", "/v1/models", &[&line], "");
    let sdp = format!("v=0\r\na=ice-ufrag:{secret}\r\na=ice-pwd:{secret}\r\n");
    let offer = json!({ "sdp": sdp, "token": secret, "model": secret }).to_string();
    let list = format!("Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{secret}");
    let mut socket = upgrade("/v1/realtime", &[&list, "Connection: close"]).into_bytes();
    // Where the socket opens, it closes at once.
    socket.extend(Frame::close(1000, "").masked(*b"mask"));
    let is_openais = secret.starts_with("ek_") && !secret.starts_with("ek_relay_");
    let query = format!("/v1/models?api_key={secret}&token={secret}");
    let user = format!("http://user:{secret}@relay.test/v1/models");
    let outside = format!("/nothing?token={secret}");
    vec![
        alone("basic", format!("Authorization: Basic {secret}")),
        alone("bare", format!("Authorization: {secret}")),
        alone(
            "twice",
            format!("Authorization: Bearer {secret}\r\nAuthorization: Bearer {secret}"),
        ),
        alone("host", format!("{good}\r\nHost: user:{secret}@relay.test")),
        header(
            "proxy",
            false,
            format!("Proxy-Authorization: Basic {secret}"),
        ),
        header(
            "cookie",
            false,
            format!("Cookie: session={secret}; b={secret}"),
        ),
        header(
            "referer",
            false,
            format!("Referer: https://u:{secret}@page.example/?t={secret}"),
        ),
        header("origin", false, format!("Origin: https://{secret}.example")),
        header(
            "forwarded",
            false,
            format!("Forwarded: for={secret};by={secret}"),
        ),
        header("own header", true, format!("X-Api-Key: {secret}")),
        header(
            "protocol",
            true,
            format!("Sec-WebSocket-Protocol: openai-insecure-api-key.{secret}"),
        ),
        place("query", true, "GET", &query, &[&good], ""),
        place("query of an own route", false, "GET", &outside, &[], ""),
        place("body", true, "POST", "/v1/_fake/echo", &[&good], secret),
        place(
            "broken body",
            true,
            "POST",
            "/v1/chat/completions",
            &[&good],
            secret,
        ),
        place("userinfo", false, "GET", &user, &[&good], ""),
        place("offer", true, "POST", "/offer", &[], &offer),
        place("broken offer", false, "POST", "/offer", &[&good], secret),
        place(
            "offer with a token",
            true,
            "POST",
            "/offer",
            &[&good],
            &json!({ "sdp": sdp }).to_string(),
        ),
        Place {
            name: "socket",
            request: socket,
            goes_up: is_openais,
        },
    ]
}

#[tokio::test]
async fn secrets_of_clients_never_show_in_the_log_wherever_they_travel() {
    let (_upstream, mut relay) = pair_with(&[("LOG_LEVEL", "trace")]).await;
    for secret in SHAPES {
        for place in places(secret) {
            all_bytes(&relay, &place.request).await;
            let log = relay.log_text();
            let line = log.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{} of {secret}", place.name);
        }
    }
    all_bytes(
        &relay,
        &request("GET", "/v1/last", &[&authorization()], b""),
    )
    .await;
    relay.line(|line| line["path"] == "/v1/last").await;
    let log = relay.log_text();
    let leaked: Vec<&str> = SHAPES
        .into_iter()
        .filter(|secret| log.contains(secret))
        .collect();
    assert!(leaked.is_empty(), "{leaked:?}");
    trust::record(
        "P18",
        "12 shapes in every place of a request at trace level, 10,000 generated lines: 0 leaked",
    );
}

#[tokio::test]
async fn secrets_of_clients_go_up_only_where_the_contract_sends_them() {
    let (upstream, relay) = pair_with(&[]).await;
    for secret in SHAPES {
        for place in places(secret).into_iter().filter(|place| !place.goes_up) {
            all_bytes(&relay, &place.request).await;
            for received in upstream.take_received() {
                let head = String::from_utf8_lossy(&received.raw_head).into_owned();
                assert!(!head.contains(secret), "{} of {secret}: {head}", place.name);
                assert!(!holds(&received.body, secret), "{} of {secret}", place.name);
            }
        }
    }
}

#[tokio::test]
async fn a_credential_in_the_subprotocol_of_a_plain_request_never_goes_up() {
    // As a proxy in front sends it that takes `Upgrade` away from a handshake.
    let (upstream, relay) = pair_with(&[]).await;
    let protocol =
        format!("Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{RELAY_TOKEN}");
    let bytes = request("GET", "/v1/realtime", &[&authorization(), &protocol], b"");
    all_bytes(&relay, &bytes).await;
    for received in upstream.take_received() {
        let head = String::from_utf8_lossy(&received.raw_head).into_owned();
        assert!(!head.contains(RELAY_TOKEN), "{head}");
    }
}

#[tokio::test]
async fn a_token_with_the_relays_prefixes_never_goes_up_from_any_carrier() {
    let (upstream, relay) = pair_with(&[("RELAY_TOKEN", ""), ("ALLOW_ANONYMOUS", "true")]).await;
    for secret in SHAPES
        .into_iter()
        .filter(|shape| shape.starts_with("rk_") || shape.starts_with("ek_relay_"))
    {
        let bearer = format!("Authorization: Bearer {secret}");
        let offer = json!({ "sdp": "v=0\r\n", "token": secret }).to_string();
        for bytes in [
            request("GET", "/v1/models", &[&bearer], b""),
            request("POST", "/v1/realtime/calls", &[&bearer], b"v=0\r\n"),
            request("POST", "/offer", &[], offer.as_bytes()),
        ] {
            all_bytes(&relay, &bytes).await;
            assert!(upstream.take_received().is_empty(), "{secret} went up");
        }
    }
}

#[tokio::test]
async fn a_secret_in_the_path_is_cut_out_of_the_log() {
    let (_upstream, mut relay) = pair_with(&[("LOG_LEVEL", "trace")]).await;
    for secret in &SHAPES[..7] {
        for path in [
            format!("/v1/{secret}/x"),
            format!("/nothing/{secret}"),
            format!("/v1/../{secret}"),
        ] {
            all_bytes(&relay, &request("GET", &path, &[&authorization()], b"")).await;
        }
    }
    all_bytes(
        &relay,
        &request("GET", "/v1/last", &[&authorization()], b""),
    )
    .await;
    relay.line(|line| line["path"] == "/v1/last").await;
    let log = relay.log_text();
    let leaked: Vec<&str> = SHAPES[..7]
        .iter()
        .copied()
        .filter(|secret| log.contains(secret))
        .collect();
    assert!(leaked.is_empty(), "{leaked:?}");
    assert!(
        log.contains("\"path\":\"/v1/[redacted]"),
        "the rest of the path stays"
    );
}
