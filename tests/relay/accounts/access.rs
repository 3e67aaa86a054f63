//! An access token is a relay credential, wherever a credential goes, until it is withdrawn; and
//! then what runs by it ends.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::support::Connection;
use crate::support::ws::Socket;

/// Events that never stop by themselves.
const ENDLESS: &str = "/v1/_fake/bytes?n=100000000&chunked=1&chunk=200";
const SLOWLY: &str = "X-Fake-Script: chunk-delay=20";

on_both! {
    async fn an_access_token_lends_the_servers_key_and_stays_behind(home: Home) {
        let mut people = People::start(home).await;
        let tokens = people.join("alice").await;
        let organization = "OpenAI-Organization: org-of-the-clients".to_owned();
        let lines = [tokens.bearer(), organization];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let answer = get(people.relay.address(), "/v1/models", &lines).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let received = people.upstream.take_received();
        let key = format!("Bearer {SERVER_KEY}");
        assert_eq!(received[0].header_all("authorization"), [key]);
        assert_eq!(received[0].header("openai-organization"), None);
        let head = String::from_utf8_lossy(&received[0].raw_head).into_owned();
        assert!(!head.contains(&tokens.access), "{head}");
        let line = people.relay.line(|line| line["path"] == "/v1/models").await;
        let subject = line["subject"].as_str().expect("a subject");
        assert!(subject.starts_with("user:"), "{line}");
        assert!(!people.relay.log_text().contains(&tokens.access));
    }
}

/// What an answer says of an access token.
fn code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.code())
}

#[tokio::test]
async fn an_access_token_that_is_not_good_is_401_in_the_form_of_each_door() {
    let people = People::start(Home::Sqlite).await;
    let tokens = people.join("alice").await;
    let out = people.call("POST", "/api/v1/auth/logout", Some(&tokens.access), None);
    assert_eq!(out.await.status, 204);
    let refused = (401, "invalid_api_key".to_owned());
    let answer = people
        .call("GET", "/v1/models", Some(&tokens.access), None)
        .await;
    assert_eq!(code(&answer), refused);
    let offer = json!({ "sdp": "v=0", "token": tokens.access });
    let answer = people.call("POST", "/offer", None, Some(&offer)).await;
    assert_eq!(code(&answer), refused);
    assert!(answer.json()["message"].is_string());
    let protocol = format!(
        "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{}",
        tokens.access
    );
    let Err(answer) =
        Socket::open(people.relay.address(), "/v1/realtime?model=m", &[&protocol]).await
    else {
        panic!("a socket for nobody");
    };
    assert_eq!(code(&answer), refused);
    assert!(people.upstream.received().is_empty());
}

