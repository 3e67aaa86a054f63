//! Live sessions and their sidebands.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fake_openai::FakeOpenAi;
use serde_json::{Value, json};

use crate::client::{Client, TEXT, ask, masked, open, request};
use crate::start;

const PATH: &str = "/v1/live/sessions";

/// A started session, and its id.
async fn session(fake: &FakeOpenAi, extra: Value) -> (Client, String) {
    let mut client = open(fake, PATH, &[]).await;
    let mut session = json!({ "model": "gpt-live-1" });
    for (name, value) in extra.as_object().into_iter().flatten() {
        session[name] = value.clone();
    }
    let start = json!({ "type": "session.start", "event_id": "s", "session": session });
    client.say(&start).await;
    let started = client.event().await;
    assert_eq!(started["type"], "session.started", "{started}");
    assert_eq!(started["client_event_id"], "s");
    let id = started["session"]["id"].as_str().expect("an id").to_owned();
    (client, id)
}

async fn sideband(fake: &FakeOpenAi, id: &str) -> Client {
    let mut client = open(fake, &format!("{PATH}/{id}/attach"), &[]).await;
    assert_eq!(client.event().await["type"], "session.started");
    client
}

/// So many milliseconds of PCM at 24 kHz.
fn append(ms: usize) -> Value {
    let audio = STANDARD.encode(vec![1; ms * 48]);
    json!({ "type": "session.input_audio.append", "audio": audio })
}

fn command(kind: &str) -> Value {
    json!({ "type": kind, "event_id": "c" })
}

