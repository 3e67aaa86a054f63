//! Sealed tokens: OpenAI's credential stays within the relay, and the token within its bounds (P28).

use super::*;
use crate::support::ws::Socket;

const SECRETS: &str = "/v1/realtime/client_secrets";
const KEYS: &str = "new-token-key-0123456789-0123456789";
const OLD: &str = "old-token-key-0123456789-0123456789";

fn session(model: &str) -> Value {
    json!({ "session": { "type": "realtime", "model": model } })
}

fn value(answer: &Answer) -> String {
    assert!(answer.status < 300, "{}", answer.text());
    answer.json()["value"].as_str().expect("a value").to_owned()
}

/// What a socket of a browser's answers.
async fn open(relay: &Relay, target: &str, token: &str, more: &[&str]) -> Result<Socket, Answer> {
    let protocol = format!("Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{token}");
    let lines = [&[protocol.as_str()], more].concat();
    Socket::open(relay.address(), target, &lines).await
}

async fn opens(relay: &Relay, target: &str, token: &str) -> bool {
    match open(relay, target, token, &[]).await {
        Ok(mut socket) => socket.event().await["type"] == "session.created",
        Err(_) => false,
    }
}

on_both! {
    async fn openais_credential_never_leaves_the_relay(home: Home) {
        let people = People::start_with(home, &[("RELAY_TOKEN", RELAY_TOKEN)]).await;
        let (key, _) = make(&people.database, &[]).await;
        let alice = people.join("alice").await.access;
        for maker in [&key, &alice] {
            people.upstream.take_received();
            let answer = ask(&people, "POST", "/v1/chatkit/sessions", maker, Some(&json!({}))).await;
            assert_eq!(answer.status, 403, "{}", answer.text());
            assert!(people.upstream.take_received().is_empty());
            for path in [SECRETS, "/v1/realtime/translations/client_secrets", "/v1/realtime/sessions"] {
                let body = match path {
                    "/v1/realtime/sessions" => json!({ "model": VOICE }),
                    "/v1/realtime/translations/client_secrets" => json!({ "session": { "model": VOICE } }),
                    _ => session(VOICE),
                };
                let answer = ask(&people, "POST", path, maker, Some(&body)).await;
                assert_eq!(answer.status, 200, "{path}: {}", answer.text());
                let json = answer.json();
                let shown = json["value"].as_str().or(json["client_secret"]["value"].as_str());
                let token = shown.expect(path);
                assert!(token.starts_with("ek_relay_"), "{path}: {json}");
                people.upstream.take_received();
                for target in [format!("/v1/realtime?model={VOICE}"), format!("/realtime?model={VOICE}"), "/".to_owned()] {
                    assert!(opens(&people.relay, &target, token).await, "{target} by a token of {path}");
                    let received = people.upstream.take_received();
                    let secret = received[0].header_all("authorization");
                    assert!(secret[0].starts_with("Bearer ek_") && !secret[0].contains("ek_relay_"), "{secret:?}");
                    let secret = &secret[0]["Bearer ".len()..];
                    assert!(!answer.text().contains(secret), "{path}: {}", answer.text());
                    let head = String::from_utf8_lossy(&received[0].raw_head).into_owned();
                    assert!(!head.contains(token) && !head.contains(SERVER_KEY), "{head}");
                }
                if path.contains("translations") {
                    // The stand-in makes no calls of these.
                    continue;
                }
                let offer = json!({ "sdp": crate::offer::SDP, "token": token });
                let answer = people.post("/offer", &offer).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                let lines = [bearer(token), "Content-Type: application/sdp".to_owned()];
                let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                let bytes = request("POST", "/v1/realtime/calls", &lines, crate::offer::SDP.as_bytes());
                let answer = crate::support::send(people.relay.address(), bytes).await.expect("an answer");
                assert_eq!(answer.status, 201, "{}", answer.text());
                assert!(!people.relay.whole_log().await.contains(token));
            }
        }
        // The holder of RELAY_TOKEN mints for browsers that dial OpenAI themselves.
        let answer = ask(&people, "POST", SECRETS, RELAY_TOKEN, Some(&session(VOICE))).await;
        assert!(!value(&answer).starts_with("ek_relay_"));
    }
}

