//! The HTTP routes of the retired Realtime beta, and models that have successors.

use serde_json::{Value, json};

use crate::support::{Answer, Relay, authorization, pair, pair_with, send};

const SDP: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\na=fingerprint:sha-256 00\r\n";

async fn post(relay: &Relay, target: &str, kind: &str, body: &str) -> Answer {
    let key = authorization();
    let length = body.len();
    let text = format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\n{key}\r\nOpenAI-Beta: realtime=v1\r\nContent-Type: {kind}\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    send(relay.address(), text).await.expect("an answer")
}

fn body(received: &fake_openai::Received) -> Value {
    serde_json::from_slice(&received.body).expect("JSON")
}

#[tokio::test]
async fn keys_of_the_beta_are_minted_and_answered_in_its_shape() {
    let (upstream, relay) = pair().await;
    let asked = json!({
        "model": "gpt-4o-realtime-preview", "modalities": ["text", "audio"], "voice": "alloy",
        "input_audio_format": "pcm16", "temperature": 0.8
    });
    let kind = "application/json";
    let answer = post(&relay, "/v1/realtime/sessions", kind, &asked.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let minted = answer.json();
    let secret = minted["client_secret"]["value"].as_str().expect("a secret");
    assert!(secret.starts_with("ek_"), "{minted}");
    assert!(minted["client_secret"]["expires_at"].is_u64(), "{minted}");
    assert_eq!(minted["modalities"], json!(["text", "audio"]), "{minted}");
    assert_eq!(minted["voice"], "alloy");
    assert_eq!(minted["input_audio_format"], "pcm16");
    assert_eq!(
        answer.header("x-relay-model"),
        Some("gpt-realtime-2.1-mini")
    );
    let received = upstream.take_received().remove(0);
    assert_eq!(received.target, "/v1/realtime/client_secrets");
    assert_eq!(received.header("openai-beta"), None);
    let session = &body(&received)["session"];
    assert_eq!(session["type"], "realtime");
    assert_eq!(session["model"], "gpt-realtime-2.1-mini");
    assert_eq!(session["audio"]["output"]["voice"], "alloy");
    assert_eq!(session["temperature"], Value::Null);
    // What is left out is noted.
    relay.says("temperature").await;
    assert!(!relay.whole_log().await.contains(secret));
}

#[tokio::test]
async fn keys_for_transcription_too_and_errors_pass() {
    let (upstream, relay) = pair().await;
    let asked = json!({ "input_audio_transcription": { "model": "gpt-4o-transcribe" } });
    let target = "/v1/realtime/transcription_sessions";
    let answer = post(&relay, target, "application/json", &asked.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.json()["client_secret"]["value"].is_string());
    let session = &body(&upstream.take_received()[0])["session"];
    assert_eq!(session["type"], "transcription");
    let broken = post(&relay, target, "application/json", "{nonsense").await;
    assert_eq!(broken.status, 400, "{}", broken.text());
    assert!(broken.json()["error"]["message"].is_string());
    assert!(!broken.text().contains("relay_error"));
}

#[tokio::test]
async fn a_bare_offer_becomes_a_call() {
    let (upstream, relay) = pair().await;
    for (query, model) in [
        (
            "?model=gpt-4o-realtime-preview-2024-12-17",
            "gpt-realtime-2.1-mini",
        ),
        ("?model=gpt-realtime-2.1", "gpt-realtime-2.1"),
        ("", "gpt-realtime-2.1-mini"),
    ] {
        let target = format!("/v1/realtime{query}");
        let answer = post(&relay, &target, "application/sdp", SDP).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert!(answer.text().starts_with("v=0\r\n") && answer.text().ends_with("\r\n"));
        assert!(
            answer
                .header("location")
                .expect("a call")
                .starts_with("/v1/realtime/calls/rtc_")
        );
        let received = upstream.take_received().remove(0);
        assert_eq!(received.target, "/v1/realtime/calls");
        assert_eq!(received.header("openai-beta"), None);
        let form = String::from_utf8_lossy(&received.body).into_owned();
        assert!(
            form.contains(SDP) && form.contains(&format!("\"model\":\"{model}\"")),
            "{form}"
        );
    }
    let refused = post(&relay, "/v1/realtime", "application/sdp", "nonsense").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (400, "invalid_offer")
    );
    assert!(upstream.take_received().is_empty());
}

#[tokio::test]
async fn where_the_beta_is_not_translated_its_routes_go_up_as_they_are() {
    for mode in ["ga", "refuse"] {
        let (upstream, relay) = pair_with(&[("REALTIME_BETA", mode)]).await;
        post(&relay, "/v1/realtime/sessions", "application/json", "{}").await;
        assert_eq!(upstream.take_received()[0].target, "/v1/realtime/sessions");
    }
}

#[tokio::test]
async fn a_call_and_an_offer_that_name_a_retired_model_get_its_successor() {
    let (upstream, relay) = pair_with(&[("MODEL_ALIASES", "old=new-1")]).await;
    let answer = post(
        &relay,
        "/v1/realtime/calls?model=old&x=%20",
        "application/sdp",
        SDP,
    )
    .await;
    assert_eq!(answer.header("x-relay-model"), Some("new-1"));
    let received = upstream.take_received().remove(0);
    assert_eq!(received.target, "/v1/realtime/calls?model=new-1&x=%20");
    for offer in [
        json!({ "sdp": SDP, "model": "old" }),
        json!({ "sdp": SDP, "session": { "model": "old" } }),
    ] {
        let answer = post(&relay, "/offer", "application/json", &offer.to_string()).await;
        assert_eq!(
            answer.header("x-relay-model"),
            Some("new-1"),
            "{}",
            answer.text()
        );
        let form = String::from_utf8_lossy(&upstream.take_received()[0].body).into_owned();
        assert!(form.contains("\"model\":\"new-1\""), "{form}");
    }
    let form = |model: &str| {
        format!(
            "--b1\r\nContent-Disposition: form-data; name=\"sdp\"\r\n\r\n{SDP}\r\n--b1\r\nContent-Disposition: form-data; \
             name=\"session\"; filename=\"blob\"\r\nContent-Type: application/json\r\n\r\n{{ \"type\":\"realtime\", \
             \"model\" : {model}, \"audio\":{{}} }}\r\n--b1--\r\n"
        )
    };
    let kind = "multipart/form-data; boundary=b1";
    for (sent, model, told) in [
        ("\"old\"", "\"new-1\"", Some("new-1")),
        ("\"gpt-realtime\"", "\"gpt-realtime\"", None),
        ("7", "7", None),
    ] {
        let answer = post(&relay, "/v1/realtime/calls", kind, &form(sent)).await;
        assert_eq!(answer.header("x-relay-model"), told, "{}", answer.text());
        let received = &upstream.take_received()[0];
        let session = |form: &[u8]| {
            let form = String::from_utf8_lossy(form).into_owned();
            let json = &form[form
                .rfind("{ \"type")
                .or(form.rfind("{\"type"))
                .expect("it")..];
            let json = json.split("\r\n--b1").next().expect("it");
            serde_json::from_str::<Value>(json).expect("JSON")
        };
        assert_eq!(session(&received.body), session(form(model).as_bytes()));
        if told.is_none() {
            assert_eq!(received.body, form(sent).as_bytes());
        }
    }
    // Other bodies are never touched.
    let body = json!({ "model": "old" }).to_string();
    post(&relay, "/v1/_fake/echo", "application/json", &body).await;
    assert_eq!(upstream.take_received()[0].body, body.as_bytes());
}
