//! Users of the relays before this one keep their `.env` and their requests: origins A and E.

use serde_json::json;

use crate::support::{Relay, get, post, upstream};

/// Origin E's documented `.env`, with a key that the stand-in takes.
const E_ENV: &str = "OPENAI_API_KEY=sk-server-key-canary-7f3a91c2\nRELAY_TOKEN=4f1c0f6e0b7f4a5d8c2e9b3a7d6f5e4c3b2a19087f6e5d4c3b2a190817263544\n";
const E_TOKEN: &str = "4f1c0f6e0b7f4a5d8c2e9b3a7d6f5e4c3b2a19087f6e5d4c3b2a190817263544";
/// Origin A's documented `.env`.
const A_ENV: &str = "OPENAI_API_KEY=sk-server-key-canary-7f3a91c2\nPORT=8080\nNODE_ENV=development\nALLOWED_ORIGINS=http://localhost:5173,http://localhost:3000\n";

#[tokio::test]
async fn origin_e_asks_for_its_token_and_relays_with_the_servers_key() {
    let upstream = upstream().await;
    // Its base URL has no /v1.
    let base = upstream.base_url().trim_end_matches("/v1").to_owned();
    let relay = Relay::start_with_env_file(E_ENV, &[("OPENAI_BASE_URL", &base)]).await;
    assert_eq!(get(relay.address(), "/v1/models", &[]).await.status, 401);
    assert_eq!(
        get(
            relay.address(),
            "/v1/models",
            &["Authorization: Bearer wrong"]
        )
        .await
        .status,
        401
    );
    let bearer = format!("Authorization: Bearer {E_TOKEN}");
    let models = get(relay.address(), "/v1/models", &[&bearer]).await;
    assert_eq!(
        (models.status, &models.json()["object"]),
        (200, &json!("list"))
    );
    let chat = r#"{
    "model":"gpt-4o-mini",
    "messages":[{"role":"user","content":"Привет! Сколько будет 2+2?"}],
    "temperature":0
  }"#;
    let answer = post(relay.address(), "/v1/chat/completions", &[&bearer], chat).await;
    assert_eq!(answer.status, 200);
    let said = &answer.json()["choices"][0]["message"]["content"];
    assert_eq!(said, "You said: Привет! Сколько будет 2+2?");
}

#[tokio::test]
async fn origin_e_streams_and_takes_its_other_name_for_the_token() {
    let upstream = upstream().await;
    let env = E_ENV.replace("RELAY_TOKEN", "OPENAI_RELAY_TOKEN");
    let relay =
        Relay::start_with_env_file(&env, &[("OPENAI_BASE_URL", &upstream.base_url())]).await;
    let bearer = format!("Authorization: Bearer {E_TOKEN}");
    let body =
        r#"{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;
    let answer = post(relay.address(), "/v1/chat/completions", &[&bearer], body).await;
    assert_eq!(
        answer.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    assert!(answer.text().ends_with("data: [DONE]\n\n") && answer.is_complete);
}

#[tokio::test]
async fn origin_a_tells_its_health_as_before() {
    let upstream = upstream().await;
    let relay =
        Relay::start_with_env_file(A_ENV, &[("OPENAI_BASE_URL", &upstream.base_url())]).await;
    let health = get(relay.address(), "/health", &[]).await.json();
    assert_eq!(health["status"], "healthy");
    assert!(health["uptime"].is_f64() && health["version"].is_string());
    let timestamp = health["timestamp"].as_str().expect("a timestamp");
    assert!(
        timestamp.len() >= 20 && timestamp.contains('T') && timestamp.ends_with('Z'),
        "{timestamp}"
    );
    for name in [
        "totalConnections",
        "activeConnections",
        "messagesRelayed",
        "errors",
    ] {
        assert!(health["stats"][name].is_u64(), "{name}");
    }
}

#[tokio::test]
async fn origin_a_answers_offers_of_its_pages_with_their_tokens() {
    let upstream = upstream().await;
    let relay =
        Relay::start_with_env_file(A_ENV, &[("OPENAI_BASE_URL", &upstream.base_url())]).await;
    let body = json!({
        "sdp": super::offer::SDP,
        "model": "gpt-realtime-mini-2025-10-06",
        "token": upstream.mint_ephemeral(),
    });
    let origin = "Origin: http://localhost:5173";
    let answer = post(relay.address(), "/offer", &[origin], &body.to_string()).await;
    let json = answer.json();
    assert_eq!((answer.status, &json["relayed"]), (200, &json!(true)));
    assert!(
        json["sdp"]
            .as_str()
            .is_some_and(|sdp| sdp.starts_with("v=0\r\n"))
    );
    assert!(json["duration"].is_u64());
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("http://localhost:5173")
    );
    assert_eq!(answer.header("x-frame-options"), Some("SAMEORIGIN"));
}

#[tokio::test]
async fn origin_a_serves_its_list_of_pages_and_no_other() {
    let upstream = upstream().await;
    let relay =
        Relay::start_with_env_file(A_ENV, &[("OPENAI_BASE_URL", &upstream.base_url())]).await;
    let other = post(
        relay.address(),
        "/offer",
        &["Origin: http://localhost:4000"],
        &json!({ "sdp": super::offer::SDP }).to_string(),
    )
    .await;
    assert_eq!(other.status, 403);
    for listed in ["http://localhost:5173", "http://localhost:3000"] {
        let health = get(relay.address(), "/health", &[&format!("Origin: {listed}")]).await;
        assert_eq!(health.header("access-control-allow-origin"), Some(listed));
    }
}
