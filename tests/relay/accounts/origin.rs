//! The earlier accounts API's own documents as a test: its `.env` and its list of routes, verbatim
//! but for host names and the key that was too short.

use serde_json::{Value, json};

use super::*;

/// As its documents print it.
const ENV: &str = include_str!("../../fixtures/config/valid/c-accounts.env");

async fn request_line(
    relay: &Relay,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> Answer {
    let mut lines = vec!["Origin: http://localhost:3000".to_owned()];
    if let Some(token) = token {
        lines.push(format!("Authorization: Bearer {token}"));
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    call(relay, method, path, &lines, body.as_ref()).await
}

#[tokio::test]
async fn its_environment_and_its_routes_work_as_its_clients_expect() {
    let upstream = crate::support::upstream().await;
    let env = ENV
        .replace(
            "SECRET_KEY=your-secret-key",
            "SECRET_KEY=0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        )
        .replace(
            "OPENAI_API_KEY=your-openai-key",
            &format!("OPENAI_API_KEY={SERVER_KEY}"),
        )
        .replace("https://api.openai.com/v1", &upstream.base_url());
    let relay = Relay::start_with_env_file(&env, &[]).await;
    assert!(
        relay.folder().join("app.db").exists(),
        "sqlite:///./app.db is where it was"
    );

    let new = json!({ "username": "testuser", "email": "test@example.com", "password": "testpassword123" });
    let answer = request_line(
        &relay,
        "POST",
        "/api/v1/auth/register",
        None,
        Some(new.clone()),
    )
    .await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("http://localhost:3000")
    );
    let user = answer.json();
    for (field, value) in [
        ("username", json!("testuser")),
        ("email", json!("test@example.com")),
        ("is_active", json!(true)),
    ] {
        assert_eq!(user[field], value);
    }
    assert!(user["id"].is_string() && user["created_at"].is_string());
    let answer = request_line(&relay, "POST", "/api/v1/auth/register", None, Some(new)).await;
    assert_eq!(answer.status, 400);
    assert!(answer.json()["detail"].is_string());

    let login = json!({ "username": "testuser", "password": "testpassword123" });
    let answer = request_line(&relay, "POST", "/api/v1/auth/login", None, Some(login)).await;
    let json = answer.json();
    assert_eq!(
        (answer.status, &json["token_type"]),
        (200, &json!("bearer"))
    );
    let token = json["access_token"].as_str().expect("a token").to_owned();
    let wrong = json!({ "username": "testuser", "password": "wrong" });
    let answer = request_line(&relay, "POST", "/api/v1/auth/login", None, Some(wrong)).await;
    assert_eq!(
        (answer.status, answer.header("www-authenticate")),
        (401, Some("Bearer"))
    );
    assert!(answer.json()["detail"].is_string());

    let me = request_line(&relay, "GET", "/api/v1/auth/me", Some(&token), None).await;
    assert_eq!(
        (me.status, &me.json()["username"]),
        (200, &json!("testuser"))
    );
    let me = request_line(&relay, "GET", "/api/v1/auth/me", Some("invalid"), None).await;
    assert_eq!(me.status, 401);
    let answer = request_line(&relay, "POST", "/api/v1/auth/refresh", Some(&token), None).await;
    let token = answer.json()["access_token"]
        .as_str()
        .expect("a token")
        .to_owned();

    let chat = json!({ "messages": [{ "role": "user", "content": "Hello!" }], "temperature": 0.7, "max_tokens": 100 });
    let answer = request_line(
        &relay,
        "POST",
        "/api/v1/chat/completions",
        Some(&token),
        Some(chat.clone()),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["choices"][0]["message"]["role"], "assistant");
    let sent: Value = serde_json::from_slice(&upstream.take_received()[0].body).expect("JSON");
    assert_eq!(sent["model"], "gpt-4o-mini", "its DEFAULT_MODEL");
    let answer = request_line(
        &relay,
        "POST",
        "/api/v1/chat/completions/stream",
        Some(&token),
        Some(chat.clone()),
    )
    .await;
    assert!(answer.text().contains("data: {") && answer.text().ends_with("data: [DONE]\n\n"));
    let answer = request_line(&relay, "GET", "/api/v1/chat/models", Some(&token), None).await;
    assert!(
        answer.json()["models"]
            .as_array()
            .is_some_and(|models| models.contains(&json!("gpt-4o-mini")))
    );
    let answer = request_line(&relay, "POST", "/api/v1/chat/completions", None, Some(chat)).await;
    assert_eq!(answer.status, 401);

    let answer = request_line(&relay, "GET", "/api/v1/health", None, None).await;
    assert_eq!(answer.json()["status"], "healthy");
    let answer = request_line(&relay, "GET", "/api/v1/health/detailed", None, None).await;
    let health = answer.json();
    assert!(
        health["system"].is_object() && health["services"]["openai"]["status"] == "healthy",
        "{health}"
    );
    assert_eq!(
        request_line(&relay, "GET", "/docs", None, None)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_token_of_the_earlier_api_is_not_honoured() {
    // HS256 by the bare SECRET_KEY, with `sub` and `exp` alone.
    let people = People::start(Home::Sqlite).await;
    let user = people.register("alice").await;
    let claims = json!({ "sub": user["id"], "exp": 4_000_000_000_u64 });
    let key = jsonwebtoken::EncodingKey::from_secret(crate::support::people::SECRET_KEY.as_bytes());
    let token =
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("a token");
    let answer = people
        .call("GET", "/api/v1/auth/me", Some(&token), None)
        .await;
    assert_eq!(answer.status, 401);
}
