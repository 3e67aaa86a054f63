//! The chat routes of the earlier accounts API, over the same trunk as `/v1`.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::*;
use crate::support::Connection;

const COMPLETIONS: &str = "/api/v1/chat/completions";
const STREAM: &str = "/api/v1/chat/completions/stream";
const MODELS: &str = "/api/v1/chat/models";

fn hello() -> Value {
    json!({ "messages": [{ "role": "user", "content": "Hello" }] })
}

/// The body of the last request that the upstream got.
fn received(people: &People) -> Value {
    let received = people.upstream.take_received();
    let last = received.last().expect("a request");
    assert_eq!(last.target, "/v1/chat/completions");
    serde_json::from_slice(&last.body).expect("JSON")
}

on_both! {
    async fn a_chat_is_answered_whole_and_as_events(home: Home) {
        let people = People::start(home).await;
        let tokens = people.join("alice").await;
        let answer = people.call("POST", COMPLETIONS, Some(&tokens.access), Some(&hello())).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["object"], "chat.completion");
        assert_eq!(answer.json()["choices"][0]["message"]["content"], "You said: Hello");
        assert_eq!(received(&people), json!({
            "messages": [{ "role": "user", "content": "Hello" }], "model": "gpt-6-luna", "stream": false,
        }));
        let answer = people.call("POST", STREAM, Some(&tokens.access), Some(&hello())).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")));
        assert!(answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
        let first = answer.text();
        let first = first.strip_prefix("data: ").and_then(|text| text.split("\n\n").next());
        let first: Value = serde_json::from_str(first.expect("an event")).expect("JSON");
        assert_eq!(first["object"], "chat.completion.chunk");
        assert_eq!(received(&people)["stream"], true);
    }
}

#[tokio::test]
async fn what_a_client_sends_goes_up_as_it_is_but_for_stream() {
    let people = People::start_with(Home::Sqlite, &[("DEFAULT_MODEL", "gpt-4o-mini")]).await;
    let tokens = people.join("alice").await;
    let mut body = hello();
    body["temperature"] = json!(0.7);
    body["max_tokens"] = json!(1000);
    body["top_p"] = json!(1);
    body["user"] = json!("u-1");
    body["stream"] = json!(true);
    people
        .call("POST", COMPLETIONS, Some(&tokens.access), Some(&body))
        .await;
    let mut expected = body.clone();
    expected["stream"] = json!(false);
    expected["model"] = json!("gpt-4o-mini");
    assert_eq!(received(&people), expected);
    body["model"] = json!("gpt-6-luna");
    people
        .call("POST", STREAM, Some(&tokens.access), Some(&body))
        .await;
    assert_eq!(received(&people)["model"], "gpt-6-luna");
}

#[tokio::test]
async fn errors_of_the_upstream_pass_with_a_detail_for_old_clients() {
    let people = People::start(Home::Sqlite).await;
    let tokens = people.join("alice").await;
    for (script, status) in [
        ("status=429 retry-after=7", 429),
        ("status=500", 500),
        ("status=400", 400),
    ] {
        for path in [COMPLETIONS, STREAM] {
            let lines = [
                tokens.bearer(),
                format!("X-Fake-Script: {script}"),
                "Accept-Encoding: gzip".to_owned(),
            ];
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let answer = call(&people.relay, "POST", path, &lines, Some(&hello())).await;
            assert_eq!(answer.status, status, "{}", answer.text());
            let json = answer.json();
            assert!(json["error"]["message"].is_string(), "{json}");
            assert_eq!(json["detail"], json["error"]["message"]);
            if status == 429 {
                assert_eq!(answer.header("retry-after"), Some("7"));
            }
        }
    }
    let lines = [tokens.bearer(), "X-Fake-Script: status=502 html".to_owned()];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let answer = call(&people.relay, "POST", COMPLETIONS, &lines, Some(&hello())).await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("<html"), "{}", answer.text());
    let lines = [tokens.bearer(), "X-Fake-Script: cut-head=0".to_owned()];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let answer = call(&people.relay, "POST", COMPLETIONS, &lines, Some(&hello())).await;
    assert_eq!(answer.status, 502);
    assert!(answer.json()["detail"].is_string(), "{}", answer.text());
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_one_event_that_says_so() {
    let people = People::start(Home::Sqlite).await;
    let tokens = people.join("alice").await;
    let lines = [tokens.bearer(), "X-Fake-Script: cut-after=2".to_owned()];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let answer = call(&people.relay, "POST", STREAM, &lines, Some(&hello())).await;
    assert!(!answer.is_complete);
    let last = answer.text();
    let last = last
        .trim_end()
        .rsplit("data: ")
        .next()
        .expect("an event")
        .to_owned();
    let last: Value = serde_json::from_str(&last).unwrap_or_else(|_| panic!("{}", answer.text()));
    assert_eq!(last["error"]["code"], "upstream_broken");
}

