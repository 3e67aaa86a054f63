//! Pages cannot read the answer to a failed upgrade: they get a socket that says why. P12.

use crate::support::ws::{Frame, Socket};
use crate::support::{RELAY_TOKEN, authorization, pair_with, trust};

const LISTED: &str = "https://app.example.com";

async fn told(
    relay: &crate::support::Relay,
    path: &str,
    headers: &[&str],
) -> (serde_json::Value, Frame) {
    let opened = Socket::open(relay.address(), path, headers).await;
    let mut socket = opened.unwrap_or_else(|no| panic!("{path}: {}", no.text()));
    let event = socket.event().await;
    let close = socket.message().await;
    socket.send(&close).await;
    assert!(socket.has_ended().await, "{path}");
    (event, close)
}

#[tokio::test]
async fn a_page_reads_why_it_was_refused_and_with_the_codes_of_its_path() {
    let (upstream, relay) =
        pair_with(&[("ALLOWED_ORIGINS", LISTED), ("OPENAI_READ_TIMEOUT", "4")]).await;
    let origin = format!("Origin: {LISTED}");
    let wrong = "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.wrong";
    let right = format!("Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{RELAY_TOKEN}");
    for (path, protocol, script, code, error) in [
        ("/v1/realtime", wrong, "echo", 3000, "invalid_api_key"),
        ("/realtime", wrong, "echo", 1008, "invalid_api_key"),
        ("/", wrong, "echo", 1008, "invalid_api_key"),
        ("/v1/realtime", &right, "garbage", 1011, "upstream_broken"),
        ("/realtime", &right, "hang=head", 1011, "upstream_timeout"),
        (
            "/v1/realtime",
            &right,
            "status=401",
            3000,
            "invalid_api_key",
        ),
        (
            "/realtime",
            &right,
            "status=429",
            1008,
            "rate_limit_exceeded",
        ),
        (
            "/v1/realtime",
            &right,
            "status=500 html",
            1011,
            "upstream_refused",
        ),
    ] {
        let script = format!("X-Fake-Script: {script}");
        let (event, close) = told(&relay, path, &[&origin, protocol, &script]).await;
        assert_eq!(event["type"], "error", "{path} {script}: {event}");
        assert_eq!(event["error"]["code"], error, "{path} {script}: {event}");
        assert!(event["error"]["message"].is_string());
        let (told, reason) = close.closes_with();
        assert_eq!(told, code, "{path} {script}: {reason}");
        assert!(reason.ends_with(error), "{reason}");
    }
    assert!(upstream.sockets().is_empty());
}

#[tokio::test]
async fn a_page_hears_of_a_relay_that_is_full() {
    let (_upstream, relay) = pair_with(&[("MAX_CONNECTIONS", "1")]).await;
    let _only = super::echoing(&relay).await;
    let key = authorization();
    for (path, code) in [("/v1/realtime", 1013), ("/realtime", 1008)] {
        let (event, close) = told(&relay, path, &[&key, "Origin: https://a.example"]).await;
        assert_eq!(event["error"]["code"], "capacity_reached");
        assert_eq!(close.closes_with().0, code);
    }
}

#[tokio::test]
async fn only_listed_pages_open_sockets_whatever_carries_the_credential() {
    let (upstream, relay) = pair_with(&[("ALLOWED_ORIGINS", LISTED)]).await;
    let key = authorization();
    let protocol =
        format!("Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{RELAY_TOKEN}");
    let origins = [
        (None, true),
        (Some("https://app.example.com"), true),
        (Some("HTTPS://APP.EXAMPLE.COM"), true),
        (Some("https://app.example.com.evil.test"), false),
        (Some("http://app.example.com"), false),
        (Some("https://app.example.com:8443"), false),
        (Some("null"), false),
        (Some("https://evil.test"), false),
    ];
    let paths = ["/v1/realtime?model=m", "/realtime?model=m", "/"];
    let mut cases = 0;
    for (origin, is_listed) in origins {
        let origin = origin.map(|origin| format!("Origin: {origin}"));
        for carrier in [&key, &protocol] {
            for path in paths {
                let mut headers = vec![carrier.as_str(), "X-Fake-Script: echo"];
                headers.extend(origin.as_deref());
                let opened = Socket::open(relay.address(), path, &headers).await;
                let case = format!("{origin:?} {carrier} {path}");
                match opened {
                    Ok(_) => assert!(is_listed, "{case}"),
                    Err(answer) => {
                        assert!(!is_listed, "{case}: {}", answer.text());
                        let refusal = (answer.status, answer.code());
                        assert_eq!(refusal, (403, "origin_not_allowed".to_owned()), "{case}");
                    }
                }
                let dialled = upstream.take_received().len();
                assert_eq!(dialled, usize::from(is_listed), "{case}");
                cases += 1;
            }
        }
    }
    let two = [
        "Origin: https://app.example.com",
        "Origin: https://evil.test",
        key.as_str(),
    ];
    assert!(Socket::open(relay.address(), "/", &two).await.is_err());
    assert!(upstream.received().is_empty());
    trust::record(
        "P12",
        &format!("{cases} cases of origin, carrier and path exact; refused ones caused no dial"),
    );
}
