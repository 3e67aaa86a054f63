//! Responses over WebSocket.

use std::collections::BTreeMap;

use fake_openai::FakeOpenAi;
use serde_json::{Value, json};

use crate::client::{BINARY, Client, TEXT, ask, open, request};
use crate::start;

const MODEL: &str = "gpt-5.6-luna";

async fn connect(fake: &FakeOpenAi, script: &str) -> Client {
    let field = format!("X-Fake-Script: {script}");
    open(fake, "/v1/responses", &[&field]).await
}

fn create(input: &str) -> Value {
    json!({ "type": "response.create", "model": MODEL, "input": input })
}

fn in_lane(mut event: Value, lane: &str) -> Value {
    event["stream_id"] = json!(lane);
    event
}

#[tokio::test]
async fn a_response_is_told_like_its_stream_over_http() {
    let fake = start().await;
    let mut client = connect(&fake, "").await;
    client.say(&in_lane(create("Hi there"), "a.1")).await;
    let events = client.events_to("response.completed").await;
    assert_eq!(events[0]["type"], "response.created");
    for (at, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], at);
        assert_eq!(event["stream_id"], "a.1");
    }
    let deltas = events.iter().filter_map(|event| event["delta"].as_str());
    assert_eq!(deltas.collect::<String>(), "You said: Hi there");
    let response = &events[events.len() - 1]["response"];
    assert_eq!(response["usage"]["total_tokens"], 6);
    client.say(&create("without a lane")).await;
    assert_eq!(client.event().await.get("stream_id"), None);
}

#[tokio::test]
async fn lanes_are_in_order_within_and_side_by_side_among_each_other() {
    let fake = start().await;
    let mut client = connect(&fake, "chunk-delay=1").await;
    for (lane, input) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("b", "b2")] {
        client.say(&in_lane(create(input), lane)).await;
    }
    let mut order = Vec::new();
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    while said.values().map(Vec::len).sum::<usize>() < 4 {
        let event = client.event().await;
        let lane = event["stream_id"].as_str().expect("a lane").to_owned();
        if event["type"] == "response.completed" {
            let text = &event["response"]["output"][0]["content"][0]["text"];
            let text = text.as_str().expect("a text").to_owned();
            said.entry(lane.clone()).or_default().push(text);
        }
        order.push(lane);
    }
    assert_eq!(said["a"], ["You said: a1", "You said: a2"]);
    assert_eq!(said["b"], ["You said: b1", "You said: b2"]);
    let first_of_b = order.iter().position(|lane| lane == "b");
    let last_of_a = order.iter().rposition(|lane| lane == "a");
    assert!(first_of_b < last_of_a, "the lanes take turns");
}

#[tokio::test]
async fn what_is_not_stored_is_continued_on_its_own_socket_only() {
    let fake = start().await;
    let mut client = connect(&fake, "").await;
    let mut body = create("Hi");
    body["store"] = json!(false);
    client.say(&body).await;
    let events = client.events_to("response.completed").await;
    let id = &events[0]["response"]["id"];
    let mut next = create("More");
    next["previous_response_id"] = id.clone();
    client.say(&next).await;
    let events = client.events_to("response.completed").await;
    assert_eq!(events[0]["response"]["previous_response_id"], *id);
    let mut other = connect(&fake, "").await;
    other.say(&in_lane(next, "x")).await;
    let event = other.event().await;
    assert_eq!(
        (&event["type"], &event["status"]),
        (&json!("error"), &json!(400))
    );
    assert_eq!(event["stream_id"], "x");
    assert_eq!(event["error"]["code"], "previous_response_not_found");
    assert_eq!(event["error"]["param"], "previous_response_id");
    other.say(&create("still here")).await;
    other.events_to("response.completed").await;
}

