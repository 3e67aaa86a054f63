//! Sessions of the GA interface as their clients see them.

mod audio;
mod gate;
mod items;
mod other;
mod responses;
mod updates;

use fake_openai::FakeOpenAi;
use serde_json::{Value, json};

use crate::client::{self, Client};

const PATH: &str = "/v1/realtime?model=gpt-realtime-2.1";

/// A session behind its `session.created`.
async fn session(fake: &FakeOpenAi, script: &str) -> Client {
    let field = format!("X-Fake-Script: {script}");
    let mut client = client::open(fake, PATH, &[&field]).await;
    let created = client.event().await;
    assert_eq!(created["type"], "session.created");
    client
}

/// The same, after an update of its configuration.
async fn configured(fake: &FakeOpenAi, script: &str, session: Value) -> Client {
    let mut client = self::session(fake, script).await;
    let mut session = session;
    session["type"] = json!("realtime");
    client
        .say(&json!({ "type": "session.update", "session": session }))
        .await;
    let updated = client.event().await;
    assert_eq!(updated["type"], "session.updated", "{updated}");
    client
}

/// A message of the user.
fn message(text: &str) -> Value {
    let content = json!([{ "type": "input_text", "text": text }]);
    let item = json!({ "type": "message", "role": "user", "content": content });
    json!({ "type": "conversation.item.create", "item": item })
}

/// Says something and asks for a response; gives its events up to its limits.
async fn answer(client: &mut Client, text: &str) -> Vec<Value> {
    client.say(&message(text)).await;
    client.say(&json!({ "type": "response.create" })).await;
    client.events_to("conversation.item.done").await;
    client.events_to("rate_limits.updated").await
}

fn types(events: &[Value]) -> Vec<&str> {
    let types = events.iter().map(|event| event["type"].as_str());
    types.map(|kind| kind.expect("a type")).collect()
}

/// Types in a row told once.
fn distinct_types(events: &[Value]) -> Vec<&str> {
    let mut types = types(events);
    types.dedup();
    types
}

fn first<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    let found = events.iter().find(|event| event["type"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {:?}", types(events)))
}