#[tokio::test]
async fn whoever_mints_may_be_told_otherwise() {
    let variables = [("RELAY_TOKEN", RELAY_TOKEN), ("CLIENT_SECRETS", "sealed")];
    let people = People::start_with(Home::Sqlite, &variables).await;
    let answer = ask(&people, "POST", SECRETS, RELAY_TOKEN, Some(&session(VOICE))).await;
    let token = value(&answer);
    assert!(token.starts_with("ek_relay_"));
    assert!(opens(&people.relay, "/", &token).await);

    let people = People::start_with(Home::Sqlite, &[("CLIENT_SECRETS", "passthrough")]).await;
    let (key, _) = make(&people.database, &[]).await;
    let answer = ask(&people, "POST", SECRETS, &key, Some(&session(VOICE))).await;
    assert!(!value(&answer).starts_with("ek_relay_"));
}

#[tokio::test]
async fn openais_own_credentials_are_not_handed_to_whom_they_would_free_of_a_rule() {
    let variables = [
        ("RELAY_TOKEN", RELAY_TOKEN),
        ("CLIENT_SECRETS", "passthrough"),
    ];
    let people = People::start_with(Home::Sqlite, &variables).await;
    let mints = [
        (SECRETS, session(VOICE)),
        (
            "/v1/realtime/translations/client_secrets",
            json!({ "session": { "model": VOICE } }),
        ),
        ("/v1/realtime/sessions", json!({ "model": VOICE })),
        ("/v1/realtime/transcription_sessions", json!({})),
        ("/v1/chatkit/sessions", json!({})),
    ];
    for (rule, words) in [
        ("models", ["--models", VOICE]),
        ("origins", ["--origins", "https://app.example.com"]),
        ("addresses", ["--addresses", "127.0.0.1"]),
        ("limits", ["--limit", "concurrent realtime=2"]),
        ("pinned", ["--pin", "instructions"]),
    ] {
        let (key, _) = make(&people.database, &words).await;
        let lines = [bearer(&key), "Origin: https://app.example.com".to_owned()];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        for (path, body) in &mints {
            let answer = call(&people.relay, "POST", path, &lines, Some(body)).await;
            assert_forbidden(&answer, rule);
            assert!(
                answer.text().contains("/api/v1/tokens"),
                "{path}: {}",
                answer.text()
            );
        }
        assert!(people.upstream.take_received().is_empty(), "{rule}");
        // What it is told to do instead works, and keeps the rule.
        let answer = call(
            &people.relay,
            "POST",
            "/api/v1/tokens",
            &lines,
            Some(&json!({})),
        )
        .await;
        let target = format!("/v1/realtime?model={VOICE}");
        let page = ["Origin: https://app.example.com"];
        let opened = open(&people.relay, &target, &value(&answer), &page).await;
        assert!(opened.is_ok(), "{rule}");
        people.upstream.take_received();
    }
    // What a credential of OpenAI's opens anyway is no rule that it would free of.
    for words in [["--families", "realtime,other"], ["--expires", "90d"]] {
        let (key, _) = make(&people.database, &words).await;
        for (path, body) in &mints[..1] {
            let answer = ask(&people, "POST", path, &key, Some(body)).await;
            assert!(!value(&answer).starts_with("ek_relay_"), "{words:?}");
        }
    }
}

