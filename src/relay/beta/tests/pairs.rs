//! Events of every type, as both sides know them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::relay::beta::{client, server};

/// What GA's clients send, all 11 of wire.md 5.5.
const GA_CLIENT: &str = "session.update input_audio_buffer.append input_audio_buffer.commit \
    input_audio_buffer.clear output_audio_buffer.clear conversation.item.create \
    conversation.item.delete conversation.item.retrieve conversation.item.truncate response.create \
    response.cancel";
/// What the beta's clients sent beyond those (`RealtimeBetaClientEvent*`).
const BETA_CLIENT: &str = "transcription_session.update";
/// What GA's server sends, all 46 of wire.md 5.5.
const GA_SERVER: &str = "error session.created session.updated conversation.created \
    conversation.item.added conversation.item.done conversation.item.created \
    conversation.item.deleted conversation.item.retrieved conversation.item.truncated \
    conversation.item.input_audio_transcription.delta \
    conversation.item.input_audio_transcription.completed \
    conversation.item.input_audio_transcription.failed \
    conversation.item.input_audio_transcription.segment input_audio_buffer.committed \
    input_audio_buffer.cleared input_audio_buffer.speech_started \
    input_audio_buffer.speech_stopped input_audio_buffer.timeout_triggered \
    input_audio_buffer.dtmf_event_received output_audio_buffer.started \
    output_audio_buffer.stopped output_audio_buffer.cleared response.created response.done \
    response.output_item.added response.output_item.done response.content_part.added \
    response.content_part.done response.output_text.delta response.output_text.done \
    response.output_audio.delta response.output_audio.done \
    response.output_audio_transcript.delta response.output_audio_transcript.done \
    response.function_call_arguments.delta response.function_call_arguments.done \
    mcp_list_tools.in_progress mcp_list_tools.completed mcp_list_tools.failed \
    response.mcp_call_arguments.delta response.mcp_call_arguments.done \
    response.mcp_call.in_progress response.mcp_call.completed response.mcp_call.failed \
    rate_limits.updated";
/// What the beta's server sent, all of `RealtimeBetaServerEvent*`, and `conversation.created` and
/// `output_audio_buffer.*`, which have no schema of their own there.
const BETA_SERVER: &str = "error session.created session.updated transcription_session.created \
    transcription_session.updated conversation.created conversation.item.created \
    conversation.item.deleted conversation.item.retrieved conversation.item.truncated \
    conversation.item.input_audio_transcription.delta \
    conversation.item.input_audio_transcription.completed \
    conversation.item.input_audio_transcription.failed \
    conversation.item.input_audio_transcription.segment input_audio_buffer.committed \
    input_audio_buffer.cleared input_audio_buffer.speech_started \
    input_audio_buffer.speech_stopped output_audio_buffer.started output_audio_buffer.stopped \
    output_audio_buffer.cleared response.created response.done response.output_item.added \
    response.output_item.done response.content_part.added response.content_part.done \
    response.text.delta response.text.done response.audio.delta response.audio.done \
    response.audio_transcript.delta response.audio_transcript.done \
    response.function_call_arguments.delta response.function_call_arguments.done \
    mcp_list_tools.in_progress mcp_list_tools.completed mcp_list_tools.failed \
    response.mcp_call_arguments.delta response.mcp_call_arguments.done \
    response.mcp_call.in_progress response.mcp_call.completed response.mcp_call.failed \
    rate_limits.updated";

fn cases(text: &str) -> Vec<Value> {
    serde_json::from_str(text).expect("cases")
}

fn client_cases() -> Vec<Value> {
    cases(include_str!("../../../../tests/fixtures/beta/client.json"))
}

fn server_cases() -> Vec<Value> {
    cases(include_str!("../../../../tests/fixtures/beta/server.json"))
}

/// A translator that has seen what comes before the case.
fn prepared(case: &Value) -> Translator {
    let kind = Kind::of_intent(case["kind"].as_str());
    let mut translator = translator(kind);
    for earlier in case["after"].as_array().into_iter().flatten() {
        match earlier[0].as_str() {
            Some("client") => drop(from_client(&mut translator, &earlier[1])),
            _ => drop(from_server(&mut translator, &earlier[1])),
        }
    }
    translator
}

/// What a case expects in the event's place: nothing, one event, or several.
fn expected(side: &Value) -> Option<Vec<Value>> {
    match side {
        Value::String(word) if word == "same" => None,
        Value::String(word) if word == "dropped" => Some(vec![]),
        Value::Array(events) => Some(events.clone()),
        event => Some(vec![event.clone()]),
    }
}

fn assert_notes(case: &Value, notes: &Notes) {
    let dropped = case.get("dropped").cloned().unwrap_or_else(|| json!([]));
    assert_eq!(json!(notes.dropped), dropped, "{}", case["case"]);
    let model = notes.model.as_ref().map(|(old, new)| json!([old, new]));
    assert_eq!(model.unwrap_or_default(), case["model"], "{}", case["case"]);
}

#[test]
fn every_client_event_of_the_fixtures_becomes_gas() {
    for case in client_cases() {
        let (events, notes) = from_client(&mut prepared(&case), &case["beta"]);
        assert_eq!(events, expected(&case["ga"]), "{}", case["case"]);
        assert_notes(&case, &notes);
    }
}

#[test]
fn every_server_event_of_the_fixtures_becomes_the_betas() {
    for case in server_cases() {
        let events = from_server(&mut prepared(&case), &case["ga"]);
        assert_eq!(events, expected(&case["beta"]), "{}", case["case"]);
    }
}

