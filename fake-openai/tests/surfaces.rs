//! The stand-in over real sockets: it answers what OpenAI answers and refuses what OpenAI refuses.

use fake_openai::{FakeOpenAi, Options, Script};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn start() -> FakeOpenAi {
    FakeOpenAi::start(Options::default())
        .await
        .expect("a stand-in")
}

/// Sends raw bytes and reads until the peer closes.
async fn raw(fake: &FakeOpenAi, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(fake.addr()).await.expect("a connection");
    stream.write_all(bytes).await.expect("written");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn post(fake: &FakeOpenAi, path: &str, fields: &str, body: &str) -> (u16, String) {
    let key = fake.server_key();
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
    );
    split(&raw(fake, request.as_bytes()).await)
}

fn split(answer: &str) -> (u16, String) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
    (status.expect("a status"), body.to_owned())
}

fn chat(extra: &Value) -> String {
    let mut body =
        json!({ "model": "gpt-6-luna", "messages": [{ "role": "user", "content": "Hi there" }] });
    for (name, value) in extra.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body.to_string()
}

#[tokio::test]
async fn a_chat_answer_echoes_the_user_and_counts_words() {
    let fake = start().await;
    let (status, body) = post(&fake, "/v1/chat/completions", "", &chat(&json!({}))).await;
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(status, 200);
    assert_eq!(
        body["choices"][0]["message"]["content"],
        "You said: Hi there"
    );
    assert_eq!(body["usage"]["prompt_tokens"], 2);
}

#[tokio::test]
async fn usage_is_streamed_only_when_asked_for() {
    let fake = start().await;
    let plain = json!({ "stream": true });
    let (_, body) = post(&fake, "/v1/chat/completions", "", &chat(&plain)).await;
    assert!(body.contains("data: [DONE]") && !body.contains("\"usage\""));
    let asked = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let (_, body) = post(&fake, "/v1/chat/completions", "", &chat(&asked)).await;
    assert!(body.contains("\"usage\":null") && body.contains("\"total_tokens\""));
}

#[tokio::test]
async fn what_openai_refuses_is_refused() {
    let fake = start().await;
    let cases = [
        ("{", 400, "null"),
        (
            "{\"model\":\"gpt-6-luna\"}",
            400,
            "\"missing_required_parameter\"",
        ),
        (
            &chat(&json!({ "model": "gpt-0" })),
            404,
            "\"model_not_found\"",
        ),
        (
            &chat(&json!({ "temperature": "hot" })),
            400,
            "\"invalid_type\"",
        ),
        (
            &chat(&json!({ "temperatur": 1 })),
            400,
            "\"unknown_parameter\"",
        ),
        (
            &chat(&json!({ "stream_options": {} })),
            400,
            "\"invalid_value\"",
        ),
    ];
    for (body, status, code) in cases {
        let (got, answer) = post(&fake, "/v1/chat/completions", "", body).await;
        assert_eq!(got, status, "{body}");
        assert!(
            answer.contains(&format!("\"code\":{code}")),
            "{body}: {answer}"
        );
    }
}

#[tokio::test]
async fn only_the_project_key_opens_the_api_and_minted_ones_realtime() {
    let fake = start().await;
    let minted = fake.mint_ephemeral();
    let cases = [
        ("/v1/models", String::new(), 401),
        (
            "/v1/models",
            "Authorization: Bearer sk-wrong-0123456789\r\n".to_owned(),
            401,
        ),
        (
            "/v1/models",
            format!("Authorization: Bearer {minted}\r\n"),
            401,
        ),
        (
            "/v1/realtime/nothing",
            format!("Authorization: Bearer {minted}\r\n"),
            404,
        ),
        (
            "/v1/models",
            format!("Authorization: Bearer {}\r\n", fake.server_key()),
            200,
        ),
    ];
    for (path, field, status) in cases {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{field}\r\n");
        let (got, body) = split(&raw(&fake, request.as_bytes()).await);
        assert_eq!(got, status, "{path} {field}");
        assert!(!body.contains("sk-wrong-0123456789"), "the key is masked");
    }
}

#[tokio::test]
async fn heads_that_betray_a_sloppy_relay_are_refused() {
    let fake = start().await;
    let bad = [
        "GET /v1/models HTTP/1.1\r\n\r\n",
        "GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET /v1/models HTTP/1.1\nHost: a\n\n",
        "GET /v1/../models HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a/v1/models HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: x-a\r\nX-A: 1\r\n\r\n",
    ];
    for request in bad {
        let (status, _) = split(&raw(&fake, request.as_bytes()).await);
        assert_eq!(status, 400, "{request}");
    }
}

#[tokio::test]
async fn a_script_applies_as_often_as_it_says() {
    let fake = start().await;
    let field = "X-Fake-Script: status=429 retry-after-ms=20 times=2 key=a\r\n";
    for expected in [429, 429, 200] {
        let (status, _) = post(&fake, "/v1/chat/completions", field, &chat(&json!({}))).await;
        assert_eq!(status, expected);
    }
    let pushed: Script = "status=503".parse().expect("a script");
    fake.push_script(pushed);
    let (status, _) = post(&fake, "/v1/chat/completions", "", &chat(&json!({}))).await;
    assert_eq!(status, 503);
}

#[tokio::test]
async fn a_cut_answer_has_no_last_chunk() {
    let fake = start().await;
    let field = "X-Fake-Script: cut-at=40\r\n";
    let (_, body) = post(
        &fake,
        "/v1/chat/completions",
        field,
        &chat(&json!({ "stream": true })),
    )
    .await;
    assert!(!body.ends_with("0\r\n\r\n") && !body.contains("[DONE]"));
}

#[tokio::test]
async fn the_record_shows_the_bytes_that_came() {
    let fake = start().await;
    post(&fake, "/v1/_fake/echo?a=%zz", "X-Odd: \tb \r\n", "{}").await;
    let received = fake.take_received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].target, "/v1/_fake/echo?a=%zz");
    assert_eq!(
        (received[0].body.as_slice(), received[0].complete),
        (&b"{}"[..], true)
    );
    assert_eq!(received[0].header("x-odd"), Some("b"));
}
