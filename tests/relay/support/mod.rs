//! What the black-box tests share: a relay process, a raw client, and what both leave behind.
// Each crate of tests uses its part.
#![allow(dead_code, unused_imports, unused_macros)]

pub mod dice;
pub mod frames;
pub mod kills;
pub mod outage;
pub mod people;
pub mod postgres;
pub mod raw;
pub mod redis;
pub mod relay;
pub mod slow;
pub mod trust;
pub mod voice;
pub mod wait;
pub mod ws;

pub use dice::Dice;
pub use people::{Database, Home, PASSWORD, People, Tokens, call};
pub use postgres::Postgres;
pub use raw::{Answer, Connection, get, post, request, send};
pub use redis::RedisServer;
pub use relay::Relay;
pub use slow::SlowWay;
pub use wait::eventually;

use fake_openai::{FakeOpenAi, Options};

/// The server's key in tests; P17 searches for it everywhere.
pub const SERVER_KEY: &str = "sk-server-key-canary-7f3a91c2";
/// The shared client token in tests.
pub const RELAY_TOKEN: &str = "relay-token-for-tests-0123456789";

/// A stand-in upstream with the tests' key.
pub async fn upstream() -> FakeOpenAi {
    let options = Options {
        server_key: SERVER_KEY.to_owned(),
        ..Options::default()
    };
    FakeOpenAi::start(options)
        .await
        .expect("a stand-in upstream")
}

/// A stand-in upstream and a relay in front of it that lends its key to holders of the token.
pub async fn pair() -> (FakeOpenAi, Relay) {
    pair_with(&[]).await
}

/// The same with further variables; a later value wins, an empty one unsets.
pub async fn pair_with(extra: &[(&str, &str)]) -> (FakeOpenAi, Relay) {
    let upstream = upstream().await;
    let base_url = upstream.base_url();
    let mut variables = vec![
        ("OPENAI_API_KEY", SERVER_KEY),
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("RELAY_TOKEN", RELAY_TOKEN),
    ];
    variables.extend_from_slice(extra);
    let relay = Relay::start(&variables).await;
    (upstream, relay)
}

/// The `Authorization` header of a holder of the token.
pub fn authorization() -> String {
    format!("Authorization: Bearer {RELAY_TOKEN}")
}

/// A stream that goes on for as long as somebody reads it.
pub async fn stream(relay: &Relay, lines: &[&str]) -> Result<Connection, Answer> {
    const STREAM: &str = "/v1/_fake/bytes?n=1000000&chunk=100&chunked=1";
    let mut connection = Connection::open(relay.address()).await;
    let (key, script) = (authorization(), "X-Fake-Script: chunk-delay=20");
    let lines: Vec<&str> = [key.as_str(), script]
        .into_iter()
        .chain(lines.iter().copied())
        .collect();
    connection.write(&request("GET", STREAM, &lines, b"")).await;
    let head = connection.head().await.expect("a head");
    match head.status {
        200 => Ok(connection),
        _ => Err(head),
    }
}
