//! Users of the relays before this one keep their `.env` and their clients' calls: origins B and D.

use fake_openai::FakeOpenAi;
use serde_json::{Value, json};

use crate::support::ws::{Frame, Socket, upgrade};
use crate::support::{Answer, Connection, Relay, SERVER_KEY, get, upstream};

/// Origin B's documented `.env` for production. It has no key: its pages bring ephemeral ones.
const B_ENV: &str = include_str!("../../fixtures/config/valid/b-realtime.env");
/// What its documented calls ask for.
const B_TARGET: &str = "/realtime?model=gpt-4o-realtime-preview-2024-12-17";
const B_PAGES: [&str; 2] = [
    "Origin: https://cardstudio.org",
    "Origin: https://app.cardstudio.org",
];
/// What Node's `ws`, and with it wscat, offers beside.
const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";

async fn origin_b() -> (FakeOpenAi, Relay) {
    let upstream = upstream().await;
    let relay =
        Relay::start_with_env_file(B_ENV, &[("OPENAI_BASE_URL", &upstream.base_url())]).await;
    (upstream, relay)
}

/// The subprotocols of its calls.
fn b_protocols(token: &str) -> String {
    format!(
        "Sec-WebSocket-Protocol: realtime,openai-insecure-api-key.{token},openai-beta.realtime-v1"
    )
}

/// One of its calls, with a new token.
async fn call(upstream: &FakeOpenAi, relay: &Relay, headers: &[&str]) -> Result<Socket, Answer> {
    let protocols = b_protocols(&upstream.mint_ephemeral());
    let headers = [&[protocols.as_str(), DEFLATE], headers].concat();
    Socket::open(relay.address(), B_TARGET, &headers).await
}

fn is_opened(opened: Result<Socket, Answer>) -> Socket {
    opened.unwrap_or_else(|no| panic!("refused: {} {}", no.status, no.text()))
}

