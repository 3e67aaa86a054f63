//! `/metrics`: what is counted, in which form, and who may read it.

use std::collections::BTreeMap;

use crate::support::ws::Socket;
use crate::support::{Home, People, Relay, authorization, get, pair, pair_with, post};

const PRODUCTION: (&str, &str) = ("RELAY_ENV", "production");

/// The samples of a page, by name and labels.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            (series.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

async fn scrape(relay: &Relay) -> BTreeMap<String, f64> {
    let answer = get(relay.address(), "/metrics", &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    samples(&answer.text())
}

fn sample(all: &BTreeMap<String, f64>, series: &str) -> f64 {
    let value = all.get(series).copied();
    value.unwrap_or_else(|| panic!("no {series}"))
}

#[tokio::test]
async fn what_went_over_the_relay_is_counted_by_route_and_ending() {
    let (_upstream, mut relay) = pair().await;
    let before = scrape(&relay).await;
    assert_eq!(
        sample(
            &before,
            r#"openai_relay_exchanges_total{route="chat",outcome="completed"}"#
        ),
        0.0
    );
    let body = r#"{"model":"gpt-6-luna","messages":[{"role":"user","content":"Hi"}]}"#;
    let lines = [&authorization(), "Content-Type: application/json"];
    let answer = post(relay.address(), "/v1/chat/completions", &lines, body).await;
    assert_eq!(answer.status, 200);
    relay.line(|line| line["outcome"] == "completed").await;
    let refused = get(relay.address(), "/v1/models", &[]).await;
    assert_eq!(refused.status, 401);
    let now = scrape(&relay).await;
    let sent = u32::try_from(body.len()).expect("small");
    let came = u32::try_from(answer.body.len()).expect("small");
    for (series, value) in [
        (
            r#"openai_relay_exchanges_total{route="chat",outcome="completed"}"#,
            1.0,
        ),
        (r#"openai_relay_exchanges_started_total{route="chat"}"#, 1.0),
        (r#"openai_relay_exchanges_running{route="chat"}"#, 0.0),
        (
            r#"openai_relay_relayed_bytes_total{route="chat",direction="up"}"#,
            f64::from(sent),
        ),
        (
            r#"openai_relay_relayed_bytes_total{route="chat",direction="down"}"#,
            f64::from(came),
        ),
        (
            r#"openai_relay_first_byte_seconds_count{route="chat"}"#,
            1.0,
        ),
        (
            r#"openai_relay_first_byte_seconds_bucket{le="+Inf",route="chat"}"#,
            1.0,
        ),
        (
            r#"openai_relay_refusals_total{reason="invalid_api_key"}"#,
            1.0,
        ),
        ("openai_relay_upstream_connect_seconds_count", 1.0),
        (
            r#"openai_relay_exchanges_total{route="models",outcome="refused"}"#,
            0.0,
        ),
        ("openai_relay_sessions_max", 1000.0),
        ("openai_relay_draining", 0.0),
    ] {
        assert_eq!(sample(&now, series), value, "{series}");
    }
    assert!(sample(&now, "process_resident_memory_bytes") > 1e6);
    assert!(!now.contains_key("openai_relay_database_up"));
}

#[tokio::test]
async fn what_runs_over_a_session_is_counted_while_it_runs() {
    let (_upstream, relay) = pair().await;
    let headers = [&authorization(), "X-Fake-Script: echo"];
    let socket = Socket::open(relay.address(), "/v1/realtime?model=m", &headers).await;
    let mut socket = socket.unwrap_or_else(|no| panic!("refused: {}", no.text()));
    socket.say("a message").await;
    assert_eq!(socket.message().await.text(), "a message");
    let now = scrape(&relay).await;
    for (series, value) in [
        ("openai_relay_sessions", 1.0),
        ("openai_relay_sessions_opened_total", 1.0),
        (r#"openai_relay_exchanges_running{route="socket"}"#, 1.0),
        (r#"openai_relay_messages_total{direction="up"}"#, 1.0),
        (r#"openai_relay_messages_total{direction="down"}"#, 1.0),
        (
            r#"openai_relay_relayed_bytes_total{route="socket",direction="up"}"#,
            9.0,
        ),
    ] {
        assert_eq!(sample(&now, series), value, "{series}");
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_counted_as_its_fault() {
    // Nobody listens on the discard port.
    let base = ("OPENAI_BASE_URL", "http://127.0.0.1:9");
    let (_upstream, mut relay) = pair_with(&[base]).await;
    let answer = get(relay.address(), "/v1/models", &[&authorization()]).await;
    assert_eq!(answer.status, 502);
    relay
        .line(|line| line["outcome"] == "upstream_failed")
        .await;
    let now = scrape(&relay).await;
    for series in [
        r#"openai_relay_exchanges_total{route="models",outcome="upstream_failed"}"#,
        r#"openai_relay_upstream_connect_failures_total{fault="upstream_unreachable"}"#,
        r#"openai_relay_upstream_faults_total{fault="upstream_unreachable"}"#,
        r#"openai_relay_refusals_total{reason="upstream_unreachable"}"#,
    ] {
        assert_eq!(sample(&now, series), 1.0, "{series}");
    }
}

#[tokio::test]
async fn in_production_metrics_are_for_the_token_or_for_a_listener_of_their_own() {
    let own = ("METRICS_ADDRESS", "127.0.0.1:0");
    let (_upstream, mut relay) = pair_with(&[PRODUCTION, own]).await;
    let line = relay
        .line(|line| line["message"] == "listening for monitoring")
        .await;
    let monitoring = line["address"].as_str().expect("an address");
    let monitoring = monitoring.parse().expect("an address");
    assert_eq!(get(relay.address(), "/metrics", &[]).await.status, 401);
    let answer = get(relay.address(), "/metrics", &[&authorization()]).await;
    assert_eq!(answer.status, 200);
    let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.header("content-type"), Some(form));
    assert!(answer.text().ends_with("# EOF\n"));
    for path in [
        "/metrics",
        "/health",
        "/ready",
        "/stats",
        "/api/v1/health/detailed",
    ] {
        assert_eq!(get(monitoring, path, &[]).await.status, 200, "{path}");
    }
    for path in ["/", "/v1/models", "/docs", "/api/v1/auth/login"] {
        assert_eq!(
            get(monitoring, path, &[&authorization()]).await.status,
            404,
            "{path}"
        );
    }
}

#[tokio::test]
async fn metrics_say_whether_the_database_of_accounts_answers() {
    let people = People::start_with(Home::Sqlite, &[PRODUCTION, ("REGISTRATION", "open")]).await;
    let token = people.admin().await.bearer();
    let answer = get(people.relay.address(), "/metrics", &[&token]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        sample(&samples(&answer.text()), "openai_relay_database_up"),
        1.0
    );
    let token = people.join("somebody").await.bearer();
    assert_eq!(
        get(people.relay.address(), "/metrics", &[&token])
            .await
            .status,
        403
    );
}