#[tokio::test]
async fn an_access_token_opens_sockets_and_offers_too() {
    let people = People::start(Home::Sqlite).await;
    let tokens = people.join("alice").await;
    let protocol = format!(
        "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{}",
        tokens.access
    );
    for (target, line) in [
        ("/v1/realtime?model=gpt-realtime-2.1-mini", &protocol),
        ("/realtime?model=gpt-realtime-2.1-mini", &protocol),
        ("/", &protocol),
        ("/v1/realtime?model=gpt-realtime-2.1-mini", &tokens.bearer()),
    ] {
        let socket = Socket::open(people.relay.address(), target, &[line]).await;
        let socket = socket.unwrap_or_else(|answer| panic!("{target}: {}", answer.text()));
        let echoed = socket.answer.header("sec-websocket-protocol");
        assert_eq!(echoed, line.starts_with("Sec").then_some("realtime"));
    }
    for received in people.upstream.take_received() {
        let head = String::from_utf8_lossy(&received.raw_head).into_owned();
        assert!(
            head.contains(SERVER_KEY) && !head.contains(&tokens.access),
            "{head}"
        );
    }
    let sdp = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\na=fingerprint:sha-256 00\r\n";
    for (line, token) in [(Some(tokens.bearer()), None), (None, Some(&tokens.access))] {
        let mut offer = json!({ "sdp": sdp });
        if let Some(token) = token {
            offer["token"] = json!(token);
        }
        let lines: Vec<&str> = line.as_deref().into_iter().collect();
        let answer = call(&people.relay, "POST", "/offer", &lines, Some(&offer)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

#[tokio::test]
async fn accounts_cannot_take_openai_credentials_out_of_the_relay() {
    let people = People::start_with(Home::Sqlite, &[("RELAY_TOKEN", RELAY_TOKEN)]).await;
    let tokens = people.join("alice").await;
    let body = json!({ "session": { "type": "realtime", "model": "gpt-realtime-2.1-mini" } });
    for path in [
        "/v1/realtime/client%5fsecrets",
        "/v1/realtime/client_secrets/",
        "/v1/realtime/translations/client%5Fsecrets",
        "/v1/realtime/%73essions",
        "/v1/chatkit/sessions",
    ] {
        let answer = people
            .call("POST", path, Some(&tokens.access), Some(&body))
            .await;
        assert_eq!(code(&answer), (403, "forbidden".to_owned()), "{path}");
    }
    assert!(people.upstream.take_received().is_empty());
    for path in [
        "/v1/realtime/client_secrets",
        "/v1/realtime/client_secrets?x=1",
        "/v1/realtime/translations/client_secrets",
    ] {
        let answer = people
            .call("POST", path, Some(&tokens.access), Some(&body))
            .await;
        let value = answer.json()["value"].as_str().map(str::to_owned);
        let value = value.unwrap_or_else(|| panic!("{path}: {}", answer.text()));
        assert!(value.starts_with("ek_relay_"), "{path}: {value}");
    }
    let path = "/v1/realtime/client_secrets";
    let answer = people
        .call("POST", path, Some(RELAY_TOKEN), Some(&body))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Something that goes on by a user's token, until the relay ends it.
struct Stream(Connection);

impl Stream {
    async fn start(relay: &Relay, tokens: &Tokens, path: &str) -> Stream {
        let mut connection = Connection::open(relay.address()).await;
        let lines = [tokens.bearer(), SLOWLY.to_owned()];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        connection.write(&request("GET", path, &lines, b"")).await;
        let head = connection.head().await.expect("a head");
        assert_eq!(head.status, 200);
        connection.more().await.expect("it runs");
        Stream(connection)
    }

    /// The rest of it, once it has ended.
    async fn end(mut self) -> String {
        let mut rest = Vec::new();
        while let Some(bytes) = self.0.more().await {
            rest.extend(bytes);
        }
        String::from_utf8_lossy(&rest).into_owned()
    }
}

on_both! {
    async fn who_is_disabled_is_out_within_a_second_on_the_relay_that_was_told(home: Home) {
        let mut people = People::start(home).await;
        let admin = people.admin().await;
        let (tokens, bystander) = (people.join("alice").await, people.join("bob").await);
        let stream = Stream::start(&people.relay, &tokens, ENDLESS).await;
        let others = Stream::start(&people.relay, &bystander, ENDLESS).await;
        let line = tokens.bearer();
        let target = "/v1/realtime?model=gpt-realtime-2.1-mini";
        let opened = Socket::open(people.relay.address(), target, &[&line]).await;
        let mut socket = opened.unwrap_or_else(|answer| panic!("{}", answer.text()));
        let change = json!({ "is_active": false });
        let path = "/api/v1/admin/users/alice";
        let answer = people.call("PATCH", path, Some(&admin.access), Some(&change)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["is_active"], false);
        let rest = stream.end().await;
        assert!(!rest.ends_with("0\r\n\r\n"), "a cut stream looks cut");
        let (code, _) = loop {
            let frame = socket.message().await;
            if frame.opcode() == 8 {
                break frame.closes_with();
            }
        };
        assert_eq!(code, 3000);
        assert!(!people.opens(&tokens).await);
        assert_eq!(people.try_log_in("alice", PASSWORD).await.status, 401);
        let refresh = json!({ "refresh_token": tokens.refresh });
        assert_eq!(people.post("/api/v1/auth/refresh", &refresh).await.status, 401);
        let line = people.relay.line(|line| line["outcome"] == "revoked").await;
        assert!(line["subject"].as_str().is_some_and(|subject| subject.starts_with("user:")), "{line}");
        assert!(people.opens(&bystander).await);
        drop(others);

        let change = json!({ "is_active": true });
        people.call("PATCH", path, Some(&admin.access), Some(&change)).await;
        assert!(!people.opens(&tokens).await, "its old logins stay ended");
        people.log_in("alice").await;
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_between_two_events_says_why() {
    let people = People::start(Home::Sqlite).await;
    let tokens = people.join("alice").await;
    let body = json!({
        "model": "gpt-6-luna", "stream": true,
        "messages": [{ "role": "user", "content": "word ".repeat(2000) }],
    });
    let text = body.to_string();
    let lines = [
        tokens.bearer(),
        "X-Fake-Script: chunk-delay=10".to_owned(),
        "Content-Type: application/json".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut connection = Connection::open(people.relay.address()).await;
    connection
        .write(&request(
            "POST",
            "/v1/chat/completions",
            &lines,
            text.as_bytes(),
        ))
        .await;
    assert_eq!(connection.head().await.expect("a head").status, 200);
    connection.more().await.expect("events");
    let out = people.call("POST", "/api/v1/auth/logout", Some(&tokens.access), None);
    assert_eq!(out.await.status, 204);
    let rest = Stream(connection).end().await;
    let last = rest.rsplit("data: ").next().unwrap_or_default();
    assert!(
        last.contains("invalid_api_key") && last.contains("withdrawn"),
        "{last}"
    );
    assert!(!rest.contains("[DONE]"));
}

#[tokio::test]
async fn a_request_that_waits_for_its_answer_ends_when_its_login_does() {
    let people = People::start(Home::Sqlite).await;
    let (tokens, other) = (people.join("alice").await, people.log_in("alice").await);
    let mut waiting = Connection::open(people.relay.address()).await;
    let lines = [tokens.bearer(), "X-Fake-Script: hang=head".to_owned()];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    waiting
        .write(&request("GET", "/v1/models", &lines, b""))
        .await;
    let upstream = &people.upstream;
    eventually("it waits for the upstream", || {
        !upstream.received().is_empty()
    })
    .await;
    let body = json!({ "current_password": PASSWORD, "new_password": "another good one" });
    let answer = people
        .call(
            "POST",
            "/api/v1/auth/password",
            Some(&other.access),
            Some(&body),
        )
        .await;
    assert_eq!(answer.status, 204);
    let answer = waiting.answer(false).await.expect("an answer");
    assert_eq!(code(&answer), (401, "invalid_api_key".to_owned()));
    assert!(people.opens(&other).await);
}

on_both! {
    async fn what_runs_on_another_relay_ends_within_a_minute(home: Home) {
        let people = People::start(home).await;
        let tokens = people.join("alice").await;
        let other = people.replica(&[]).await;
        // More logins than are asked about at once.
        let mut streams = vec![Stream::start(&other, &tokens, ENDLESS).await];
        for _ in 0..40 {
            let tokens = people.log_in("alice").await;
            streams.push(Stream::start(&other, &tokens, ENDLESS).await);
        }
        let disabled = people.database.json(&["user", "disable", "alice", "--json"], "").await;
        assert_eq!(disabled["is_active"], false);
        let ends = async {
            for stream in streams {
                stream.end().await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(75), ends).await;
        assert!(ended.is_ok(), "it still runs");
        let lines = [tokens.bearer()];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(get(other.address(), "/v1/models", &lines).await.status, 401);
    }
}
