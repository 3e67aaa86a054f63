//! Clients of the retired Realtime beta: marked by header or subprotocol, translated both ways.

use serde_json::json;

use crate::support::ws::Socket;
use crate::support::{RELAY_TOKEN, Relay, authorization, pair, pair_with};

const MARK: &str = "OpenAI-Beta: realtime=v1";

async fn open(relay: &Relay, target: &str, headers: &[&str]) -> Socket {
    let socket = Socket::open(relay.address(), target, headers).await;
    socket.unwrap_or_else(|no| panic!("{target}: {} {}", no.status, no.text()))
}

/// The types of the events until this one, itself included.
async fn until(socket: &mut Socket, last: &str) -> Vec<String> {
    let mut types = Vec::new();
    while types.last().is_none_or(|seen| seen != last) {
        let event = socket.event().await;
        types.push(event["type"].as_str().expect("a type").to_owned());
    }
    types
}

#[tokio::test]
async fn a_marked_client_holds_a_conversation_in_the_betas_words() {
    let (upstream, relay) = pair().await;
    let key = authorization();
    let protocols = format!(
        "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{RELAY_TOKEN}, openai-beta.realtime-v1"
    );
    let target = "/v1/realtime?model=gpt-realtime-2.1";
    for headers in [vec![key.as_str(), MARK], vec![protocols.as_str()]] {
        let mut socket = open(&relay, target, &headers).await;
        let created = socket.event().await;
        assert_eq!(created["type"], "session.created");
        let session = &created["session"];
        assert_eq!(session["input_audio_format"], "pcm16", "{session}");
        assert!(
            session["modalities"].is_array() && session["voice"].is_string(),
            "{session}"
        );
        let update = json!({"type": "session.update", "session": {
            "modalities": ["text"], "instructions": "Be brief.", "temperature": 0.7, "turn_detection": null
        }});
        socket.say(&update.to_string()).await;
        until(&mut socket, "session.updated").await;
        let item = json!({"type": "conversation.item.create", "item": {
            "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]
        }});
        socket.say(&item.to_string()).await;
        until(&mut socket, "conversation.item.created").await;
        socket
            .say(&json!({"type": "response.create"}).to_string())
            .await;
        let types = until(&mut socket, "response.done").await;
        assert!(
            types.contains(&"response.text.delta".to_owned()),
            "{types:?}"
        );
        assert!(
            types.contains(&"conversation.item.created".to_owned()),
            "{types:?}"
        );
        assert!(
            !types.iter().any(|seen| seen.contains("output_text")),
            "{types:?}"
        );
    }
    for seen in upstream.take_sockets() {
        assert_eq!(seen.request.header("openai-beta"), None);
        let texts = seen.received.texts();
        assert!(
            texts
                .iter()
                .any(|text| text.contains("\"output_modalities\":[\"text\"]")),
            "{texts:?}"
        );
    }
    // A field that GA does not take is noted.
    relay.says("temperature").await;
}

#[tokio::test]
async fn a_retired_model_has_a_successor_which_the_answer_names() {
    let (upstream, relay) = pair_with(&[("MODEL_ALIASES", "mine=gpt-realtime-2.1")]).await;
    let key = authorization();
    for (asked, reached) in [
        (
            "gpt-4o-realtime-preview-2024-12-17",
            "gpt-realtime-2.1-mini",
        ),
        (
            "gpt-4o-realtime-preview-2024-12-17",
            "gpt-realtime-2.1-mini",
        ),
        ("mine", "gpt-realtime-2.1"),
    ] {
        let target = format!("/realtime?x=1&model={asked}&y=2");
        let socket = open(&relay, &target, &[&key, "X-Fake-Script: echo"]).await;
        assert_eq!(socket.answer.header("x-relay-model"), Some(reached));
        let seen = upstream.take_sockets().remove(0);
        assert_eq!(
            seen.request.target,
            format!("/v1/realtime?x=1&model={reached}&y=2")
        );
    }
    let told = "a model is replaced";
    relay.says("\"mine\"").await;
    let mut translated = open(&relay, "/realtime?model=mine", &[&key, MARK]).await;
    let old = "gpt-4o-mini-realtime-preview";
    let update = json!({ "type": "session.update", "session": { "model": old } });
    translated.say(&update.to_string()).await;
    relay.says(&format!("\"{old}\"")).await;
    let log = relay.whole_log().await;
    assert_eq!(log.matches(told).count(), 3, "once for each name");
}

