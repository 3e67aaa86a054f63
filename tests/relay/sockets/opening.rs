//! What a client asks for, and what goes upstream for it.

use crate::support::ws::Socket;
use crate::support::{RELAY_TOKEN, SERVER_KEY, authorization, pair, pair_with};

const ECHO: &str = "X-Fake-Script: echo";

#[tokio::test]
async fn every_path_of_sockets_reaches_its_own_upstream() {
    let (upstream, relay) = pair().await;
    let key = authorization();
    for (asked, reached) in [
        ("/v1/realtime?model=m", "/v1/realtime?model=m"),
        ("/realtime?model=m", "/v1/realtime?model=m"),
        ("/?model=m", "/v1/realtime?model=m"),
        ("/", "/v1/realtime?model=gpt-realtime-2.1-mini"),
        ("/realtime", "/v1/realtime?model=gpt-realtime-2.1-mini"),
        ("/v1/realtime?", "/v1/realtime?model=gpt-realtime-2.1-mini"),
        (
            "/realtime?x=%2F&y",
            "/v1/realtime?x=%2F&y&model=gpt-realtime-2.1-mini",
        ),
        ("/v1/realtime?call_id=rtc_1", "/v1/realtime?call_id=rtc_1"),
        (
            "/v1/realtime?intent=transcription",
            "/v1/realtime?intent=transcription",
        ),
        ("/?model=&new=1", "/v1/realtime?model=&new=1"),
        (
            "/v1/realtime/translations?model=t",
            "/v1/realtime/translations?model=t",
        ),
        ("/v1/responses", "/v1/responses"),
        ("/v1/live/sessions", "/v1/live/sessions"),
        (
            "/v1/live/sessions/live_1/attach",
            "/v1/live/sessions/live_1/attach",
        ),
        ("/v1/what/comes/next?a=b", "/v1/what/comes/next?a=b"),
    ] {
        let socket = Socket::open(relay.address(), asked, &[&key, ECHO]).await;
        let mut socket = socket.unwrap_or_else(|no| panic!("{asked}: {}", no.text()));
        socket.say("there and back").await;
        assert_eq!(socket.message().await.text(), "there and back", "{asked}");
        assert_eq!(upstream.take_sockets()[0].request.target, reached);
        assert_eq!(socket.answer.header("sec-websocket-protocol"), None);
    }
}

#[tokio::test]
async fn only_authorization_and_realtime_go_up_of_what_a_page_offers() {
    let (upstream, relay) = pair().await;
    let key = format!("openai-insecure-api-key.{RELAY_TOKEN}");
    for list in [
        format!("realtime, {key}"),
        format!("{key}, realtime"),
        format!("realtime, {key}, openai-organization.org-1, openai-project.proj_1"),
        format!("realtime, {key}, openai-agents-sdk.0.4.0"),
        format!("realtime, {key}, openai-beta.realtime-v1"),
    ] {
        let protocols = format!("Sec-WebSocket-Protocol: {list}");
        let headers = [
            &protocols,
            ECHO,
            "OpenAI-Beta: realtime=v1",
            "Origin: https://app.example.com",
            "Cookie: session=1",
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
            "X-Forwarded-For: 203.0.113.9",
            "User-Agent: page/1",
        ];
        let socket = Socket::open(relay.address(), "/v1/realtime?model=m", &headers).await;
        let socket = socket.unwrap_or_else(|no| panic!("{list}: {}", no.text()));
        let answer = &socket.answer;
        assert_eq!(
            answer.header("sec-websocket-protocol"),
            Some("realtime"),
            "{list}"
        );
        assert_eq!(answer.header("sec-websocket-extensions"), None, "{list}");
        let seen = upstream.take_sockets().remove(0);
        assert_eq!(seen.subprotocols, ["realtime"], "{list}");
        assert!(
            !seen.deflate_offered && seen.extensions.is_empty(),
            "{list}"
        );
        let request = &seen.request;
        let bearer = format!("Bearer {SERVER_KEY}");
        assert_eq!(request.header_all("authorization"), [bearer], "{list}");
        assert_eq!(request.header("user-agent"), Some("page/1"), "{list}");
        for name in ["openai-beta", "origin", "cookie", "x-forwarded-for"] {
            assert_eq!(request.header(name), None, "{list}: {name}");
        }
        let head = String::from_utf8_lossy(&request.raw_head).into_owned();
        assert!(!head.contains(RELAY_TOKEN), "{list}: {head}");
    }
    let log = relay.whole_log().await;
    assert!(!log.contains(RELAY_TOKEN), "{log}");
}