/// P28.
#[tokio::test]
async fn a_token_keeps_its_bounds() {
    let people = People::start(Home::Sqlite).await;
    let (key, _) = make(&people.database, &[]).await;
    let mut body = session(VOICE);
    body["relay_rules"] = json!({ "origins": ["https://app.example.com"] });
    let token = value(&ask(&people, "POST", SECRETS, &key, Some(&body)).await);
    let sent = people.upstream.take_received();
    assert!(!String::from_utf8_lossy(&sent[0].body).contains("relay_rules"));

    let page = ["Origin: https://app.example.com"];
    let target = format!("/v1/realtime?model={VOICE}");
    assert!(open(&people.relay, &target, &token, &page).await.is_ok());
    let Err(answer) = open(&people.relay, &target, &token, &[]).await else {
        panic!("without its page");
    };
    assert_forbidden(&answer, "origins");
    let other = ["Origin: https://evil.example.com"];
    let mut told = open(&people.relay, &target, &token, &other)
        .await
        .expect("a reason");
    assert_eq!(told.event().await["error"]["code"], "forbidden");

    people.upstream.take_received();
    let token = value(&ask(&people, "POST", SECRETS, &key, Some(&session(VOICE))).await);
    people.upstream.take_received();
    for target in [
        "/v1/realtime?model=gpt-realtime-2.1",
        "/v1/realtime?mod%65l=gpt-realtime-2.1",
        "/v1/realtime?model=gpt-realtime-2.1-mini&model=gpt-realtime-2.1",
        "/realtime?model=gpt-realtime-2.1",
    ] {
        let Err(answer) = open(&people.relay, target, &token, &[]).await else {
            panic!("another model: {target}");
        };
        assert!(
            matches!(answer.status, 400 | 403),
            "{target}: {}",
            answer.text()
        );
    }
    for path in [
        "/v1/models",
        "/v1/responses",
        SECRETS,
        "/api/v1/tokens",
        "/api/v1/auth/me",
    ] {
        let method = if path == "/v1/models" || path.ends_with("me") {
            "GET"
        } else {
            "POST"
        };
        let answer = ask(&people, method, path, &token, None).await;
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
    }
    assert!(people.upstream.take_received().is_empty());
    trust::record_part(
        "P28",
        "bounds",
        "other models, other pages and other routes than a token is for: each refused, none went up",
    );
}

