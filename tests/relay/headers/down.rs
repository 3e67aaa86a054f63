//! P08: what comes down in a head, and what never does.

use std::collections::BTreeSet;

use super::check_answer_clean;
use super::tricks::spellings;
use crate::support::{authorization, get, pair, post};

#[tokio::test]
async fn an_answer_comes_down_with_exactly_the_headers_that_may() {
    let (_upstream, relay) = pair().await;
    let answer = get(relay.address(), "/v1/models", &[&authorization()]).await;
    let mut names: Vec<&str> = answer
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| *name != "connection")
        .collect();
    names.sort_unstable();
    let expected = [
        "cf-ray",
        "content-length",
        "content-type",
        "date",
        "openai-organization",
        "openai-processing-ms",
        "openai-version",
        "server",
        "vary",
        "x-content-type-options",
        "x-ratelimit-limit-requests",
        "x-ratelimit-limit-tokens",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-reset-requests",
        "x-ratelimit-reset-tokens",
        "x-request-id",
    ];
    assert_eq!(names, expected);
    for (name, value) in [
        ("openai-processing-ms", "12"),
        ("openai-version", "2020-10-01"),
        ("x-ratelimit-reset-tokens", "6m0s"),
        ("cf-ray", "8f0c1d2e3a4b5c6d-FRA"),
        ("server", "cloudflare"),
        ("content-type", "application/json"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn what_would_act_on_the_operators_domain_does_not_come_down() {
    let (_upstream, relay) = pair().await;
    let names = [
        "Set-Cookie",
        "Set-Cookie2",
        "Strict-Transport-Security",
        "Alt-Svc",
        "NEL",
        "Report-To",
        "Reporting-Endpoints",
        "Public-Key-Pins",
        "Public-Key-Pins-Report-Only",
        "Clear-Site-Data",
        "Access-Control-Allow-Origin",
        "Access-Control-Allow-Credentials",
        "Access-Control-Allow-Headers",
        "Access-Control-Allow-Methods",
        "Access-Control-Expose-Headers",
        "Access-Control-Max-Age",
        "Access-Control-Allow-Private-Network",
        "Keep-Alive",
        "Proxy-Connection",
        "Proxy-Authenticate",
        "Proxy-Authentication-Info",
        "Upgrade",
        "TE",
    ];
    for name in names {
        for spelling in spellings(name) {
            let script = format!("X-Fake-Script: header={spelling}:smuggled header=X-Stays:1");
            let answer = get(relay.address(), "/v1/models", &[&authorization(), &script]).await;
            assert_eq!(answer.status, 200, "{spelling}");
            assert_eq!(answer.header("x-stays"), Some("1"), "{spelling}");
            let smuggled = answer.headers.iter().find(|(_, value)| value == "smuggled");
            assert_eq!(smuggled, None);
        }
    }
}

#[tokio::test]
async fn what_the_upstreams_connection_names_stays_on_its_hop() {
    let (_upstream, relay) = pair().await;
    for list in ["X-Hop", "x-hop", "close,x-hop", "x-other,X-HOP"] {
        let script =
            format!("X-Fake-Script: header=Connection:{list} header=X-Hop:1 header=X-Stays:2");
        let answer = get(relay.address(), "/v1/models", &[&authorization(), &script]).await;
        assert_eq!(answer.header("x-hop"), None, "{list}");
        assert_eq!(answer.header("x-stays"), Some("2"), "{list}");
    }
}

#[tokio::test]
async fn headers_that_nobody_knows_come_down_as_they_are() {
    let (_upstream, relay) = pair().await;
    let headers = [
        ("openai-model", "gpt-6-luna"),
        ("openai-project", "proj_1"),
        ("x-ratelimit-limit-project-tokens", "5"),
        ("x-should-retry", "false"),
        ("retry-after-ms", "20"),
        ("cf-cache-status", "DYNAMIC"),
        ("etag", "\"x\""),
        ("location", "/v1/elsewhere"),
        ("www-authenticate", "Bearer"),
        ("x-stay-sts", "max-age=1"),
        ("x-new_thing", "a\tb"),
        ("x-empty", ""),
    ];
    let words: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("header={name}:{}", value.replace('\t', "%09")))
        .collect();
    let script = format!("X-Fake-Script: {}", words.join(" "));
    let answer = get(relay.address(), "/v1/models", &[&authorization(), &script]).await;
    for (name, value) in headers {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn no_line_end_or_nul_of_an_upstream_head_comes_down() {
    let (_upstream, relay) = pair().await;
    for (value, is_broken) in [
        ("a%00b", true),
        ("a%0db", true),
        ("a%01b", true),
        ("a%7fb", true),
        ("a%0d%0ab", true),
        ("a%0d%0a%20folded", true),
        ("a%0ab", true),
        ("a%0d%0aX-Second:%20b", false),
    ] {
        let script = format!("X-Fake-Script: header=X-Evil:{value}");
        let answer = get(relay.address(), "/v1/models", &[&authorization(), &script]).await;
        check_answer_clean(&answer, value);
        let status = if is_broken { 502 } else { 200 };
        assert_eq!(answer.status, status, "{value}");
    }
}

#[tokio::test]
async fn a_request_id_is_the_upstreams_or_made_where_there_is_none() {
    let (_upstream, relay) = pair().await;
    let without = "X-Fake-Script: no-request-id";
    let mut made = BTreeSet::new();
    for _ in 0..3 {
        let answer = get(relay.address(), "/v1/models", &[&authorization(), without]).await;
        let id = answer.header("x-request-id").expect("an id").to_owned();
        assert!(id.starts_with("req_") && id.len() == 36, "{id}");
        made.insert(id);
    }
    assert_eq!(made.len(), 3, "each has its own");
    let given = "X-Fake-Script: no-request-id header=x-request-id:given-1";
    let lines = [
        authorization(),
        given.to_owned(),
        "X-Request-Id: mine".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let kept = get(relay.address(), "/v1/models", &lines).await;
    assert_eq!(kept.header("x-request-id"), Some("given-1"));
}

#[tokio::test]
async fn own_routes_wear_helmets_defaults_and_v1_only_nosniff() {
    let (_upstream, relay) = pair().await;
    let helmet = [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("origin-agent-cluster", "?1"),
        ("referrer-policy", "no-referrer"),
        (
            "strict-transport-security",
            "max-age=31536000; includeSubDomains",
        ),
        ("x-dns-prefetch-control", "off"),
        ("x-download-options", "noopen"),
        ("x-frame-options", "SAMEORIGIN"),
        ("x-permitted-cross-domain-policies", "none"),
        ("x-xss-protection", "0"),
    ];
    for target in ["/", "/health", "/ready", "/stats", "/nothing", "/offer"] {
        let answer = get(relay.address(), target, &[]).await;
        for (name, value) in helmet {
            assert_eq!(answer.header(name), Some(value), "{target}: {name}");
        }
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(
            policy.starts_with("default-src 'self'"),
            "{target}: {policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-powered-by"), None, "{target}");
        assert_eq!(answer.header("server"), None, "{target}");
    }
    let refused = get(relay.address(), "/v1/models", &[]).await;
    let relayed = post(relay.address(), "/v1/_fake/echo", &[&authorization()], "{}").await;
    for answer in [refused, relayed] {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        for (name, _) in helmet {
            assert_eq!(answer.header(name), None, "{}: {name}", answer.status);
        }
        assert_eq!(answer.header("content-security-policy"), None);
    }
}