#[tokio::test]
async fn ga_takes_the_marker_away_and_refuse_refuses_as_openai_does() {
    let (upstream, relay) = pair_with(&[("REALTIME_BETA", "ga")]).await;
    let key = authorization();
    let target = "/v1/realtime?model=gpt-realtime-2.1";
    let mut socket = open(&relay, target, &[&key, MARK]).await;
    let created = socket.event().await;
    assert!(
        created["session"]["audio"].is_object(),
        "GA as it is: {created}"
    );
    assert_eq!(
        upstream.take_sockets()[0].request.header("openai-beta"),
        None
    );
    let (upstream, relay) = pair_with(&[("REALTIME_BETA", "refuse")]).await;
    let answer = Socket::open(relay.address(), target, &[&key, MARK]).await;
    let answer = answer.err().expect("refused");
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "beta_api_shape_disabled")
    );
    let mut page = open(&relay, target, &[&key, MARK, "Origin: https://a.example"]).await;
    assert_eq!(
        page.event().await["error"]["code"],
        "beta_api_shape_disabled"
    );
    let (code, reason) = page.message().await.closes_with();
    assert_eq!(code, 4000);
    assert_eq!(reason, "invalid_request_error.beta_api_shape_disabled");
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_client_without_the_marker_is_not_translated() {
    let (upstream, relay) = pair().await;
    let key = authorization();
    let mut socket = open(&relay, "/v1/realtime?model=gpt-realtime-2.1", &[&key]).await;
    let created = socket.event().await;
    assert!(created["session"]["audio"].is_object(), "{created}");
    let flat = json!({"type": "session.update", "session": {"modalities": ["text"]}});
    socket.say(&flat.to_string()).await;
    assert_eq!(socket.event().await["type"], "error");
    let seen = upstream
        .socket_until(0, |socket| socket.received.message_count() == 1)
        .await;
    assert_eq!(seen.received.texts(), [flat.to_string()]);
}

#[tokio::test]
async fn a_transcription_opens_although_old_sdks_have_to_name_a_model() {
    let (upstream, relay) = pair().await;
    let key = authorization();
    let query = "?model=gpt-4o-realtime-preview&intent=transcription&x=1";
    let mut socket = open(&relay, &format!("/v1/realtime{query}"), &[&key, MARK]).await;
    let created = socket.event().await;
    assert_eq!(created["type"], "transcription_session.created");
    assert_eq!(socket.answer.header("x-relay-model"), None);
    // What speaks GA says itself what it wants.
    open(&relay, &format!("/v1/realtime{query}"), &[&key]).await;
    let targets: Vec<String> = upstream
        .take_sockets()
        .into_iter()
        .map(|seen| seen.request.target)
        .collect();
    let renewed = "/v1/realtime?model=gpt-realtime-2.1-mini&intent=transcription&x=1";
    assert_eq!(targets, ["/v1/realtime?intent=transcription&x=1", renewed]);
}

#[tokio::test]
async fn errors_speak_of_what_the_client_sent() {
    let (_upstream, relay) = pair().await;
    let key = authorization();
    let mut socket = open(&relay, "/v1/realtime?model=gpt-realtime-2.1", &[&key, MARK]).await;
    until(&mut socket, "conversation.created").await;
    for (session, param, said) in [
        (json!({ "voice": 5 }), "session.voice", "'session.voice'"),
        (
            json!({ "input_audio_format": "mp3" }),
            "session.input_audio_format.type",
            "audio/pcm",
        ),
    ] {
        let update = json!({ "type": "session.update", "session": session });
        socket.say(&update.to_string()).await;
        let error = &socket.event().await["error"];
        assert_eq!(error["param"], param, "{error}");
        let message = error["message"].as_str().expect("words");
        assert!(
            message.contains(said) && !message.contains("audio.output.voice"),
            "{message}"
        );
    }
}
