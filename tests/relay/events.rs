//! Event streams: the only bytes that the relay ever adds to a body, and when.

use crate::support::{Answer, Connection, Relay, authorization, pair_with, request};

const KEEP_ALIVE: &str = ": keep-alive\n\n";

fn stream(target: &str, lines: &[&str], script: &str) -> Vec<u8> {
    let body = match target {
        "/v1/responses" => r#"{"model":"gpt-6-luna","stream":true,"input":"Hi"}"#,
        _ => r#"{"model":"gpt-6-luna","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#,
    };
    let key = authorization();
    let script = format!("X-Fake-Script: {script}");
    let mut all = vec![key.as_str(), "Content-Type: application/json", &script];
    all.extend_from_slice(lines);
    request("POST", target, &all, body.as_bytes())
}

async fn ask(relay: &Relay, bytes: &[u8]) -> Answer {
    let mut connection = Connection::open(relay.address()).await;
    connection.write(bytes).await;
    connection.answer(false).await.expect("an answer")
}

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn a_silence_between_events_gets_comments_and_nothing_else_changes() {
    let (_upstream, relay) = pair_with(&[("SSE_KEEPALIVE", "100ms")]).await;
    let quick = ask(&relay, &stream(CHAT, &[], "")).await.text();
    let start = std::time::Instant::now();
    let slow = ask(&relay, &stream(CHAT, &[], "silence=1050")).await;
    let most = start.elapsed().as_millis() as usize / 100;
    assert!(slow.is_complete);
    let text = slow.text();
    let comments = text.matches(KEEP_ALIVE).count();
    assert!((2..=most).contains(&comments), "{comments} in {text}");
    let events = |text: &str| text.matches("data: ").count();
    assert_eq!(events(&text), events(&quick));
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
}

#[tokio::test]
async fn a_silence_within_an_event_gets_none() {
    let (_upstream, relay) = pair_with(&[("SSE_KEEPALIVE", "50ms")]).await;
    // One byte at a time: mostly within an event.
    let text = ask(&relay, &stream(CHAT, &[], "chunk-delay=20"))
        .await
        .text();
    for part in text.split(KEEP_ALIVE) {
        assert!(part.is_empty() || part.ends_with("\n\n"), "{part:?}");
    }
}

#[tokio::test]
async fn zero_adds_nothing_and_neither_do_streams_that_may_not_grow() {
    let (_upstream, relay) = pair_with(&[("SSE_KEEPALIVE", "0")]).await;
    let text = ask(&relay, &stream(CHAT, &[], "silence=300")).await.text();
    assert!(!text.contains(": keep-alive"), "{text}");
    let (_upstream, relay) = pair_with(&[("SSE_KEEPALIVE", "50ms")]).await;
    let coded = "silence=300 header=Content-Encoding:gzip";
    let text = ask(&relay, &stream(CHAT, &[], coded)).await.text();
    assert!(!text.contains(": keep-alive"), "{text}");
    let key = authorization();
    let script = "X-Fake-Script: silence=300";
    let json = request(
        "GET",
        "/v1/_fake/bytes?n=50000&chunked=1",
        &[&key, script],
        b"",
    );
    assert_eq!(ask(&relay, &json).await.body.len(), 50_000);
}

#[tokio::test]
async fn a_stream_that_breaks_between_events_says_so_in_its_own_form_and_looks_cut() {
    let (_upstream, mut relay) = pair_with(&[("OPENAI_READ_TIMEOUT", "2")]).await;
    let chat = ask(&relay, &stream(CHAT, &[], "hang=body")).await;
    assert!(!chat.is_complete);
    let text = chat.text();
    let last = text.trim_end().rsplit("\n\n").next().expect("an event");
    let json: serde_json::Value =
        serde_json::from_str(last.strip_prefix("data: ").expect("data")).expect("JSON");
    assert_eq!(json["error"]["code"], "upstream_timeout", "{text}");
    let named = ask(&relay, &stream("/v1/responses", &[], "hang=body")).await;
    assert!(!named.is_complete);
    let text = named.text();
    let last = text.trim_end().rsplit("\n\n").next().expect("an event");
    let data = last
        .strip_prefix("event: error\ndata: ")
        .expect("a named event");
    let json: serde_json::Value = serde_json::from_str(data).expect("JSON");
    assert_eq!(
        (json["type"].as_str(), json["code"].as_str()),
        (Some("error"), Some("upstream_timeout"))
    );
    assert_eq!(json["error"]["code"], "upstream_timeout");
    let line = relay.line(|line| line["path"] == "/v1/responses").await;
    assert_eq!(line["outcome"], "upstream_failed");
}

#[tokio::test]
async fn a_stream_that_breaks_within_an_event_is_only_cut() {
    let (_upstream, relay) = pair_with(&[]).await;
    for script in ["cut-at=10", "reset-at=10"] {
        let answer = ask(&relay, &stream(CHAT, &[], script)).await;
        assert!(!answer.is_complete, "{script}");
        assert!(
            !answer.text().contains("relay_error"),
            "{script}: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn a_coded_stream_that_breaks_is_only_cut() {
    let (_upstream, relay) = pair_with(&[("OPENAI_READ_TIMEOUT", "2")]).await;
    let script = "hang=body header=Content-Encoding:br";
    let answer = ask(&relay, &stream(CHAT, &[], script)).await;
    assert!(!answer.is_complete);
    assert!(!answer.text().contains("relay_error"), "{}", answer.text());
}

#[tokio::test]
async fn a_stream_whose_connection_closes_between_events_says_so_too() {
    let (_upstream, relay) = pair_with(&[]).await;
    let answer = ask(&relay, &stream(CHAT, &[], "cut-after=2")).await;
    assert!(!answer.is_complete);
    assert!(
        answer.text().contains("upstream_broken"),
        "{}",
        answer.text()
    );
    assert_eq!(answer.text().matches("data: ").count(), 3);
}