#[tokio::test]
async fn a_token_starts_nothing_once_it_has_expired() {
    let people = People::start(Home::Sqlite).await;
    let (key, _) = make(&people.database, &[]).await;
    for life_s in [9, 7201, 0] {
        let wish = json!({ "expires_in": life_s });
        let answer = ask(&people, "POST", "/api/v1/tokens", &key, Some(&wish)).await;
        assert_eq!(answer.status, 422, "{life_s}: {}", answer.text());
    }
    let wish = json!({ "expires_in": 20 });
    let made = ask(&people, "POST", "/api/v1/tokens", &key, Some(&wish))
        .await
        .json();
    let token = made["value"].as_str().expect("a token");
    let until = made["expires_at"].as_i64().expect("seconds");
    let target = format!("/v1/realtime?model={VOICE}");
    let mut running = open(&people.relay, &target, token, &[])
        .await
        .expect("it opens");
    assert_eq!(running.event().await["type"], "session.created");
    let now_ms = || {
        i64::try_from(
            std::time::UNIX_EPOCH
                .elapsed()
                .expect("a clock")
                .as_millis(),
        )
        .expect("now")
    };
    // Asked again and again: the last answer that it opened came before, the first that it does not after.
    let mut opened_at = now_ms();
    let closed_at = loop {
        let asked_at = now_ms();
        match chat(&people, token, MODEL).await.status {
            200 => opened_at = asked_at,
            status => {
                assert_eq!(status, 401);
                break now_ms();
            }
        }
        assert!(asked_at < (until + 120) * 1000, "it never expires");
    };
    assert!(opened_at < until * 1000, "opened at {opened_at}");
    assert!(closed_at >= until * 1000, "closed at {closed_at}");
    trust::record_part(
        "P28",
        "expiry",
        &format!(
            "a token of 10 s opened {} ms before its end for the last time, and not any more {} ms after",
            until * 1000 - opened_at,
            closed_at - until * 1000
        ),
    );
    running
        .say(r#"{"type":"session.update","session":{"type":"realtime"}}"#)
        .await;
    assert_eq!(
        running.event().await["type"],
        "session.updated",
        "what has started goes on"
    );
}

#[tokio::test]
async fn a_token_of_any_family_may_do_no_more_than_its_maker_and_its_rules() {
    let people = People::start(Home::Sqlite).await;
    let words = [
        "--families",
        "chat,models,realtime",
        "--models",
        "gpt-6-luna,gpt-realtime-*",
    ];
    let (key, _) = make(&people.database, &words).await;
    let wish = json!({ "rules": { "families": ["chat", "embeddings"], "limits": ["chat=3/1h"] } });
    let token = value(&ask(&people, "POST", "/api/v1/tokens", &key, Some(&wish)).await);
    assert_eq!(chat(&people, &token, MODEL).await.status, 200);
    assert_forbidden(&chat(&people, &token, "gpt-6").await, "models");
    assert_forbidden(
        &ask(&people, "GET", "/v1/models", &token, None).await,
        "families",
    );
    let embed = json!({ "model": MODEL, "input": "x" });
    let answer = ask(&people, "POST", "/v1/embeddings", &token, Some(&embed)).await;
    assert_forbidden(&answer, "families");
    assert_eq!(chat(&people, &token, MODEL).await.status, 200);
    assert_eq!(chat(&people, &token, MODEL).await.status, 429);
    let wish = json!({ "rules": { "families": ["everything"] } });
    let answer = ask(&people, "POST", "/api/v1/tokens", &key, Some(&wish)).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
}

#[tokio::test]
async fn replicas_that_share_a_key_open_each_others_tokens_also_while_it_changes() {
    let both = format!("{KEYS},{OLD}");
    let own = [("TOKEN_KEY", OLD), ("RELAY_TOKEN", RELAY_TOKEN)];
    let people = People::start_with(Home::Sqlite, &own).await;
    let replica = async |keys: &str| {
        let own = [("TOKEN_KEY", keys), ("RELAY_TOKEN", RELAY_TOKEN)];
        people.replica(&own).await
    };
    let (rotating, new) = (replica(&both).await, replica(KEYS).await);
    let (key, _) = make(&people.database, &[]).await;
    let line = bearer(&key);
    let mint = async |relay: &Relay| {
        let answer = call(relay, "POST", SECRETS, &[&line], Some(&session(VOICE))).await;
        value(&answer)
    };
    let (maker, path) = (bearer(RELAY_TOKEN), "/api/v1/tokens");
    let made = call(&people.relay, "POST", path, &[&maker], None).await;
    let by_the_back_end = value(&made);
    assert!(opens(&rotating, "/", &by_the_back_end).await);
    assert!(!opens(&new, "/", &by_the_back_end).await);
    let (old_token, token) = (mint(&people.relay).await, mint(&rotating).await);
    assert!(opens(&people.relay, "/", &old_token).await);
    assert!(opens(&rotating, "/", &old_token).await);
    assert!(opens(&rotating, "/", &token).await);
    assert!(opens(&new, "/", &token).await);
    assert!(!opens(&new, "/", &old_token).await);
    assert!(!opens(&people.relay, "/", &token).await);
}

#[tokio::test]
async fn forged_and_foreign_tokens_are_401_and_never_go_up() {
    let people = People::start(Home::Sqlite).await;
    let (key, _) = make(&people.database, &[]).await;
    let token = value(&ask(&people, "POST", "/api/v1/tokens", &key, None).await);
    people.upstream.take_received();
    let mut forged = vec![
        "ek_relay_".to_owned(),
        "ek_relay_AAAA".to_owned(),
        token.replace("ek_relay_", "ek_relay_A"),
        format!("{token}AAAA"),
        token[..token.len() - 1].to_owned(),
        format!("ek_relay_{}", "A".repeat(20_000)),
    ];
    for at in (9..token.len()).step_by(7) {
        let mut one = token.clone();
        let other = if &token[at..=at] == "A" { "B" } else { "A" };
        one.replace_range(at..=at, other);
        forged.push(one);
    }
    for forged in forged {
        let answer = ask(&people, "GET", "/v1/models", &forged, None).await;
        assert_eq!(answer.status, 401, "{forged}: {}", answer.text());
        assert!(!opens(&people.relay, "/", &forged).await);
    }
    assert!(people.upstream.take_received().is_empty());
}
