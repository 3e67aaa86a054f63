//! How a limit is told of, at every door, and what it costs to be refused.

use super::{from, models, offer, retry_after};
use crate::support::ws::Socket;
use crate::support::{RELAY_TOKEN, authorization, get, pair_with};

const PAGE: &str = "https://app.example.com";

#[tokio::test]
async fn sdks_read_openais_own_error_and_when_to_come_again() {
    let (upstream, mut relay) = pair_with(&[("RATE_LIMITS", "models=1/1m")]).await;
    assert_eq!(models(&relay).await.status, 200);
    upstream.take_received();
    let refused = models(&relay).await;
    assert_eq!(refused.status, 429);
    let error = &refused.json()["error"];
    assert_eq!(error["type"], "rate_limit_error");
    assert_eq!(error["code"], "rate_limit_exceeded");
    assert!(error["param"].is_null());
    let message = error["message"].as_str().expect("a message");
    assert!(
        message.contains("1 models requests of one user in 60s"),
        "{message}"
    );
    assert!((1..=60).contains(&retry_after(&refused)));
    assert_eq!(refused.header("x-ratelimit-limit-requests"), Some("1"));
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), Some("0"));
    assert!(
        refused
            .header("x-ratelimit-reset-requests")
            .is_some_and(|reset| reset.ends_with('s'))
    );
    assert_eq!(refused.header("x-should-retry"), None);
    let line = relay.line(|line| line["status"] == 429).await;
    assert_eq!(line["subject"], "relay-token", "{line}");
    assert_eq!(line["cause"], "models=1/1m per user", "{line}");
    assert!(upstream.take_received().is_empty(), "it never left");
}

#[tokio::test]
async fn pages_can_read_a_refusal_on_every_route() {
    let limits = "all=1/1h per ip";
    let variables = [("RATE_LIMITS", limits), ("ALLOWED_ORIGINS", PAGE)];
    let (_upstream, relay) = pair_with(&variables).await;
    let (key, origin) = (authorization(), format!("Origin: {PAGE}"));
    assert_eq!(models(&relay).await.status, 200);
    let answers = [
        get(relay.address(), "/v1/models", &[&key, &origin]).await,
        offer(&relay, &[&key, &origin]).await,
    ];
    for answer in answers {
        assert_eq!(answer.status, 429);
        assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE));
        let exposed = answer
            .header("access-control-expose-headers")
            .expect("a list");
        assert!(exposed.contains("retry-after") && exposed.contains("x-ratelimit-reset-requests"));
    }
}

#[tokio::test]
async fn sockets_are_closed_as_their_path_knows_it() {
    let variables = [
        ("RATE_LIMITS", "sockets=1/1h per user"),
        ("ALLOWED_ORIGINS", PAGE),
    ];
    let (upstream, relay) = pair_with(&variables).await;
    let protocol =
        format!("Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{RELAY_TOKEN}");
    let origin = format!("Origin: {PAGE}");
    let opened = Socket::open(relay.address(), "/v1/realtime", &[&protocol]).await;
    let _first = opened.expect("the first");
    for path in ["/v1/realtime", "/realtime", "/", "/v1/responses"] {
        let refused = Socket::open(relay.address(), path, &[&protocol]).await;
        let refused = refused.err().expect("a server or an SDK");
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (429, "rate_limit_exceeded"),
            "{path}"
        );
        let opened = Socket::open(relay.address(), path, &[&protocol, &origin]).await;
        let mut page = opened.unwrap_or_else(|no| panic!("{path}: {}", no.text()));
        let event = page.event().await;
        assert_eq!(event["error"]["code"], "rate_limit_exceeded", "{path}");
        let (code, reason) = page.message().await.closes_with();
        assert_eq!(code, 1008, "{path}");
        assert_eq!(reason, "rate_limit_error.rate_limit_exceeded");
    }
    assert_eq!(upstream.sockets().len(), 1, "no other was dialled");
}