#[tokio::test]
async fn nothing_is_possible_before_the_start_and_a_wrong_start_can_be_mended() {
    let fake = start().await;
    let mut client = open(&fake, PATH, &[]).await;
    let begin = |session: Value| json!({ "type": "session.start", "session": session });
    let fast = json!({ "format": { "type": "audio/pcm", "rate": 48_000 } });
    let cases = [
        (command("session.close"), "session_not_started"),
        (begin(json!({})), "missing_required_parameter"),
        (
            begin(json!({ "model": "gpt-realtime-2.1" })),
            "model_not_found",
        ),
        (
            begin(json!({ "model": "gpt-live-1", "voice": "marin" })),
            "unknown_parameter",
        ),
        (
            begin(json!({ "model": "gpt-live-1", "audio": fast })),
            "invalid_value",
        ),
    ];
    for (event, code) in cases {
        client.say(&event).await;
        let answer = client.event().await;
        assert_eq!(answer["type"], "error");
        assert_eq!(answer["error"]["code"], code, "{event}");
        assert_eq!(
            answer["error"].get("client_event_id"),
            event.get("event_id")
        );
    }
    client.say(&begin(json!({ "model": "gpt-live-1" }))).await;
    let started = client.event().await;
    let session = &started["session"];
    assert_eq!(session["status"], "active");
    assert_eq!(
        session["audio"]["format"],
        json!({ "type": "audio/pcm", "rate": 24000 })
    );
    let (status, ..) = ask(&fake, request(PATH, &[])).await;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn it_speaks_while_it_hears_and_counts_the_seconds() {
    let fake = start().await;
    let (mut client, _) = session(&fake, json!({})).await;
    client.say(&append(5100)).await;
    let events = client.events_to("session.usage.updated").await;
    let count = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    assert_eq!(count("session.output_audio.delta"), 25);
    assert_eq!(count("session.input_transcript.delta"), 5);
    assert_eq!(count("session.output_transcript.delta"), 5);
    let bytes = events[0]["delta"]
        .as_str()
        .map(|delta| STANDARD.decode(delta).expect("base64"));
    assert_eq!(bytes.map(|bytes| bytes.len()), Some(200 * 48));
    assert_eq!(
        (&events[1]["start_ms"], &events[1]["end_ms"]),
        (&json!(200), &json!(400))
    );
    client.say(&command("session.input_audio.mute")).await;
    assert_eq!(client.event().await["type"], "session.input_audio.muted");
    client.say(&append(1000)).await;
    client.say(&command("session.input_audio.unmute")).await;
    let unmuted = client.event().await;
    assert_eq!(
        unmuted["type"], "session.input_audio.unmuted",
        "nothing is said to the muted"
    );
    client.say(&command("session.close")).await;
    let closed = client
        .events_to("session.closed")
        .await
        .pop()
        .expect("closed");
    assert_eq!(closed["reason"], "close_requested");
    assert_eq!(closed["client_event_id"], "c");
    assert_eq!(closed["usage"]["seconds"], 6.1);
    assert_eq!(client.frame().await.close().0, 1000);
}

#[tokio::test]
async fn a_fixture_is_played_in_place_of_the_voice() {
    let fake = start().await;
    let (mut client, _) = session(&fake, json!({})).await;
    let sound = fake_openai::deterministic_bytes(9, 30_000);
    let play =
        json!({ "type": "session.output_audio.fixture.play", "audio": STANDARD.encode(&sound) });
    client.say(&play).await;
    let events = client
        .events_to("session.output_audio.fixture.played")
        .await;
    assert_eq!(events[0]["type"], "session.output_audio.fixture.playing");
    let mut heard = Vec::new();
    for event in &events[1..events.len() - 1] {
        let delta = event["delta"].as_str().expect("a delta");
        heard.extend(STANDARD.decode(delta).expect("base64"));
    }
    assert!(heard == sound);
    let thought =
        json!({ "type": "session.thinking.append", "content": "hm", "delegation_id": null });
    client.say(&thought).await;
    assert_eq!(client.event().await["type"], "session.thinking.appended");
}

#[tokio::test]
async fn what_is_delegated_to_responses_comes_wrapped() {
    let fake = start().await;
    let backend = json!({ "type": "responses", "responses": { "model": "gpt-5.6-luna" } });
    let (mut client, _) = session(&fake, json!({ "delegation": backend })).await;
    let item = json!({ "type": "message", "role": "user", "content": "Look it up" });
    client
        .say(&json!({ "type": "response.item.create", "item": item }))
        .await;
    client.say(&command("response.create")).await;
    let created = client.event().await;
    assert_eq!(created["type"], "session.delegation.created");
    let id = &created["delegation"]["id"];
    loop {
        let event = client.event().await;
        assert_eq!(
            (&event["type"], &event["delegation_id"]),
            (&json!("response.event"), id)
        );
        if event["event"]["type"] == "response.completed" {
            let text = &event["event"]["response"]["output"][0]["content"][0]["text"];
            assert_eq!(text, "You said: Look it up");
            break;
        }
    }
    let (mut other, _) = session(&fake, json!({})).await;
    other.say(&command("response.create")).await;
    let error = &other.event().await["error"];
    assert_eq!(error["code"], "delegation_not_configured");
}

#[tokio::test]
async fn a_sideband_hears_both_sides_and_steers() {
    let fake = start().await;
    let (mut client, id) = session(&fake, json!({})).await;
    let mut side = sideband(&fake, &id).await;
    client.say(&append(200)).await;
    let reflected = side.event().await;
    assert_eq!(reflected["type"], "session.input_audio.append");
    assert_eq!(reflected["audio"], append(200)["audio"]);
    let delta = side.event().await;
    assert_eq!(delta["type"], "session.output_audio.delta");
    assert_eq!(client.event().await, delta);
    side.say(&append(200)).await;
    assert_eq!(side.event().await["error"]["code"], "invalid_event");
    side.say(&command("session.input_audio.mute")).await;
    for hearer in [&mut client, &mut side] {
        assert_eq!(hearer.event().await["type"], "session.input_audio.muted");
    }
    side.say(&command("session.close")).await;
    for hearer in [&mut client, &mut side] {
        assert_eq!(hearer.event().await["type"], "session.closed");
        assert_eq!(hearer.frame().await.close().0, 1000);
    }
    let key = format!("Authorization: Bearer {}", fake.server_key());
    let late = request(&format!("{PATH}/{id}/attach"), &[&key]);
    assert_eq!(ask(&fake, late).await.0, 404);
}

#[tokio::test]
async fn a_sideband_hears_that_the_connection_is_lost() {
    let fake = start().await;
    let (client, id) = session(&fake, json!({})).await;
    let mut side = sideband(&fake, &id).await;
    drop(client);
    let closed = side.event().await;
    assert_eq!(closed["type"], "session.closed");
    assert_eq!(closed["reason"], "connection_lost");
    assert_eq!(side.frame().await.close().0, 1000);
}

#[tokio::test]
async fn a_session_expires_with_its_usage() {
    let fake = start().await;
    let key = format!("Authorization: Bearer {}", fake.server_key());
    let upgrade = request(PATH, &[&key, "X-Fake-Script: life=1"]);
    // With the upgrade, so that it cannot come too late.
    let start = json!({ "type": "session.start", "session": { "model": "gpt-live-1" } });
    let start = masked(TEXT, start.to_string().as_bytes());
    let (_, _, mut client) = ask(&fake, [upgrade.as_bytes(), &start].concat()).await;
    let closed = client
        .events_to("session.closed")
        .await
        .pop()
        .expect("closed");
    assert_eq!(closed["reason"], "expired");
    assert_eq!(closed["usage"]["seconds"], 0.0);
    assert_eq!(client.frame().await.close().0, 1000);
}
