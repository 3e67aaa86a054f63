//! P11: which pages may read what.

use crate::support::{
    Answer, Relay, SERVER_KEY, authorization, pair_with, request, send, trust, upstream,
};

const LISTED: &str = "https://app.example";

/// The kinds of answers that CORS headers belong on.
const ASKS: [&str; 7] = [
    "preflight",
    "get",
    "post",
    "refusal",
    "upstream-error",
    "health",
    "offer",
];

async fn ask(relay: &Relay, kind: &str, origin: Option<&str>) -> Answer {
    let origin = origin.map(|origin| format!("Origin: {origin}"));
    let key = authorization();
    let (method, target, mut lines, body): (_, _, Vec<&str>, _) = match kind {
        "preflight" => {
            let asks = vec![
                "Access-Control-Request-Method: POST",
                "Access-Control-Request-Headers: authorization,x-stainless-lang",
            ];
            ("OPTIONS", "/v1/chat/completions", asks, "")
        }
        "get" => ("GET", "/v1/models", vec![key.as_str()], ""),
        "post" => ("POST", "/v1/_fake/echo", vec![key.as_str()], "{}"),
        "refusal" => ("GET", "/v1/models", vec!["Authorization: Bearer wrong"], ""),
        "upstream-error" => ("GET", "/v1/models/none", vec![key.as_str()], ""),
        "health" => ("GET", "/health", vec![], ""),
        _ => ("POST", "/offer", vec![key.as_str()], "{}"),
    };
    lines.extend(origin.as_deref());
    send(
        relay.address(),
        request(method, target, &lines, body.as_bytes()),
    )
    .await
    .expect("an answer")
}

fn check(answer: &Answer, kind: &str, origin: Option<&str>, is_listed: bool) {
    let case = format!("{kind} from {origin:?}");
    let vary: Vec<&str> = answer
        .headers
        .iter()
        .filter(|(name, _)| name == "vary")
        .map(|(_, value)| value.as_str())
        .collect();
    assert!(vary.join(",").contains("Origin"), "{case}: {vary:?}");
    let allowed = answer.header("access-control-allow-origin");
    assert_eq!(allowed, origin.filter(|_| is_listed), "{case}");
    assert_ne!(
        answer.header("access-control-allow-credentials"),
        Some("true"),
        "{case}"
    );
    let exposed = answer.header("access-control-expose-headers");
    if is_listed && origin.is_some() && kind != "preflight" {
        for name in [
            "location",
            "x-request-id",
            "retry-after",
            "x-ratelimit-limit-requests",
            "x-ratelimit-reset-tokens",
        ] {
            assert!(
                exposed.is_some_and(|list| list.contains(name)),
                "{case}: {name}"
            );
        }
    } else {
        assert_eq!(exposed, None, "{case}");
    }
}

async fn matrix(relay: &Relay, origins: &[(Option<&str>, bool)]) -> usize {
    let mut cases = 0;
    for kind in ASKS {
        for (origin, is_listed) in origins {
            // A preflight has an origin by definition.
            if kind == "preflight" && origin.is_none() {
                continue;
            }
            let answer = ask(relay, kind, *origin).await;
            check(&answer, kind, *origin, *is_listed);
            cases += 1;
        }
    }
    cases
}

#[tokio::test]
async fn only_exact_origins_of_the_list_may_read() {
    let (_upstream, relay) = pair_with(&[(
        "ALLOWED_ORIGINS",
        "https://app.example,http://localhost:5173",
    )])
    .await;
    let origins = [
        (None, false),
        (Some(LISTED), true),
        (Some("http://localhost:5173"), true),
        (Some("http://app.example"), false),
        (Some("https://app.example:8443"), false),
        (Some("https://app.example.evil.test"), false),
        (Some("https://sub.app.example"), false),
        (Some("http://localhost:5174"), false),
        (Some("null"), false),
    ];
    let cases = matrix(&relay, &origins).await;
    assert!(cases >= 60, "{cases}");
    trust::record(
        "P11",
        &format!("{cases} cases exact, no `*`, no credentials"),
    );
}

#[tokio::test]
async fn a_json_list_and_a_star_mean_what_they_say() {
    let (_upstream, json) = pair_with(&[("ALLOWED_ORIGINS", r#"["https://app.example"]"#)]).await;
    matrix(
        &json,
        &[(Some(LISTED), true), (Some("https://other.example"), false)],
    )
    .await;
    let (_upstream, star) = pair_with(&[("ALLOWED_ORIGINS", "*")]).await;
    matrix(
        &star,
        &[(Some(LISTED), true), (Some("https://other.example"), true)],
    )
    .await;
}

#[tokio::test]
async fn without_a_list_every_page_is_served_in_development_and_none_in_production() {
    let (_upstream, development) = pair_with(&[]).await;
    matrix(&development, &[(Some(LISTED), true)]).await;
    let (_upstream, production) = pair_with(&[("RELAY_ENV", "production")]).await;
    matrix(&production, &[(Some(LISTED), false)]).await;
}

#[tokio::test]
async fn a_preflight_needs_no_credential_and_reflects_what_is_asked() {
    let (upstream, relay) = pair_with(&[("ALLOWED_ORIGINS", LISTED)]).await;
    let answer = ask(&relay, "preflight", Some(LISTED)).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
    assert_eq!(
        answer.header("access-control-allow-headers"),
        Some("authorization,x-stainless-lang")
    );
    assert!(answer.header("access-control-max-age").is_some());
    assert!(upstream.received().is_empty());
    let refused = ask(&relay, "preflight", Some("https://evil.example")).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (403, "origin_not_allowed")
    );
}

#[tokio::test]
async fn an_options_request_that_is_no_preflight_goes_up() {
    let (upstream, relay) = pair_with(&[]).await;
    let key = authorization();
    for lines in [
        vec![key.as_str()],
        vec![key.as_str(), "Origin: https://app.example"],
        vec![key.as_str(), "Access-Control-Request-Method: POST"],
    ] {
        send(
            relay.address(),
            request("OPTIONS", "/v1/_fake/echo", &lines, b""),
        )
        .await
        .expect("an answer");
        assert_eq!(upstream.take_received()[0].method, "OPTIONS", "{lines:?}");
    }
}

#[tokio::test]
async fn a_credential_serves_a_page_that_is_not_listed_but_the_browser_hides_the_answer() {
    let upstream = upstream().await;
    let base_url = upstream.base_url();
    let variables = [
        ("OPENAI_API_KEY", SERVER_KEY),
        ("OPENAI_BASE_URL", &base_url),
        ("RELAY_TOKEN", crate::support::RELAY_TOKEN),
        ("ALLOWED_ORIGINS", LISTED),
    ];
    let relay = Relay::start(&variables).await;
    let answer = ask(&relay, "get", Some("https://other.example")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), None);
}
