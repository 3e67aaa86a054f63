//! Responses: their events in order, their sound, their cost, their end.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fake_openai::speech;
use serde_json::{Value, json};

use super::{answer, configured, distinct_types, first, message, session, types};
use crate::start;

#[tokio::test]
async fn a_text_response_is_told_in_openais_order() {
    let fake = start().await;
    let mut client = configured(&fake, "", json!({ "output_modalities": ["text"] })).await;
    let events = answer(&mut client, "Hi there").await;
    let expected = [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ];
    assert_eq!(distinct_types(&events), expected);
    let deltas = events.iter().filter_map(|event| event["delta"].as_str());
    assert_eq!(deltas.collect::<String>(), "You said: Hi there");
    let response = &first(&events, "response.done")["response"];
    assert_eq!(response["status"], "completed");
    let content = json!([{ "type": "output_text", "text": "You said: Hi there" }]);
    assert_eq!(response["output"][0]["content"], content);
    assert_eq!(
        response["usage"]["output_token_details"],
        json!({ "text_tokens": 4, "audio_tokens": 0 })
    );
}

#[tokio::test]
async fn a_spoken_response_can_be_computed_from_its_transcript() {
    let fake = start().await;
    let mut client = session(&fake, "").await;
    let events = answer(&mut client, "Hi").await;
    let mut heard = Vec::new();
    for event in &events {
        if event["type"] == "response.output_audio.delta" {
            let delta = event["delta"].as_str().expect("a delta");
            heard.extend(STANDARD.decode(delta).expect("base64"));
        }
    }
    let done = first(&events, "response.output_audio_transcript.done");
    let transcript = done["transcript"].as_str().expect("a transcript");
    assert_eq!(transcript, "You said: Hi");
    assert!(heard == speech(transcript, 3 * 14_400));
    let expected_end = [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ];
    assert_eq!(types(&events)[events.len() - 7..], expected_end);
    let done = first(&events, "response.done");
    assert!(
        done["response"]["output"][0]["content"][0]
            .get("audio")
            .is_none()
    );
    let details = json!({ "text_tokens": 3, "audio_tokens": 18 });
    assert_eq!(done["response"]["usage"]["output_token_details"], details);
}

#[tokio::test]
async fn the_conversation_is_input_again_and_then_cached() {
    let fake = start().await;
    let text = json!({ "output_modalities": ["text"], "instructions": "Be brief." });
    let mut client = configured(&fake, "", text).await;
    let first_usage = usage(&answer(&mut client, "one two three").await);
    assert_eq!(first_usage["input_tokens"], 5);
    assert_eq!(first_usage["input_token_details"]["cached_tokens"], 0);
    let second = usage(&answer(&mut client, "four").await);
    // Instructions 2, the first message 3, its answer 5, the second message 1.
    assert_eq!(second["input_tokens"], 11);
    assert_eq!(second["input_token_details"]["cached_tokens"], 5);
    let total = second["input_tokens"]
        .as_u64()
        .zip(second["output_tokens"].as_u64());
    assert_eq!(second["total_tokens"].as_u64(), total.map(|(a, b)| a + b));
}

fn usage(events: &[Value]) -> Value {
    first(events, "response.done")["response"]["usage"].clone()
}