/// Hears of a session in the shape of the beta, which B's clients speak, and says something.
async fn converses(socket: &mut Socket) {
    let created = socket.event().await;
    assert_eq!(created["type"], "session.created", "{created}");
    assert_eq!(created["session"]["input_audio_format"], "pcm16");
    assert_eq!(socket.event().await["type"], "conversation.created");
    socket.say(r#"{"type":"input_audio_buffer.clear"}"#).await;
    assert_eq!(socket.event().await["type"], "input_audio_buffer.cleared");
}

/// What a page is told in place of a session.
async fn told(mut socket: Socket) -> (Value, u16) {
    let code = socket.event().await["error"]["code"].clone();
    (code, socket.message().await.closes_with().0)
}

/// Asks again and again until the answer is so.
async fn asked_until(relay: &Relay, path: &str, is_so: impl Fn(&Answer) -> bool) -> Answer {
    for _ in 0..10_000 {
        let answer = get(relay.address(), path, &[]).await;
        if is_so(&answer) {
            return answer;
        }
    }
    panic!("{path} never answered so");
}

#[tokio::test]
async fn origin_b_takes_wscat_with_its_token_in_the_list_and_counts_it() {
    let (upstream, relay) = origin_b().await;
    let mut socket = is_opened(call(&upstream, &relay, &[]).await);
    let answer = &socket.answer;
    assert_eq!(answer.header("sec-websocket-protocol"), Some("realtime"));
    converses(&mut socket).await;
    let seen = upstream.sockets().remove(0);
    let successor = "/v1/realtime?model=gpt-realtime-2.1-mini";
    assert_eq!(seen.request.target, successor);
    assert_eq!(seen.subprotocols, ["realtime"]);
    assert_eq!(seen.request.header("openai-beta"), None);
    let credential = seen.request.header("authorization");
    assert!(credential.is_some_and(|value| value.starts_with("Bearer ek_")));
    let stats = get(relay.address(), "/stats", &[]).await.json();
    for (name, value) in [
        ("totalConnections", 1),
        ("activeConnections", 1),
        ("messagesRelayed", 3),
        ("errors", 0),
        ("maxConnections", 200),
    ] {
        assert_eq!(stats[name], value, "{stats}");
    }
    assert!(stats["uptime"].is_number() && stats["startTime"].is_u64());
    socket.send(&Frame::close(1000, "")).await;
    assert_eq!(socket.message().await.closes_with().0, 1000);
    assert!(socket.has_ended().await);
    drop(socket);
    let health = asked_until(&relay, "/health", |health| {
        health.json()["activeConnections"] == 0
    });
    let health = health.await.json();
    assert_eq!(health["status"], "healthy");
    assert!(health["uptime"].is_number());
    assert!(
        health["timestamp"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z'))
    );
    let expected = json!({
        "totalConnections": 1, "activeConnections": 0, "messagesRelayed": 3, "errors": 0,
    });
    assert_eq!(health["stats"], expected);
    assert_eq!(get(relay.address(), "/ready", &[]).await.status, 200);
}

#[tokio::test]
async fn origin_b_serves_its_pages_behind_its_nginx_and_no_others() {
    let (upstream, relay) = origin_b().await;
    // As its documented proxy passes an upgrade on.
    let proxied = [
        "X-Real-IP: 203.0.113.9",
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-Proto: https",
    ];
    for page in B_PAGES {
        let protocols = b_protocols(&upstream.mint_ephemeral());
        let headers = [&[page, protocols.as_str(), DEFLATE], &proxied[..]].concat();
        let text =
            upgrade(B_TARGET, &headers).replace("Connection: Upgrade", "Connection: upgrade");
        let mut connection = Connection::open(relay.address()).await;
        connection.write(text.as_bytes()).await;
        let answer = connection.head().await.expect("an answer");
        assert_eq!(answer.status, 101, "{page}");
        assert_eq!(answer.header("sec-websocket-protocol"), Some("realtime"));
        let seen = upstream.take_sockets().remove(0);
        for name in [
            "origin",
            "x-real-ip",
            "x-forwarded-for",
            "x-forwarded-proto",
        ] {
            assert_eq!(seen.request.header(name), None, "{page}: {name}");
        }
    }
    upstream.take_received();
    for page in ["Origin: https://cardstudio.org.evil.test", "Origin: null"] {
        let refused = call(&upstream, &relay, &[page]).await;
        let refused = refused.err().expect("refused");
        let refusal = (refused.status, refused.code());
        assert_eq!(refusal, (403, "origin_not_allowed".to_owned()), "{page}");
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn origin_b_tells_clients_without_a_good_token_why_in_the_form_that_they_can_read() {
    let (upstream, relay) = origin_b().await;
    let nobody = ["Sec-WebSocket-Protocol: realtime, openai-beta.realtime-v1"];
    let refused = Socket::open(relay.address(), B_TARGET, &nobody).await;
    let refused = refused.err().expect("refused");
    let refusal = (refused.status, refused.code());
    assert_eq!(refusal, (401, "invalid_api_key".to_owned()));
    let page = [nobody[0], B_PAGES[0]];
    let socket = is_opened(Socket::open(relay.address(), B_TARGET, &page).await);
    assert_eq!(told(socket).await, (json!("invalid_api_key"), 1008));
    assert!(upstream.received().is_empty());
    // A token that has expired is OpenAI's to refuse, with its own code.
    let expired = b_protocols("ek_expired0123456789");
    for headers in [vec![expired.as_str()], vec![expired.as_str(), B_PAGES[1]]] {
        let socket = is_opened(Socket::open(relay.address(), B_TARGET, &headers).await);
        assert_eq!(told(socket).await, (json!("invalid_api_key"), 3000));
    }
}

#[tokio::test]
async fn origin_b_is_not_ready_for_more_than_its_200_sessions() {
    let (upstream, relay) = origin_b().await;
    let mut sockets = Vec::new();
    for _ in 0..200 {
        sockets.push(is_opened(call(&upstream, &relay, &[B_PAGES[0]]).await));
    }
    let ready = get(relay.address(), "/ready", &[]).await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json(), json!({ "status": "capacity_reached" }));
    let refused = call(&upstream, &relay, &[]).await.err().expect("refused");
    let refusal = (refused.status, refused.code());
    assert_eq!(refusal, (503, "capacity_reached".to_owned()));
    let page = is_opened(call(&upstream, &relay, &[B_PAGES[1]]).await);
    assert_eq!(told(page).await, (json!("capacity_reached"), 1008));
    let health = get(relay.address(), "/health", &[]).await.json();
    assert_eq!(health["stats"]["activeConnections"], 200, "{health}");
    converses(&mut sockets[199]).await;
    sockets.pop();
    asked_until(&relay, "/ready", |ready| ready.status == 200).await;
}

#[tokio::test]
async fn origin_b_needs_no_settings_at_all_where_it_is_developed() {
    let upstream = upstream().await;
    let relay = Relay::start(&[("OPENAI_BASE_URL", &upstream.base_url())]).await;
    let page = ["Origin: http://localhost:5173"];
    converses(&mut is_opened(call(&upstream, &relay, &page).await)).await;
}

/// Origin D's documented `.env.local`, with a key that the stand-in takes.
fn d_env() -> String {
    format!("OPENAI_API_KEY={SERVER_KEY}\n")
}

async fn origin_d(extra: &[(&str, &str)]) -> (FakeOpenAi, Relay) {
    let upstream = upstream().await;
    let base = upstream.base_url();
    let variables = [&[("OPENAI_BASE_URL", base.as_str())], extra].concat();
    let relay = Relay::start_with_file(".env.local", &d_env(), &variables).await;
    (upstream, relay)
}

#[tokio::test]
async fn origin_d_lends_its_key_to_pages_at_the_bare_url() {
    let (upstream, relay) = origin_d(&[]).await;
    let origin = "Origin: https://my-voice-app.example";
    let page = [origin, DEFLATE, "Cookie: session=1"];
    let mut socket = is_opened(Socket::open(relay.address(), "/", &page).await);
    assert_eq!(socket.answer.header("sec-websocket-protocol"), None);
    let created = socket.event().await;
    assert_eq!(created["type"], "session.created");
    assert_eq!(created["session"]["model"], "gpt-realtime-2.1-mini");
    let text = json!([{ "type": "input_text", "text": "Hola" }]);
    let item = json!({ "type": "message", "role": "user", "content": text });
    for event in [
        json!({ "type": "conversation.item.create", "item": item }),
        json!({ "type": "response.create" }),
    ] {
        socket.say(&event.to_string()).await;
    }
    let mut transcript = String::new();
    loop {
        let event = socket.event().await;
        assert_ne!(event["type"], "error", "{event}");
        if event["type"] == "response.output_audio_transcript.delta" {
            transcript += event["delta"].as_str().expect("a text");
        }
        if event["type"] == "response.done" {
            break;
        }
    }
    assert_eq!(transcript, "You said: Hola");
    let request = &upstream.sockets()[0].request;
    let bearer = format!("Bearer {SERVER_KEY}");
    assert_eq!(request.header_all("authorization"), [bearer]);
    assert_eq!(
        (request.header("origin"), request.header("cookie")),
        (None, None)
    );
    let health = get(relay.address(), "/health", &[]).await.json();
    assert_eq!(health["activeConnections"], 1, "{health}");
    assert!(health["status"] == "healthy" && health["uptime"].is_number());
    assert!(!relay.whole_log().await.contains(SERVER_KEY));
}

#[tokio::test]
async fn origin_d_serves_strangers_at_the_bare_url_and_nowhere_else() {
    let (upstream, relay) = origin_d(&[]).await;
    // As its hosting passes on what comes from elsewhere.
    let elsewhere = "X-Forwarded-For: 203.0.113.7";
    let wscat = Socket::open(relay.address(), "/", &[elsewhere, DEFLATE]).await;
    assert_eq!(is_opened(wscat).event().await["type"], "session.created");
    upstream.take_received();
    let models = get(relay.address(), "/v1/models", &[elsewhere]).await;
    assert_eq!(
        (models.status, models.code().as_str()),
        (401, "invalid_api_key")
    );
    let responses = Socket::open(relay.address(), "/v1/responses", &[elsewhere]).await;
    assert_eq!(responses.err().map(|refused| refused.status), Some(401));
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn origin_d_in_production_is_closed_until_it_is_opened_to_its_pages() {
    let listed = "https://my-voice-app.example";
    let (page, other) = (format!("Origin: {listed}"), "Origin: https://evil.test");
    let production = [("NODE_ENV", "production"), ("ALLOWED_ORIGINS", listed)];
    let (upstream, relay) = origin_d(&production).await;
    let wscat = Socket::open(relay.address(), "/", &[]).await;
    assert_eq!(wscat.err().map(|refused| refused.status), Some(401));
    let socket = is_opened(Socket::open(relay.address(), "/", &[&page]).await);
    assert_eq!(told(socket).await, (json!("invalid_api_key"), 1008));
    assert!(upstream.received().is_empty());
    let opened = [&production[..], &[("ALLOW_ANONYMOUS", "true")]].concat();
    let (upstream, relay) = origin_d(&opened).await;
    let mut socket = is_opened(Socket::open(relay.address(), "/", &[&page]).await);
    assert_eq!(socket.event().await["type"], "session.created");
    upstream.take_received();
    let refused = Socket::open(relay.address(), "/", &[other]).await;
    let refused = refused.err().expect("refused");
    let refusal = (refused.status, refused.code());
    assert_eq!(refusal, (403, "origin_not_allowed".to_owned()));
    assert!(upstream.received().is_empty());
}