#[test]
fn every_secret_of_the_fixtures_is_asked_for_and_answered() {
    for case in cases(include_str!("../../../../tests/fixtures/beta/secrets.json")) {
        let mut translator = prepared(&case);
        let request = case["request"]["beta"].to_string();
        let rewritten = translator
            .secret_request(request.as_bytes())
            .expect("a body");
        assert_eq!(
            parse(&rewritten.text),
            case["request"]["ga"],
            "{}",
            case["case"]
        );
        assert_notes(&case, &rewritten.notes);
        let answer = case["answer"]["ga"].to_string();
        let answer = translator
            .secret_answer(answer.as_bytes())
            .expect("a secret");
        assert_eq!(parse(&answer), case["answer"]["beta"], "{}", case["case"]);
    }
}

#[test]
fn a_body_without_a_session_is_the_upstreams_to_judge() {
    let mut translator = translator(Kind::Transcription);
    let request = translator.secret_request(b" ").expect("a body");
    assert_eq!(
        parse(&request.text),
        json!({ "session": { "type": "transcription" } })
    );
    for body in ["[]", "{", "null", "v=0"] {
        assert!(
            translator.secret_request(body.as_bytes()).is_none(),
            "{body}"
        );
    }
    for answer in [
        r#"{"error":{"message":"No."}}"#,
        r#"{"value":"ek_1","expires_at":1}"#,
        r#"{"value":"ek_1","session":{}}"#,
        "<html>",
    ] {
        assert!(
            translator.secret_answer(answer.as_bytes()).is_none(),
            "{answer}"
        );
    }
}

/// The types on one side of the cases; `same` means the other side's.
fn types(cases: &[Value], side: &str, other: &str) -> BTreeSet<String> {
    let type_of = |event: &Value| event["type"].as_str().map(str::to_owned);
    let events = cases.iter().flat_map(|case| match &case[side] {
        Value::Array(events) => events.iter().filter_map(type_of).collect(),
        Value::String(word) if word == "same" => Vec::from_iter(type_of(&case[other])),
        event => Vec::from_iter(type_of(event)),
    });
    events.collect()
}

fn assert_covers(found: &BTreeSet<String>, lists: &[&str]) {
    for name in lists.iter().flat_map(|list| list.split_whitespace()) {
        assert!(found.contains(name), "no pair has {name}");
    }
}

#[test]
fn every_event_of_both_interfaces_has_a_pair() {
    let (client, server) = (client_cases(), server_cases());
    assert_covers(&types(&client, "beta", "ga"), &[GA_CLIENT, BETA_CLIENT]);
    assert_covers(&types(&client, "ga", "beta"), &[GA_CLIENT]);
    assert_covers(&types(&server, "ga", "beta"), &[GA_SERVER]);
    assert_covers(&types(&server, "beta", "ga"), &[BETA_SERVER]);
}

#[test]
fn the_tables_hold_the_events_of_the_lists_and_no_others() {
    let listed = |lists: &[&str]| -> BTreeSet<String> {
        let names = lists.iter().flat_map(|list| list.split_whitespace());
        names.map(str::to_owned).collect()
    };
    let client: BTreeSet<String> = client::RULES
        .iter()
        .map(|(name, _)| (*name).into())
        .collect();
    let server: BTreeSet<String> = server::RULES
        .iter()
        .map(|(name, _)| (*name).into())
        .collect();
    assert_eq!(client, listed(&[GA_CLIENT, BETA_CLIENT]));
    assert_eq!(server, listed(&[GA_SERVER]));
    assert_eq!(GA_SERVER.split_whitespace().count(), 46);
}

/// The order of wire.md 5.5, and what the reference client of 2024 needs of it: an item is there
/// before its parts, and a part before its text.
#[test]
fn a_whole_response_comes_in_the_betas_order() {
    let item = |status: &str| json!({ "id": "item_2", "type": "message", "role": "assistant", "status": status, "content": [] });
    let part = json!({ "type": "output_text", "text": "" });
    let mut translator = translator(Kind::Realtime);
    let mut seen = Vec::new();
    for event in [
        json!({ "type": "session.created", "session": { "id": "sess_1", "type": "realtime" } }),
        json!({ "type": "conversation.created", "conversation": { "id": "conv_9" } }),
        json!({ "type": "response.created", "response": { "id": "resp_1" } }),
        json!({ "type": "response.output_item.added", "item": item("in_progress") }),
        json!({ "type": "conversation.item.added", "item": item("in_progress") }),
        json!({ "type": "response.content_part.added", "part": part }),
        json!({ "type": "response.output_text.delta", "delta": "Hi" }),
        json!({ "type": "response.output_text.done", "text": "Hi" }),
        json!({ "type": "response.content_part.done", "part": part }),
        json!({ "type": "conversation.item.done", "item": item("completed") }),
        json!({ "type": "response.output_item.done", "item": item("completed") }),
        json!({ "type": "response.done", "response": { "id": "resp_1" } }),
        json!({ "type": "rate_limits.updated", "rate_limits": [] }),
    ] {
        let events = from_server(&mut translator, &event).unwrap_or_else(|| vec![event]);
        seen.extend(events.into_iter().map(|event| event["type"].clone()));
    }
    let expected = [
        "session.created",
        "conversation.created",
        "response.created",
        "response.output_item.added",
        "conversation.item.created",
        "response.content_part.added",
        "response.text.delta",
        "response.text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ];
    assert_eq!(seen, expected);
}
