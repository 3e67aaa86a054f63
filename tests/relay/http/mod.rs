//! Transparency over HTTP/1.1: what goes up is what came, what comes down is what was answered,
//! and neither waits for its own end.

mod answers;
mod bodies;
mod connections;
mod log;
mod streams;
mod target;

use serde_json::{Value, json};

use crate::support::{Answer, Connection, Relay, SERVER_KEY, authorization, request, send};

const MIB: usize = 1024 * 1024;

/// A request of a holder of the token, on a connection that is kept.
fn kept(method: &str, target: &str, lines: &[&str], body: &[u8]) -> Vec<u8> {
    let mut text = format!(
        "{method} {target} HTTP/1.1\r\nHost: relay.test\r\n{}\r\n",
        authorization()
    );
    for line in lines {
        text.push_str(&format!("{line}\r\n"));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// One exchange on a kept connection.
async fn ask(connection: &mut Connection, request: &[u8]) -> Answer {
    connection.write(request).await;
    let answer = connection.answer(request.starts_with(b"HEAD ")).await;
    answer.expect("an answer")
}

/// Raw bytes until these have come; everything so far.
async fn until(connection: &mut Connection, wanted: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(wanted) {
        let bytes = connection.more().await;
        let bytes = bytes.unwrap_or_else(|| panic!("the end came before {wanted:?}: {seen}"));
        seen.push_str(&String::from_utf8_lossy(&bytes));
    }
    seen
}

/// The log line of the exchange with this answer.
async fn log_line(relay: &mut Relay, answer: &Answer) -> Value {
    let id = answer.header("x-request-id").expect("an id").to_owned();
    relay.line(|line| line["request_id"] == id.as_str()).await
}

/// The same upload without a relay between: its hash is what must arrive through one.
async fn hash_without_relay(upstream: &fake_openai::FakeOpenAi, body: &[u8]) -> String {
    let key = format!("Authorization: Bearer {SERVER_KEY}");
    let bytes = request("POST", "/v1/_fake/echo", &[&key], body);
    let answer = send(upstream.addr(), bytes).await.expect("an answer");
    assert_eq!(answer.status, 200);
    upstream.take_received().remove(0).body_sha256
}

fn stream_body() -> String {
    let messages = json!([{ "role": "user", "content": "Say hello to everyone." }]);
    json!({ "model": "gpt-6-luna", "stream": true, "messages": messages }).to_string()
}

fn stream_request(script: &str) -> Vec<u8> {
    let body = stream_body();
    let length = format!("Content-Length: {}", body.len());
    let script = format!("X-Fake-Script: {script}");
    let lines = ["Content-Type: application/json", &length, &script];
    kept("POST", "/v1/chat/completions", &lines, body.as_bytes())
}
