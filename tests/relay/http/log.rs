//! The one line that an exchange leaves behind.

use super::*;
use crate::support::{eventually, get, pair, pair_with, post};

#[tokio::test]
async fn the_log_line_of_an_exchange_says_who_what_and_how_much() {
    let (_upstream, mut relay) = pair().await;
    let body = "x".repeat(321);
    let target = "/v1/_fake/echo?secret=1";
    let answer = post(relay.address(), target, &[&authorization()], &body).await;
    let line = log_line(&mut relay, &answer).await;
    let expected = json!({
        "subject": "relay-token",
        "client": "127.0.0.1",
        "method": "POST",
        "path": "/v1/_fake/echo",
        "status": 200,
        "outcome": "completed",
        "request_id": answer.header("x-request-id"),
        "bytes_up": 321,
        "bytes_down": answer.body.len(),
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&line[name], value, "{name} in {line}");
    }
    assert!(line["total_ms"].as_f64() >= line["first_byte_ms"].as_f64());
    assert!(line["first_byte_ms"].as_f64() > Some(0.0), "{line}");
}

#[tokio::test]
async fn each_exchange_has_exactly_one_log_line() {
    let (_upstream, mut relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    let requests = [
        kept("GET", "/v1/models", &[], b""),
        kept("HEAD", "/v1/models", &[], b""),
        kept("GET", "/v1/_fake/status/204", &[], b""),
        kept("GET", "/v1/_fake/bytes?n=9&chunked=1", &[], b""),
        kept("GET", "/v1/_fake/status/500", &[], b""),
        kept("GET", "/v1/models", &["X-Fake-Script: no-request-id"], b""),
    ];
    for request in &requests {
        let answer = ask(&mut connection, request).await;
        let line = log_line(&mut relay, &answer).await;
        assert_eq!(line["outcome"], "completed", "{line}");
        assert_eq!(line["status"], answer.status, "{line}");
    }
    assert_eq!(relay.exchanges().len(), requests.len());
}

#[tokio::test]
async fn what_the_relay_itself_refuses_leaves_a_line_with_its_reason() {
    let (_upstream, mut relay) = pair_with(&[("ALLOWED_ORIGINS", "https://a.test")]).await;
    let preflight = [
        "Origin: https://b.test",
        "Access-Control-Request-Method: POST",
    ];
    let cases: [(&str, &str, &[&str], &str); 6] = [
        ("GET", "/nope", &[], "not_found"),
        ("DELETE", "/health", &[], "method_not_allowed"),
        ("OPTIONS", "/v1/models", &preflight, "origin_not_allowed"),
        ("GET", "/v1/models", &[], "invalid_api_key"),
        ("GET", "/v1/../models", &[], "malformed_request"),
        ("GET", "/v1/models", &["A\u{1}: b"], "malformed_request"),
    ];
    for (method, target, lines, code) in cases {
        let bytes = request(method, target, lines, b"");
        let answer = send(relay.address(), bytes).await.expect("an answer");
        let line = log_line(&mut relay, &answer).await;
        assert_eq!(
            (line["outcome"].as_str(), line["code"].as_str()),
            (Some("refused"), Some(code))
        );
    }
    let wrong = ["Authorization: Bearer wrong-token"];
    let answer = get(relay.address(), "/v1/models", &wrong).await;
    let line = log_line(&mut relay, &answer).await;
    assert_eq!(line["cause"], "wrong token");
}

#[tokio::test]
async fn a_key_that_the_upstream_refuses_is_pointed_out_to_the_operator() {
    let (_upstream, mut relay) = pair_with(&[("OPENAI_API_KEY", "sk-not-the-right-one-1")]).await;
    let answer = get(relay.address(), "/v1/models", &[&authorization()]).await;
    assert_eq!(answer.status, 401);
    let line = log_line(&mut relay, &answer).await;
    assert_eq!(line["level"], "WARN");
    let cause = line["cause"].as_str().expect("a cause");
    assert!(cause.contains("OPENAI_API_KEY"), "{cause}");
}

#[tokio::test]
async fn a_log_file_that_was_moved_away_is_opened_anew_on_sighup() {
    let folder = std::env::temp_dir().join(format!("openai-relay-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (path, moved) = (folder.join("relay.log"), folder.join("relay.log.1"));
    let log_file = path.to_str().expect("a path");
    let upstream = crate::support::upstream().await;
    let base_url = upstream.base_url();
    let mut child = crate::support::relay::command(
        &folder,
        &[
            ("PORT", "0"),
            ("OPENAI_BASE_URL", &base_url),
            ("LOG_FILE", log_file),
        ],
    )
    .spawn()
    .expect("the binary");
    let pid = child.id().expect("running").to_string();
    let holds = |path: &std::path::Path, what: &str| {
        std::fs::read_to_string(path).is_ok_and(|text| text.contains(what))
    };
    eventually("it listens", || holds(&path, "listening")).await;
    std::fs::rename(&path, &moved).expect("moved");
    for (signal, word) in [("-HUP", "SIGHUP"), ("-TERM", "stopped")] {
        let told = std::process::Command::new("kill")
            .args([signal, &pid])
            .status();
        assert!(told.expect("kill").success());
        eventually(word, || holds(&path, word)).await;
    }
    assert!(child.wait().await.expect("a status").success());
    std::fs::remove_dir_all(&folder).expect("removed");
}