#[tokio::test]
async fn what_does_not_fit_is_an_error_in_band() {
    let fake = start().await;
    let mut client = connect(&fake, "").await;
    let with = |name: &str, value: Value| {
        let mut event = create("Hi");
        event[name] = value;
        event.to_string()
    };
    let cases = [
        (BINARY, create("Hi").to_string(), 400, "invalid_event"),
        (TEXT, "{".to_owned(), 400, "invalid_json"),
        (
            TEXT,
            "{\"type\":\"session.update\"}".to_owned(),
            400,
            "invalid_value",
        ),
        (TEXT, with("model", json!("gpt-0")), 404, "model_not_found"),
        (TEXT, with("temperatur", json!(1)), 400, "unknown_parameter"),
        (
            TEXT,
            with("background", json!(true)),
            400,
            "unsupported_parameter",
        ),
        (TEXT, with("stream_id", json!("a b")), 400, "invalid_value"),
    ];
    for (first, text, status, code) in cases {
        client.send(first, text.as_bytes()).await;
        let event = client.event().await;
        assert_eq!(
            (&event["status"], &event["error"]["code"]),
            (&json!(status), &json!(code)),
            "{text}"
        );
    }
    let (status, ..) = ask(&fake, request("/v1/responses", &[])).await;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn there_are_limits_to_lanes_and_to_what_is_in_flight() {
    let fake = start().await;
    let mut client = connect(&fake, "chunk-delay=60000").await;
    for number in 0..17 {
        client.say(&in_lane(create("Hi"), "one")).await;
        if number == 16 {
            let error = client.events_to("error").await.pop().expect("an error");
            assert_eq!(error["error"]["code"], "websocket_stream_limit_reached");
        }
    }
    let mut client = connect(&fake, "").await;
    for number in 0..33 {
        client
            .say(&in_lane(create("Hi"), &format!("lane-{number}")))
            .await;
        let end = if number < 32 {
            "response.completed"
        } else {
            "error"
        };
        client.events_to(end).await;
    }
    client.say(&in_lane(create("Hi"), "lane-0")).await;
    client.events_to("response.completed").await;
}

#[tokio::test]
async fn a_steered_response_ends_and_its_successor_has_the_input() {
    let fake = start().await;
    let mut client = connect(&fake, "chunk-delay=20").await;
    let long = "word ".repeat(500);
    client.say(&in_lane(create(&long), "a")).await;
    let events = client.events_to("response.output_text.delta").await;
    let id = events[0]["response"]["id"].clone();
    let steer = |id: &Value, input: Value| json!({ "type": "response.steer", "previous_response_id": id, "input": input });
    client.say(&steer(&id, json!("be brief"))).await;
    let events = client.events_to("response.incomplete").await;
    let accepted = events
        .iter()
        .find(|event| event["type"] == "response.steer.accepted");
    let accepted = accepted.expect("accepted");
    assert_eq!(accepted["steer"]["previous_response_id"], id);
    assert_eq!(accepted["stream_id"], "a");
    let ended = &events[events.len() - 1]["response"];
    assert_eq!(ended["incomplete_details"]["reason"], "steered");
    let text = ended["output"][0]["content"][0]["text"]
        .as_str()
        .expect("a text");
    assert!(text.starts_with("You said: ") || "You said: ".starts_with(text));
    let events = client.events_to("response.completed").await;
    assert_eq!(events[0]["type"], "response.created");
    assert_eq!(events[0]["response"]["previous_response_id"], id);
    let last = &events[events.len() - 1]["response"];
    assert_eq!(
        last["output"][0]["content"][0]["text"],
        "You said: be brief"
    );
    let mut named = steer(&id, json!("x"));
    named["stream_id"] = json!("a");
    let cases = [
        (steer(&id, json!("late")), "response_already_completed"),
        (steer(&json!("resp_none"), json!("x")), "response_not_found"),
        (
            steer(
                &id,
                json!([{ "type": "message", "role": "system", "content": "x" }]),
            ),
            "invalid_input",
        ),
        (steer(&id, json!([])), "invalid_input"),
        (named, "invalid_input"),
    ];
    for (event, code) in cases {
        client.say(&event).await;
        let failed = client.event().await;
        assert_eq!(failed["type"], "response.steer.failed");
        assert_eq!(failed["error"]["code"], code);
        assert_eq!(failed["steer"]["input"], event["input"]);
    }
}

#[tokio::test]
async fn a_connection_ends_when_its_life_has_passed() {
    let fake = start().await;
    let mut client = connect(&fake, "life=5").await;
    let error = client.event().await;
    assert_eq!(error["error"]["code"], "websocket_connection_limit_reached");
    assert_eq!(client.frame().await.close().0, 1001);
}