#[tokio::test]
async fn a_page_that_offers_no_realtime_hears_a_protocol_that_it_offered() {
    let (upstream, relay) = pair().await;
    let list = format!(
        "Sec-WebSocket-Protocol: openai-insecure-api-key.{RELAY_TOKEN}, openai-beta.realtime-v1"
    );
    let socket = Socket::open(relay.address(), "/", &[&list, ECHO]).await;
    let socket = socket.unwrap_or_else(|no| panic!("{}", no.text()));
    let chosen = socket.answer.header("sec-websocket-protocol");
    assert_eq!(chosen, Some("openai-beta.realtime-v1"));
    assert!(upstream.take_sockets()[0].subprotocols.is_empty());
}

#[tokio::test]
async fn headers_of_the_upstreams_101_reach_the_client() {
    let (_upstream, relay) = pair().await;
    let key = authorization();
    let script = "X-Fake-Script: echo header=X-New-Thing:42 header=Set-Cookie:a=b";
    let socket = Socket::open(relay.address(), "/v1/realtime?model=m", &[&key, script]).await;
    let socket = socket.unwrap_or_else(|no| panic!("{}", no.text()));
    let answer = &socket.answer;
    assert_eq!(answer.header("x-new-thing"), Some("42"));
    assert_eq!(answer.header("set-cookie"), None);
    assert!(answer.header("x-request-id").is_some());
    assert_eq!(
        answer.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert_eq!(answer.header("content-security-policy"), None);
}

#[tokio::test]
async fn a_second_entry_of_openai_beta_goes_up_without_the_marker() {
    let (upstream, relay) = pair().await;
    let key = authorization();
    let beta = "OpenAI-Beta: responses_websockets=2026-02-06, realtime=v1";
    let socket = Socket::open(relay.address(), "/v1/responses", &[&key, ECHO, beta]).await;
    assert!(socket.is_ok());
    let seen = upstream.take_sockets().remove(0);
    let expected = Some("responses_websockets=2026-02-06");
    assert_eq!(seen.request.header("openai-beta"), expected);
}

#[tokio::test]
async fn an_address_of_its_own_takes_realtime_sockets_and_nothing_else() {
    let elsewhere = crate::support::upstream().await;
    let url = format!("ws://{}/v1/realtime", elsewhere.addr());
    let (upstream, relay) = pair_with(&[("OPENAI_API_URL", &url)]).await;
    let key = authorization();
    for path in ["/", "/realtime?model=m", "/v1/realtime?model=m"] {
        let socket = Socket::open(relay.address(), path, &[&key, ECHO]).await;
        assert!(socket.is_ok(), "{path}");
        assert_eq!(elsewhere.take_sockets().len(), 1, "{path}");
    }
    let socket = Socket::open(relay.address(), "/v1/responses", &[&key, ECHO]).await;
    assert!(socket.is_ok());
    assert_eq!(upstream.take_sockets().len(), 1);
    assert!(elsewhere.take_sockets().is_empty());
}

#[tokio::test]
async fn what_a_client_sends_ahead_of_the_101_is_not_lost() {
    let (_upstream, relay) = pair().await;
    let mut connection = crate::support::Connection::open(relay.address()).await;
    let key = authorization();
    let mut bytes = crate::support::ws::upgrade("/v1/realtime?model=m", &[&key, ECHO]).into_bytes();
    let early = crate::support::ws::Frame::whole(crate::support::ws::TEXT, "early");
    bytes.extend(early.masked(*b"abcd"));
    connection.write(&bytes).await;
    let head = connection.head().await.expect("an answer");
    assert_eq!(head.status, 101);
    let mut read = Vec::new();
    while read.len() < 7 {
        read.extend(connection.more().await.expect("an echo"));
    }
    assert_eq!(read, b"\x81\x05early");
}