#[tokio::test]
async fn answers_tell_of_the_tightest_limit_where_the_upstream_tells_of_none() {
    let limits = "models=3/3h per user; all=1000/1h per ip";
    let (_upstream, relay) = pair_with(&[("RATE_LIMITS", limits)]).await;
    let key = authorization();
    let silent = "X-Fake-Script: no-rate-limits";
    for left in ["2", "1"] {
        let answer = get(relay.address(), "/v1/models", &[&key, silent]).await;
        assert_eq!(answer.header("x-ratelimit-limit-requests"), Some("3"));
        assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some(left));
        let reset = answer.header("x-ratelimit-reset-requests").expect("a time");
        assert!(
            reset.ends_with('s') && (reset.contains("m") || reset.contains("h")),
            "{reset}"
        );
    }
    // The upstream's own go down as they are.
    let answer = get(relay.address(), "/v1/models", &[&key]).await;
    assert_eq!(answer.header("x-ratelimit-limit-requests"), Some("10000"));
    assert_eq!(answer.header("x-ratelimit-limit-tokens"), Some("2000000"));
    assert_eq!(models(&relay).await.status, 429);
}

#[tokio::test]
async fn who_is_refused_earlier_is_not_charged() {
    let variables = [
        ("RATE_LIMITS", "all=2/1h per ip"),
        ("ALLOWED_ORIGINS", PAGE),
        ("MAX_CONNECTIONS", "1"),
    ];
    let (_upstream, relay) = pair_with(&variables).await;
    let (address, key) = (relay.address(), authorization());
    let foreign = "Origin: https://elsewhere.example";
    let opened = Socket::open(
        address,
        "/v1/realtime",
        &[&key, "X-Forwarded-For: 203.0.113.9"],
    )
    .await;
    let _only = opened.expect("the only one");
    for _ in 0..5 {
        assert_eq!(get(address, "/v1/models", &[]).await.status, 401);
        assert_eq!(
            get(address, "/v1/models", &["Authorization: Bearer rk_x"])
                .await
                .status,
            401
        );
        assert_eq!(get(address, "/v1/../admin", &[&key]).await.status, 400);
        assert_eq!(get(address, "/nothing", &[&key]).await.status, 404);
        assert_eq!(get(address, "/health", &[]).await.status, 200);
        let page = Socket::open(address, "/realtime", &[&key, foreign]).await;
        assert_eq!(page.err().expect("refused").status, 403);
        let full = Socket::open(address, "/realtime", &[&key]).await;
        assert_eq!(full.err().expect("refused").code(), "capacity_reached");
    }
    for expected in [200, 200, 429] {
        assert_eq!(models(&relay).await.status, expected);
    }
}

#[tokio::test]
async fn a_limit_concerns_whom_it_names_and_what_it_names() {
    let limits = "models=1/1h per user for anonymous; chat=1/1h; all=4/1h per ip for token";
    let variables = [("RATE_LIMITS", limits), ("ALLOW_CLIENT_KEYS", "true")];
    let (_upstream, relay) = pair_with(&variables).await;
    for _ in 0..4 {
        assert_eq!(models(&relay).await.status, 200, "not anonymous");
    }
    assert_eq!(models(&relay).await.status, 429);
    assert_eq!(from(&relay, "203.0.113.1", "/v1/models").await.status, 200);
    let own = "Authorization: Bearer sk-own-key-0123456789abcdef";
    for _ in 0..10 {
        let answer = get(relay.address(), "/v1/models", &[own]).await;
        assert_ne!(answer.status, 429, "no limit names OpenAI's credentials");
    }
}

#[tokio::test]
async fn refusals_are_logged_and_counted() {
    let (_upstream, mut relay) = pair_with(&[("RATE_LIMITS", "models=1/1h")]).await;
    for expected in [200, 429, 429] {
        assert_eq!(models(&relay).await.status, expected);
    }
    for _ in 0..3 {
        assert_eq!(get(relay.address(), "/v1/models", &[]).await.status, 401);
    }
    let line = relay
        .line(|line| line["code"] == "rate_limit_exceeded")
        .await;
    assert_eq!(
        (line["status"].as_u64(), line["outcome"].as_str()),
        (Some(429), Some("refused"))
    );
    let stats = get(relay.address(), "/stats", &[]).await.json();
    assert_eq!(stats["limits"]["refused"], 2);
    let counted = stats["exchanges"].as_object().expect("counts");
    assert_eq!(
        (&counted["total"], &counted["refused"]),
        (&6.into(), &5.into())
    );
    let parts = counted.iter().filter(|(name, _)| *name != "total");
    let parts: u64 = parts.filter_map(|(_, count)| count.as_u64()).sum();
    assert_eq!(parts, 6, "the parts come to the total: {counted:?}");
    assert_eq!(stats["limits"]["buckets"], 1);
}
