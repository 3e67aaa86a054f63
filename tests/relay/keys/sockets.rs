//! Rules on what is said over a socket: a message that they refuse is answered, and the session goes on.

use super::*;
use crate::support::ws::{BINARY, Frame, Socket};

async fn session(people: &People, key: &str) -> Socket {
    let target = format!("/v1/realtime?model={VOICE}");
    let socket = Socket::open(people.relay.address(), &target, &[&bearer(key)]).await;
    let mut socket = socket.unwrap_or_else(|answer| panic!("{}", answer.text()));
    assert_eq!(socket.event().await["type"], "session.created");
    socket
}

fn update(session: &Value) -> String {
    json!({ "type": "session.update", "session": session }).to_string()
}

#[tokio::test]
async fn a_refused_event_is_answered_by_an_error_and_the_session_goes_on() {
    let people = People::start(Home::Sqlite).await;
    let words = [
        "--models",
        &format!("{VOICE},whisper-1"),
        "--pin",
        "instructions,voice",
    ];
    let (key, _) = make(&people.database, &words).await;
    let mut socket = session(&people, &key).await;
    for (refused, code) in [
        (update(&json!({ "type": "realtime", "model": "gpt-realtime-2.1" })), "forbidden"),
        (update(&json!({ "type": "realtime", "instructions": "obey" })), "forbidden"),
        (update(&json!({ "type": "realtime", "audio": { "output": { "voice": "ash" } } })), "forbidden"),
        (update(&json!({ "type": "realtime", "prompt": { "id": "pmpt_1" } })), "forbidden"),
        (json!({ "type": "response.create", "response": { "instructions": "obey" } }).to_string(), "forbidden"),
        (update(&json!({ "audio": { "input": { "transcription": { "model": "gpt-4o-transcribe" } } } })), "forbidden"),
        (r#"{"type":"input_audio_buffer.append","audio":"AAAA","type":"session.update","session":{"model":"x"}}"#.to_owned(), "forbidden"),
        (r#"{"type":"session.update","session":{"mod\u0065l":"gpt-realtime-2.1"}}"#.to_owned(), "unclear_request"),
        ("{nonsense".to_owned(), "unclear_request"),
    ] {
        socket.say(&refused).await;
        let event = socket.event().await;
        assert_eq!(event["type"], "error", "{refused}: {event}");
        assert_eq!(event["error"]["code"], code, "{refused}: {event}");
    }
    socket.send(&Frame::whole(BINARY, vec![0; 8])).await;
    assert_eq!(socket.event().await["error"]["code"], "forbidden");
    let allowed =
        update(&json!({ "type": "realtime", "model": VOICE, "output_modalities": ["text"] }));
    socket.say(&allowed).await;
    assert_eq!(socket.event().await["type"], "session.updated");
    let seen = people
        .upstream
        .sockets()
        .last()
        .expect("a socket")
        .received
        .text
        .messages;
    assert_eq!(seen, 1, "nothing that was refused went up");
}

#[tokio::test]
async fn sockets_of_responses_are_judged_too() {
    let people = People::start(Home::Sqlite).await;
    let (key, _) = make(&people.database, &["--models", MODEL]).await;
    let opened = Socket::open(people.relay.address(), "/v1/responses", &[&bearer(&key)]).await;
    let mut socket = opened.unwrap_or_else(|answer| panic!("{}", answer.text()));
    for refused in [
        json!({ "type": "response.create", "model": "gpt-6", "input": "Hi" }),
        json!({ "type": "response.create", "prompt": { "id": "pmpt_1" }, "input": "Hi" }),
        json!({ "type": "response.create", "model": MODEL, "tools": [{ "type": "image_generation", "model": "gpt-image-1" }] }),
    ] {
        socket.say(&refused.to_string()).await;
        let event = socket.event().await;
        assert_eq!(event["error"]["code"], "forbidden", "{refused}: {event}");
    }
    let create = json!({ "type": "response.create", "model": MODEL, "input": "Hi" });
    socket.say(&create.to_string()).await;
    assert_eq!(socket.event().await["type"], "response.created");
}

#[tokio::test]
async fn the_model_of_a_session_may_be_pinned() {
    let people = People::start(Home::Sqlite).await;
    let (key, _) = make(&people.database, &["--pin", "model,tools"]).await;
    let mut socket = session(&people, &key).await;
    socket
        .say(&update(
            &json!({ "type": "realtime", "model": "gpt-realtime-2.1" }),
        ))
        .await;
    assert_eq!(socket.event().await["error"]["code"], "forbidden");
    socket
        .say(&update(&json!({ "type": "realtime", "tools": [] })))
        .await;
    assert_eq!(socket.event().await["error"]["code"], "forbidden");
    let input = json!({ "transcription": { "model": "whisper-1" } });
    let own = update(&json!({ "type": "realtime", "model": VOICE, "audio": { "input": input } }));
    socket.say(&own).await;
    assert_eq!(socket.event().await["type"], "session.updated");
}

#[tokio::test]
async fn clients_of_the_beta_are_judged_by_what_goes_up() {
    let people = People::start(Home::Sqlite).await;
    let words = ["--models", VOICE, "--pin", "voice"];
    let (key, _) = make(&people.database, &words).await;
    let target = format!("/v1/realtime?model={VOICE}");
    let lines = [bearer(&key), "OpenAI-Beta: realtime=v1".to_owned()];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let opened = Socket::open(people.relay.address(), &target, &lines).await;
    let mut socket = opened.unwrap_or_else(|answer| panic!("{}", answer.text()));
    assert_eq!(socket.event().await["type"], "session.created");
    assert_eq!(socket.event().await["type"], "conversation.created");
    for refused in [
        json!({ "voice": "ash" }),
        json!({ "input_audio_transcription": { "model": "whisper-1" } }),
    ] {
        socket.say(&update(&refused)).await;
        let event = socket.event().await;
        assert_eq!(event["error"]["code"], "forbidden", "{refused}: {event}");
    }
    socket.say(&update(&json!({ "temperature": 0.7 }))).await;
    assert_eq!(socket.event().await["type"], "session.updated");
}

#[tokio::test]
async fn other_models_open_no_session() {
    let people = People::start(Home::Sqlite).await;
    let (key, _) = make(&people.database, &["--models", "gpt-realtime-2.1"]).await;
    people.upstream.take_received();
    for target in [
        "/v1/realtime?model=gpt-realtime-2.1-mini",
        "/v1/realtime?model=gpt-realtime-2.1&model=gpt-realtime-2.1-mini",
        "/v1/realtime?Model=gpt-realtime-2.1-mini&model=gpt-realtime-2.1",
        "/v1/realtime?model=gpt-realtime-2.1;model=x",
        "/v1/realtime?model[]=x",
        "/v1/realtime?model=gpt%2Drealtime%2D2.1%2Dmini",
        "/realtime",
        "/",
    ] {
        let opened = Socket::open(people.relay.address(), target, &[&bearer(&key)]).await;
        let Err(answer) = opened else {
            panic!("{target} is open");
        };
        assert!(
            matches!(answer.status, 400 | 403),
            "{target}: {}",
            answer.text()
        );
    }
    assert!(people.upstream.take_received().is_empty());
}
