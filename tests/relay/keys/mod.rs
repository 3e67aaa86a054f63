//! Relay keys and sealed tokens: what they open, what they do not, and when they are over.

mod calls;
mod evasions;
mod leaving;
mod lives;
mod rules;
mod shown;
mod sockets;
mod tokens;

use serde_json::{Value, json};

use crate::support::people::on_both;
use crate::support::{
    Answer, Connection, Database, Home, People, RELAY_TOKEN, Relay, SERVER_KEY, call, request,
    trust,
};

/// A model that the stand-in knows.
const MODEL: &str = "gpt-6-luna";
/// The same for Realtime.
const VOICE: &str = "gpt-realtime-2.1-mini";

/// A key that the command line makes, and its id.
async fn make(database: &Database, words: &[&str]) -> (String, String) {
    let words = [&["key", "create", "a client", "--json"], words].concat();
    let made = database.json(&words, "").await;
    let text = |name: &str| made[name].as_str().expect(name).to_owned();
    (text("key"), text("id"))
}

/// A request with a credential.
async fn ask(people: &People, method: &str, path: &str, key: &str, body: Option<&Value>) -> Answer {
    people.call(method, path, Some(key), body).await
}

/// A chat by one.
async fn chat(people: &People, key: &str, model: &str) -> Answer {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "Hello" }] });
    ask(people, "POST", "/v1/chat/completions", key, Some(&body)).await
}

fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}")
}

/// That a rule says no, and which.
#[track_caller]
fn assert_forbidden(answer: &Answer, rule: &str) {
    let json = answer.json();
    let said = json["error"]["message"].as_str().unwrap_or_default();
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert_eq!(json["error"]["code"], "forbidden");
    assert!(said.contains(&format!("`{rule}`")), "{rule}: {said}");
}
