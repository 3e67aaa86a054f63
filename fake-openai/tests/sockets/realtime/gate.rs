//! Who gets a session, and what the others hear.

use fake_openai::{FakeOpenAi, Options};
use serde_json::json;

use super::PATH;
use crate::client::{ask, open, request};
use crate::start;

const KEY: &str = "Authorization: Bearer sk-fake-server-key-0123456789abcdef";
const REALTIME: &str = "/v1/realtime";

const WRONG: &str = "Authorization: Bearer sk-wrong-0123456789";
const IN_LIST: &str =
    "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.sk-wrong-0123456789";
const BETA: &str = "OpenAI-Beta: realtime=v1";
const BETA_LIST: &str = "Sec-WebSocket-Protocol: realtime, openai-beta.realtime-v1";

/// Query behind `/v1/realtime`, further fields, code of the error, code of the close frame.
#[rustfmt::skip]
const REFUSED: [(&str, &[&str], &str, u16); 14] = [
    ("?model=gpt-realtime-2.1", &[], "invalid_api_key", 3000),
    ("?model=gpt-realtime-2.1", &[WRONG], "invalid_api_key", 3000),
    ("?model=gpt-realtime-2.1", &[IN_LIST], "invalid_api_key", 3000),
    ("?model=gpt-realtime-2.1", &[KEY, BETA], "beta_api_shape_disabled", 4000),
    ("?model=gpt-realtime-2.1", &[KEY, BETA_LIST], "beta_api_shape_disabled", 4000),
    ("", &[KEY], "missing_model", 4000),
    ("?model=gpt-6-luna", &[KEY], "invalid_model", 4000),
    ("?model=gpt-realtime-translate", &[KEY], "invalid_model", 4000),
    ("?intent=transcription&model=gpt-realtime-2.1", &[KEY], "invalid_model", 4000),
    ("?model=gpt-4o-realtime-preview", &[KEY], "model_not_found", 4004),
    ("?call_id=rtc_u0_none", &[KEY], "call_not_found", 4004),
    ("/translations", &[KEY], "missing_model", 4000),
    ("/translations?model=gpt-realtime-2.1", &[KEY], "invalid_model", 4000),
    ("/translations?model=gpt-realtime-translate", &[WRONG], "invalid_api_key", 3000),
];

#[tokio::test]
async fn refusals_come_after_the_101_as_an_error_and_a_close() {
    let fake = start().await;
    for (query, fields, code, close) in REFUSED {
        let path = format!("{REALTIME}{query}");
        let (status, _, mut client) = ask(&fake, request(&path, fields)).await;
        assert_eq!(status, 101, "{path}");
        let event = client.event().await;
        assert_eq!(event["type"], "error");
        assert_eq!(event["error"]["code"], code, "{path} {fields:?}");
        assert_eq!(event["error"]["type"], "invalid_request_error");
        let text = event.to_string();
        assert!(!text.contains("sk-wrong-0123456789"), "the key is masked");
        let reason = format!("invalid_request_error.{code}");
        assert_eq!(client.frame().await.close(), (close, reason), "{path}");
    }
}

#[tokio::test]
async fn a_key_in_the_subprotocols_opens_a_session_too() {
    let fake = start().await;
    let list = format!(
        "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{}",
        fake.mint_ephemeral()
    );
    let (_, head, mut client) = ask(&fake, request(PATH, &[&list])).await;
    assert!(head.contains("sec-websocket-protocol: realtime\r\n"));
    let event = client.event().await;
    assert_eq!(event["type"], "session.created");
    assert_eq!(event["session"]["model"], "gpt-realtime-2.1");
}

#[tokio::test]
async fn an_ephemeral_credential_brings_its_configuration() {
    let fake = start().await;
    let session = json!({
        "type": "realtime",
        "model": "gpt-realtime-2.1-mini",
        "instructions": "Be brief.",
        "audio": { "output": { "voice": "cedar" } },
    });
    let body = json!({ "session": session }).to_string();
    let mint = format!(
        "POST /v1/realtime/client_secrets HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{KEY}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (_, _, mut minted) = ask(&fake, mint).await;
    let answer: serde_json::Value =
        serde_json::from_slice(&minted.rest().await.expect("a body")).expect("JSON");
    let bearer = format!(
        "Authorization: Bearer {}",
        answer["value"].as_str().expect("a value")
    );
    let (_, _, mut client) = ask(&fake, request(REALTIME, &[&bearer])).await;
    let session = &client.event().await["session"];
    assert_eq!(session["model"], "gpt-realtime-2.1-mini");
    assert_eq!(session["instructions"], "Be brief.");
    assert_eq!(session["audio"]["output"]["voice"], "cedar");
}

#[tokio::test]
async fn the_longest_life_ends_with_its_error_and_1001() {
    let options = Options {
        session_length: std::time::Duration::from_millis(5),
        ..Options::default()
    };
    let fake = FakeOpenAi::start(options).await.expect("a stand-in");
    for path in [
        PATH,
        "/v1/realtime/translations?model=gpt-realtime-translate",
    ] {
        let mut client = open(&fake, path, &[]).await;
        let error = client.events_to("error").await.pop().expect("an error");
        assert_eq!(error["error"]["code"], "session_expired");
        let reason = "Your session hit the maximum duration of 60 minutes.".to_owned();
        assert_eq!(client.frame().await.close(), (1001, reason));
    }
}
