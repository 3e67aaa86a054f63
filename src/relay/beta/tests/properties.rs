//! What a client of the beta says comes back to it as it said it, whatever it says.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::relay::beta::fuzzing;

fn text() -> impl Strategy<Value = Value> {
    "\\PC{0,12}".prop_map(Value::from)
}

/// Exact in binary: the tests themselves parse numbers, which the translator does not.
fn number() -> impl Strategy<Value = Value> {
    (0_u16..128).prop_map(|number| Value::from(f64::from(number) / 64.0))
}

fn one_of(values: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop::sample::select(values).prop_map(|value| serde_json::from_str(value).expect("a value"))
}

fn modalities() -> impl Strategy<Value = Value> {
    one_of(&[
        r#"["text"]"#,
        r#"["audio","text"]"#,
        r#"["text","audio"]"#,
        r#"["audio"]"#,
    ])
}

fn format() -> impl Strategy<Value = Value> {
    one_of(&[r#""pcm16""#, r#""g711_ulaw""#, r#""g711_alaw""#])
}

fn voice() -> impl Strategy<Value = Value> {
    one_of(&[r#""alloy""#, r#""verse""#, r#"{"id":"voice_1"}"#])
}

fn limit() -> impl Strategy<Value = Value> {
    prop_oneof![Just(json!("inf")), (1_u32..4097).prop_map(Value::from)]
}

fn turn_detection() -> impl Strategy<Value = Value> {
    let server = (number(), any::<u16>(), any::<bool>()).prop_map(|(threshold, ms, create)| {
        json!({ "type": "server_vad", "threshold": threshold, "silence_duration_ms": ms, "create_response": create })
    });
    let semantic = Just(json!({ "type": "semantic_vad", "eagerness": "low" }));
    prop_oneof![Just(Value::Null), server, semantic]
}

fn transcription() -> impl Strategy<Value = Value> {
    let some = (text(), text())
        .prop_map(|(language, prompt)| json!({ "model": "whisper-1", "language": language, "prompt": prompt }));
    prop_oneof![Just(Value::Null), some]
}

fn tools() -> impl Strategy<Value = Value> {
    let tool = (text(), text()).prop_map(|(name, description)| {
        json!({ "type": "function", "name": name, "description": description, "parameters": { "type": "object" } })
    });
    vec(tool, 0..3).prop_map(Value::from)
}

fn tool_choice() -> impl Strategy<Value = Value> {
    one_of(&[
        r#""auto""#,
        r#""none""#,
        r#""required""#,
        r#"{"type":"function","name":"f"}"#,
    ])
}

/// Any of these fields, each there or not, in this order, and some that nobody knows.
fn object(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> impl Strategy<Value = Value> {
    let known: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| option::of(value.prop_map(move |value| (name.to_owned(), value))))
        .collect();
    let unknown = vec(("x_[a-z]{1,4}", text()), 0..2);
    (known, unknown).prop_map(|(known, unknown)| {
        Value::Object(known.into_iter().flatten().chain(unknown).collect())
    })
}

fn input() -> Vec<(&'static str, BoxedStrategy<Value>)> {
    let noise = one_of(&["null", r#"{"type":"near_field"}"#]);
    let include = one_of(&["null", r#"["item.input_audio_transcription.logprobs"]"#]);
    vec![
        ("modalities", modalities().boxed()),
        ("input_audio_format", format().boxed()),
        ("input_audio_transcription", transcription().boxed()),
        ("input_audio_noise_reduction", noise.boxed()),
        ("turn_detection", turn_detection().boxed()),
        ("include", include.boxed()),
    ]
}

fn session() -> impl Strategy<Value = Value> {
    let tracing = one_of(&["null", r#""auto""#, r#"{"workflow_name":"w"}"#]);
    let mut fields = input();
    fields.extend([
        ("instructions", text().boxed()),
        ("voice", voice().boxed()),
        ("output_audio_format", format().boxed()),
        ("tools", tools().boxed()),
        ("tool_choice", tool_choice().boxed()),
        ("temperature", number().boxed()),
        ("max_response_output_tokens", limit().boxed()),
        ("speed", number().boxed()),
        ("tracing", tracing.boxed()),
        ("prompt", one_of(&["null", r#"{"id":"pmpt_1"}"#]).boxed()),
    ]);
    object(fields)
}

fn parameters() -> impl Strategy<Value = Value> {
    let output = vec(item(), 0..3).prop_map(Value::from);
    object(vec![
        ("modalities", modalities().boxed()),
        ("voice", voice().boxed()),
        ("output_audio_format", format().boxed()),
        ("max_output_tokens", limit().boxed()),
        ("metadata", one_of(&["null", r#"{"topic":"x"}"#]).boxed()),
        ("input", output.boxed()),
    ])
}

fn item() -> impl Strategy<Value = Value> {
    let said = (one_of(&[r#""text""#, r#""audio""#]), text())
        .prop_map(|(kind, text)| json!({ "type": kind, "text": text }));
    let heard = (
        one_of(&[r#""input_text""#, r#""input_audio""#, r#""input_image""#]),
        text(),
    )
        .prop_map(|(kind, text)| json!({ "type": kind, "text": text }));
    let message = |role: &'static str, parts: BoxedStrategy<Value>| {
        vec(parts, 0..3).prop_map(move |parts| json!({ "id": "item_1", "object": "realtime.item", "type": "message", "role": role, "content": parts }))
    };
    let call = (text(), text()).prop_map(|(name, arguments)| {
        json!({ "object": "realtime.item", "type": "function_call", "call_id": "call_1", "name": name, "arguments": arguments })
    });
    let output = text().prop_map(|output| {
        json!({ "object": "realtime.item", "type": "function_call_output", "call_id": "call_1", "output": output })
    });
    prop_oneof![
        message("assistant", said.boxed()),
        message("user", heard.boxed()),
        call,
        output,
    ]
}

/// What the upstream is sent for an event.
fn sent(translator: &mut Translator, event: &Value) -> Value {
    let (events, _) = from_client(translator, event);
    let mut events = events.unwrap_or_else(|| vec![event.clone()]);
    assert_eq!(events.len(), 1);
    events.remove(0)
}

/// What the client receives for an event.
fn received(translator: &mut Translator, event: &Value) -> Value {
    let events = from_server(translator, event);
    let mut events = events.unwrap_or_else(|| vec![event.clone()]);
    assert_eq!(events.len(), 1);
    events.remove(0)
}

fn fields(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("an object")
}

/// None of the beta's own fields and values is left anywhere on the way up.
fn assert_is_ga(event: &Value) {
    let text = event.to_string();
    for name in [
        "\"modalities\"",
        "input_audio_",
        "output_audio_format",
        "max_response_output_tokens",
        "pcm16",
        "g711",
        "temperature",
        "\"type\":\"text\"",
        "\"type\":\"audio\"",
    ] {
        let text = text.replace("item.input_audio_transcription.logprobs", "");
        let text = text.replace("\"type\":\"input_audio\"", "");
        assert!(!text.contains(name), "{name} in {text}");
    }
}

proptest! {
    #[test]
    fn a_session_comes_back_as_the_client_wrote_it(session in session()) {
        let mut translator = translator(Kind::Realtime);
        let update = sent(&mut translator, &json!({ "type": "session.update", "session": session }));
        assert_is_ga(&update);
        prop_assert_eq!(&update["session"]["type"], "realtime");
        let event = json!({ "type": "session.updated", "event_id": "e", "session": update["session"] });
        let updated = received(&mut translator, &event);
        prop_assert_eq!(&updated["type"], "session.updated");
        for (name, value) in fields(&session) {
            prop_assert_eq!(&updated["session"][name], value, "{}", name);
        }
        let is_nested = updated["session"].get("audio").is_some();
        prop_assert!(!is_nested && updated["session"].get("type").is_none());
        // What was not asked for is there as well, and all of it is known for later.
        let again = received(&mut translator, &json!({ "type": "session.updated", "session": {} }));
        for name in fields(&updated["session"]).keys().filter(|name| !name.starts_with("x_")) {
            prop_assert_eq!(&again["session"][name], &updated["session"][name], "{}", name);
        }
        prop_assert!(fields(&again["session"]).len() >= 17);
    }

    #[test]
    fn a_transcription_session_comes_back_as_the_client_wrote_it(session in object(input())) {
        let mut translator = translator(Kind::Transcription);
        let event = json!({ "type": "transcription_session.update", "session": session });
        let update = sent(&mut translator, &event);
        assert_is_ga(&update);
        prop_assert_eq!(&update["type"], "session.update");
        prop_assert_eq!(&update["session"]["type"], "transcription");
        let event = json!({ "type": "session.updated", "event_id": "e", "session": update["session"] });
        let updated = received(&mut translator, &event);
        prop_assert_eq!(&updated["type"], "transcription_session.updated");
        for (name, value) in fields(&session) {
            prop_assert_eq!(&updated["session"][name], value, "{}", name);
        }
    }

    #[test]
    fn a_key_is_answered_with_the_session_that_was_asked_for(session in session()) {
        let mut translator = translator(Kind::Realtime);
        let request = translator.secret_request(session.to_string().as_bytes()).expect("a body");
        let request = parse(&request.text);
        assert_is_ga(&request);
        let answer = json!({ "value": "ek_1", "expires_at": 7, "session": request["session"] });
        let answer = translator.secret_answer(answer.to_string().as_bytes()).expect("a secret");
        let answer = parse(&answer);
        prop_assert_eq!(&answer["client_secret"], &json!({ "value": "ek_1", "expires_at": 7 }));
        for (name, value) in fields(&session) {
            prop_assert_eq!(&answer[name], value, "{}", name);
        }
    }

    #[test]
    fn a_response_comes_back_as_the_client_asked_for_it(parameters in parameters()) {
        let mut translator = translator(Kind::Realtime);
        let event = json!({ "type": "response.create", "response": parameters });
        let create = sent(&mut translator, &event);
        assert_is_ga(&create);
        let mut response = create["response"].clone();
        // What went in as input is, for this purpose, what comes out.
        if let Some(input) = fields(&response).get("input").cloned() {
            response["output"] = input;
        }
        for name in ["response.created", "response.done"] {
            let done = received(&mut translator, &json!({ "type": name, "response": response }));
            for (name, value) in fields(&parameters) {
                let name = if name == "input" { "output" } else { name };
                prop_assert_eq!(&done["response"][name], value, "{}", name);
            }
        }
    }

    #[test]
    fn an_item_comes_back_as_the_client_wrote_it(item in item()) {
        let mut translator = translator(Kind::Realtime);
        let event = json!({ "type": "conversation.item.create", "item": item });
        let create = sent(&mut translator, &event);
        assert_is_ga(&create);
        for (ga, beta) in [
            ("conversation.item.added", "conversation.item.created"),
            ("response.output_item.done", "response.output_item.done"),
            ("conversation.item.retrieved", "conversation.item.retrieved"),
        ] {
            let event = json!({ "type": ga, "previous_item_id": "item_0", "item": create["item"] });
            let back = received(&mut translator, &event);
            let expected = json!({ "type": beta, "previous_item_id": "item_0", "item": item });
            prop_assert_eq!(back, expected);
        }
    }

    /// The fuzzer's checks, on events that are nearly right.
    #[test]
    fn odd_events_stay_events(
        name in prop::sample::select(&[
            "session.created", "session.update", "session.updated", "response.create",
            "response.done", "conversation.item.create", "conversation.item.done", "error",
            "response.output_text.delta", "response.content_part.done", "value",
        ][..]),
        place in "(session|item|response|part|error|\\PC{0,3})",
        body in prop_oneof![session(), parameters(), item(), text()],
        cut in 0_usize..400,
        graft in "[\\\\\"{}\\[\\],:0-9e.a]{0,3}",
    ) {
        let event = json!({ "value": 1, "expires_at": [], place: body, "type": name }).to_string();
        fuzzing::events(event.as_bytes());
        let (before, after) = event.as_bytes().split_at(cut.min(event.len()));
        fuzzing::events(&[before, graft.as_bytes(), after].concat());
    }
}
