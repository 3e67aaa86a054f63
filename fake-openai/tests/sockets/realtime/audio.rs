//! Sound in: turns, commits, transcripts, sizes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{configured, distinct_types, first, session, types};
use crate::start;

/// An append of so many milliseconds of PCM at 24 kHz.
fn append(ms: usize) -> Value {
    let audio = STANDARD.encode(vec![1; ms * 48]);
    json!({ "type": "input_audio_buffer.append", "audio": audio })
}

#[tokio::test]
async fn a_turn_that_is_long_enough_is_committed_transcribed_and_answered() {
    let fake = start().await;
    let transcription = json!({ "transcription": { "model": "gpt-4o-transcribe" } });
    let include = json!(["item.input_audio_transcription.logprobs"]);
    let wanted = json!({ "audio": { "input": transcription }, "include": include });
    let mut client = configured(&fake, "", wanted).await;
    for _ in 0..10 {
        client.say(&append(100)).await;
    }
    let events = client.events_to("rate_limits.updated").await;
    let order: Vec<&str> = types(&events)[..5].to_vec();
    let expected = [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ];
    assert_eq!(order, expected);
    assert_eq!(events[0]["audio_start_ms"], 0);
    assert_eq!(events[1]["audio_end_ms"], 1000);
    let item = &events[0]["item_id"];
    assert!(events[1..3].iter().all(|event| event["item_id"] == *item));
    let kind = "conversation.item.input_audio_transcription";
    let completed = first(&events, &format!("{kind}.completed"));
    assert_eq!(completed["item_id"], *item);
    assert_eq!(
        completed["transcript"],
        "I heard 1000 milliseconds of sound."
    );
    assert_eq!(
        completed["usage"]["input_token_details"]["audio_tokens"],
        10
    );
    assert_eq!(completed["logprobs"].as_array().map(Vec::len), Some(6));
    let delta = format!("{kind}.delta");
    let deltas = events
        .iter()
        .filter(|event| event["type"] == delta.as_str());
    let text: String = deltas.filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(text, "I heard 1000 milliseconds of sound.");
    let done = &first(&events, "response.done")["response"];
    assert_eq!(
        done["output"][0]["content"][0]["transcript"],
        "You spoke for 1000 milliseconds."
    );
    assert_eq!(done["usage"]["input_token_details"]["audio_tokens"], 10);
    client.say(&append(100)).await;
    assert_eq!(client.event().await["audio_start_ms"], 1000);
}

#[tokio::test]
async fn a_new_turn_interrupts_what_is_being_said() {
    let fake = start().await;
    let mut client = session(&fake, "speech=600000 chunk-delay=10").await;
    client.say(&append(1000)).await;
    client.events_to("response.output_audio.delta").await;
    client.say(&append(100)).await;
    let events = client.events_to("response.done").await;
    let details = &first(&events, "response.done")["response"]["status_details"];
    assert_eq!(
        *details,
        json!({ "type": "cancelled", "reason": "turn_detected" })
    );
}

#[tokio::test]
async fn without_turn_detection_the_client_commits() {
    let fake = start().await;
    let audio = json!({ "input": { "turn_detection": null, "format": { "type": "audio/pcmu" } } });
    let mut client = configured(&fake, "", json!({ "audio": audio })).await;
    let commit = json!({ "type": "input_audio_buffer.commit", "event_id": "c" });
    client.say(&commit).await;
    let error = &client.event().await["error"];
    assert_eq!(error["code"], "input_audio_buffer_commit_empty");
    client.say(&append(1000)).await;
    client
        .say(&json!({ "type": "input_audio_buffer.clear" }))
        .await;
    assert_eq!(client.event().await["type"], "input_audio_buffer.cleared");
    // 48,000 bytes are six seconds of G.711.
    client.say(&append(1000)).await;
    client.say(&commit).await;
    let events = client.events_to("conversation.item.done").await;
    let expected = [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ];
    assert_eq!(distinct_types(&events), expected);
    client.say(&json!({ "type": "response.create" })).await;
    let events = client.events_to("response.done").await;
    let usage = &first(&events, "response.done")["response"]["usage"];
    assert_eq!(usage["input_token_details"]["audio_tokens"], 60);
}

#[tokio::test]
async fn fifteen_mib_of_audio_fit_into_an_append_and_no_more() {
    let fake = start().await;
    let manual = json!({ "audio": { "input": { "turn_detection": null } } });
    let mut client = configured(&fake, "", manual).await;
    let largest = 15 * 1024 * 1024;
    for (bytes, kind) in [
        (largest, "input_audio_buffer.committed"),
        (largest + 3, "error"),
    ] {
        let audio = STANDARD.encode(vec![0; bytes]);
        client
            .say(&json!({ "type": "input_audio_buffer.append", "audio": audio }))
            .await;
        client
            .say(&json!({ "type": "input_audio_buffer.commit" }))
            .await;
        assert_eq!(
            client.events_to(kind).await.len(),
            1 + usize::from(kind == "error") * 2
        );
    }
}