#[tokio::test]
async fn a_tool_that_is_mentioned_is_called_and_its_output_is_told() {
    let fake = start().await;
    let schema = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    let tools = json!([{ "type": "function", "name": "get_weather", "parameters": schema }]);
    let mut client = configured(&fake, "", json!({ "tools": tools })).await;
    let events = answer(&mut client, "get_weather in Oslo").await;
    let expected = [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ];
    assert_eq!(distinct_types(&events), expected);
    let done = first(&events, "response.function_call_arguments.done");
    assert_eq!(done["arguments"], r#"{"city":"get_weather in Oslo"}"#);
    assert_eq!(done["name"], "get_weather");
    let item =
        json!({ "type": "function_call_output", "call_id": done["call_id"], "output": "rain" });
    client
        .say(&json!({ "type": "conversation.item.create", "item": item }))
        .await;
    client.events_to("conversation.item.done").await;
    client.say(&json!({ "type": "response.create" })).await;
    let events = client.events_to("response.done").await;
    let done = first(&events, "response.output_audio_transcript.done");
    assert_eq!(done["transcript"], "The tool says: rain");
}

#[tokio::test]
async fn a_response_is_cancelled_and_truncated_in_one_breath() {
    let fake = start().await;
    let mut client = session(&fake, "speech=600000 chunk-delay=10").await;
    client.say(&message("Hi")).await;
    client.say(&json!({ "type": "response.create" })).await;
    let events = client.events_to("response.output_audio.delta").await;
    let item = events.last().expect("a delta")["item_id"].clone();
    client.say(&json!({ "type": "response.cancel" })).await;
    let truncate = json!({ "type": "conversation.item.truncate", "item_id": item, "content_index": 0, "audio_end_ms": 20 });
    client.say(&truncate).await;
    let (mut truncated, mut status) = (Value::Null, Value::Null);
    while truncated.is_null() || status.is_null() {
        let event = client.event().await;
        match event["type"].as_str() {
            Some("conversation.item.truncated") => truncated = event["audio_end_ms"].clone(),
            Some("response.done") => status = event["response"]["status"].clone(),
            Some("error") => panic!("{event}"),
            _ => {}
        }
    }
    assert_eq!((truncated, status), (json!(20), json!("cancelled")));
    client
        .say(&json!({ "type": "conversation.item.retrieve", "item_id": item }))
        .await;
    let events = client.events_to("conversation.item.retrieved").await;
    let part = &first(&events, "conversation.item.retrieved")["item"]["content"][0];
    let left = part["audio"].as_str().map(str::len);
    // 20 ms of 24 kHz and 16 bits are 960 bytes, in base64.
    assert_eq!((left, &part["transcript"]), (Some(1280), &json!("")));
}

#[tokio::test]
async fn a_cancelled_response_keeps_what_was_told() {
    let fake = start().await;
    let mut client = session(&fake, "speech=600000 chunk-delay=10").await;
    client.say(&message("Hi")).await;
    client.say(&json!({ "type": "response.create" })).await;
    client.events_to("response.output_audio.delta").await;
    client.say(&json!({ "type": "response.cancel" })).await;
    let events = client.events_to("response.done").await;
    let response = &first(&events, "response.done")["response"];
    assert_eq!(response["status"], "cancelled");
    let details = json!({ "type": "cancelled", "reason": "client_cancelled" });
    assert_eq!(response["status_details"], details);
    let audio = response["usage"]["output_token_details"]["audio_tokens"].as_u64();
    assert!(audio > Some(0) && audio < Some(12_000), "{audio:?}");
    client
        .say(&json!({ "type": "response.cancel", "event_id": "again" }))
        .await;
    let error = client.events_to("error").await.pop().expect("an error");
    assert_eq!(error["error"]["code"], "response_cancel_not_active");
    assert_eq!(error["error"]["event_id"], "again");
}

#[tokio::test]
async fn one_response_writes_to_the_conversation_and_others_run_beside_it() {
    let fake = start().await;
    let mut client = session(&fake, "speech=600000 chunk-delay=10").await;
    client.say(&json!({ "type": "response.create" })).await;
    client.events_to("response.created").await;
    client.say(&json!({ "type": "response.create" })).await;
    let error = client.events_to("error").await.pop().expect("an error");
    let code = "conversation_already_has_active_response";
    assert_eq!(error["error"]["code"], code);
    let input = [message("aside")["item"].clone()];
    let aside = json!({ "conversation": "none", "output_modalities": ["text"], "input": input, "metadata": { "topic": "x" } });
    client
        .say(&json!({ "type": "response.create", "response": aside }))
        .await;
    let events = client.events_to("response.done").await;
    let response = &first(&events, "response.done")["response"];
    assert_eq!(response["conversation_id"], Value::Null);
    assert_eq!(response["metadata"], json!({ "topic": "x" }));
    assert_eq!(
        response["output"][0]["content"][0]["text"],
        "You said: aside"
    );
    let id = &response["output"][0]["id"];
    client
        .say(&json!({ "type": "conversation.item.retrieve", "item_id": id }))
        .await;
    let error = client.events_to("error").await.pop().expect("an error");
    assert_eq!(error["error"]["code"], "item_retrieve_invalid_item_id");
}

#[tokio::test]
async fn a_limit_of_tokens_leaves_a_response_incomplete() {
    let fake = start().await;
    let text = json!({ "output_modalities": ["text"], "max_output_tokens": 3 });
    let mut client = configured(&fake, "", text).await;
    let events = answer(&mut client, "a b c d e").await;
    let response = &first(&events, "response.done")["response"];
    assert_eq!(response["status"], "incomplete");
    assert_eq!(response["status_details"]["reason"], "max_output_tokens");
    assert_eq!(response["usage"]["output_tokens"], 3);
    assert_eq!(response["output"][0]["status"], "incomplete");
}