#[tokio::test]
async fn the_models_are_listed_by_id_and_asked_for_once() {
    let people = People::start(Home::Sqlite).await;
    let tokens = people.join("alice").await;
    let mut lists = Vec::new();
    for _ in 0..3 {
        let answer = people.call("GET", MODELS, Some(&tokens.access), None).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        lists.push(answer.json());
    }
    let models = lists[0]["models"].as_array().expect("a list");
    assert!(models.contains(&json!("gpt-6-luna")) && models.iter().all(Value::is_string));
    assert_eq!(people.upstream.take_received().len(), 1);
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_422_and_goes_nowhere() {
    let people = People::start(Home::Sqlite).await;
    let tokens = people.join("alice").await;
    for body in ["", "[]", "{\"messages\":", "hello"] {
        let line = tokens.bearer();
        let answer = post(people.relay.address(), COMPLETIONS, &[&line], body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text());
        assert_eq!(answer.json()["detail"][0]["loc"], json!(["body"]));
    }
    assert!(people.upstream.take_received().is_empty());
}

#[tokio::test]
async fn chat_is_for_users() {
    let people = People::start_with(
        Home::Sqlite,
        &[("RELAY_TOKEN", RELAY_TOKEN), ("ALLOW_CLIENT_KEYS", "true")],
    )
    .await;
    for token in [RELAY_TOKEN, "sk-proj-a-clients-own-0123456789"] {
        for (method, path) in [("POST", COMPLETIONS), ("POST", STREAM), ("GET", MODELS)] {
            let answer = people.call(method, path, Some(token), Some(&hello())).await;
            assert_eq!(answer.status, 403, "{path}: {}", answer.text());
            assert!(
                answer.json()["detail"]
                    .as_str()
                    .is_some_and(|detail| detail.contains("users"))
            );
        }
    }
    assert!(people.upstream.take_received().is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_chat_upstream() {
    let mut people = People::start(Home::Sqlite).await;
    let tokens = people.join("alice").await;
    let lines = [
        tokens.bearer(),
        "X-Fake-Script: chunk-delay=50".to_owned(),
        "Content-Type: application/json".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut body = hello();
    body["messages"][0]["content"] = json!("word ".repeat(1000));
    let mut connection = Connection::open(people.relay.address()).await;
    connection
        .write(&request(
            "POST",
            STREAM,
            &lines,
            body.to_string().as_bytes(),
        ))
        .await;
    assert_eq!(connection.head().await.expect("a head").status, 200);
    drop(connection);
    let line = people.relay.line(|line| line["path"] == STREAM).await;
    assert_eq!(line["outcome"], "client_gone", "{line}");
}

#[tokio::test]
async fn a_list_of_models_that_hangs_holds_nobody_else_up_and_ends_with_its_login() {
    let people = People::start(Home::Sqlite).await;
    let tokens = people.join("alice").await;
    for script in ["hang=head", "hang=body"] {
        let caller = people.log_in("alice").await;
        people
            .upstream
            .push_script(script.parse().expect("a script"));
        let before = people.upstream.received().len();
        let mut waiting = Connection::open(people.relay.address()).await;
        let line = caller.bearer();
        waiting.write(&request("GET", MODELS, &[&line], b"")).await;
        eventually("it asks the upstream", || {
            people.upstream.received().len() > before
        })
        .await;
        if script == "hang=body" {
            let answer = people.call("GET", MODELS, Some(&tokens.access), None).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let out = people.call("POST", "/api/v1/auth/logout", Some(&caller.access), None);
        assert_eq!(out.await.status, 204);
        let answer = waiting.answer(false).await.expect("an answer");
        assert_eq!(answer.status, 401, "{script}: {}", answer.text());
    }
}

/// Sends a request, and reads meanwhile: the head of an answer that may come before the request's end.
async fn head_of_the_answer(relay: SocketAddr, bytes: Bytes) -> String {
    let stream = TcpStream::connect(relay).await.expect("a connection");
    let (reader, mut writer) = stream.into_split();
    let writing = async { writer.write_all(&bytes).await.is_ok() };
    let reading = async {
        let (mut reader, mut head) = (BufReader::new(reader), Vec::new());
        while !head.ends_with(b"\r\n\r\n") {
            head.push(reader.read_u8().await.expect("a head"));
        }
        String::from_utf8_lossy(&head).to_lowercase()
    };
    tokio::join!(writing, reading).1
}

/// P16: memory has a limit, also for chats, which are read whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chats_that_are_read_whole_stay_within_the_memory_budget() {
    // Hashing the password of a login takes some of it.
    const BUDGET: u64 = 200 * 1024 * 1024;
    const LARGE: usize = 8 * 1024 * 1024;
    const CLIENTS: usize = 40;
    let people = People::start_with(Home::Sqlite, &[("MEMORY_BUDGET", "200MiB")]).await;
    let tokens = people.join("alice").await;
    let lines = [tokens.bearer(), "Content-Type: application/json".to_owned()];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut chat = hello();
    chat["user"] = json!("x".repeat(LARGE));
    let chat = Bytes::from(request(
        "POST",
        COMPLETIONS,
        &lines,
        chat.to_string().as_bytes(),
    ));
    let relay = people.relay.address();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(head_of_the_answer(relay, chat.clone()));
    }
    let (mut peak, mut heads) = (0, Vec::new());
    while !clients.is_empty() {
        let look = Duration::from_millis(5);
        if let Ok(Some(head)) = tokio::time::timeout(look, clients.join_next()).await {
            heads.push(head.expect("a client"));
        }
        peak = peak.max(people.relay.memory());
    }
    assert!(peak < BUDGET, "{} MiB", peak >> 20);
    let answered = |status: &str| {
        let first = format!("http/1.1 {status} ");
        heads.iter().filter(|head| head.starts_with(&first)).count()
    };
    let (whole, refused) = (answered("200"), answered("503"));
    assert!(whole > 0 && refused > 0, "{whole}, {refused}");
    assert_eq!(whole + refused, CLIENTS, "{heads:?}");
    let told = heads
        .iter()
        .filter(|head| head.contains("\r\nretry-after: "));
    assert_eq!(told.count(), refused);
    let overloaded =
        |line: &Value| line["code"] == "relay_overloaded" && line["outcome"] == "refused";
    let logged = || {
        people
            .relay
            .exchanges()
            .iter()
            .filter(|line| overloaded(line))
            .count()
    };
    eventually("each refusal is logged", || logged() == refused).await;
    // All of it is there again.
    for _ in 0..3 {
        let head = head_of_the_answer(relay, chat.clone()).await;
        assert!(head.starts_with("http/1.1 200 "), "{head}");
    }
    trust::record_part(
        "P16",
        "chats",
        &format!(
            "{CLIENTS} chats of 8 MiB at once and a budget of 200 MiB: peak {} MiB, {refused} refused with 503, and \
             each passes alone",
            peak >> 20
        ),
    );
}
