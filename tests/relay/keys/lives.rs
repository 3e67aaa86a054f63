//! When keys and tokens are over, and what ran by them with them.

use std::time::Duration;

use super::*;
use crate::support::Postgres;
use crate::support::relay::SOON;
use crate::support::ws::Socket;

/// Events that never stop by themselves.
const ENDLESS: &str = "/v1/_fake/bytes?n=100000000&chunked=1&chunk=200";
const SLOWLY: &str = "X-Fake-Script: chunk-delay=20";
/// Within which a relay that was not told has to hear of it, and some more for a busy machine.
const A_MINUTE: Duration = Duration::from_secs(75);

/// A stream and a session that run by a credential.
struct Running {
    stream: Connection,
    socket: Socket,
}

impl Running {
    async fn start(relay: &Relay, key: &str) -> Running {
        let mut stream = Connection::open(relay.address()).await;
        let line = bearer(key);
        stream
            .write(&request("GET", ENDLESS, &[&line, SLOWLY], b""))
            .await;
        assert_eq!(stream.head().await.expect("a head").status, 200);
        stream.more().await.expect("it runs");
        let target = format!("/v1/realtime?model={VOICE}");
        let socket = Socket::open(relay.address(), &target, &[&line]).await;
        let mut socket = socket.unwrap_or_else(|answer| panic!("{}", answer.text()));
        assert_eq!(socket.event().await["type"], "session.created");
        Running { stream, socket }
    }

    /// Both have ended, and look it.
    async fn end(mut self) {
        let mut rest = Vec::new();
        while let Some(bytes) = self.stream.more().await {
            rest = bytes;
        }
        assert!(!rest.ends_with(b"0\r\n\r\n"), "a cut stream looks cut");
        let (code, _) = loop {
            let frame = self.socket.message().await;
            if frame.opcode() == 8 {
                break frame.closes_with();
            }
        };
        assert_eq!(code, 3000);
    }
}

async fn token(people: &People, key: &str) -> String {
    let made = ask(people, "POST", "/api/v1/tokens", key, None).await;
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()["value"].as_str().expect("a token").to_owned()
}

on_both! {
    async fn what_runs_by_a_key_and_its_tokens_ends_with_it_within_a_second_on_the_relay_that_was_told(home: Home) {
        let people = People::start(home).await;
        let admin = people.admin().await.access;
        for how in ["revoke", "rotate"] {
            let (key, id) = make(&people.database, &[]).await;
            let (bystander, _) = make(&people.database, &[]).await;
            let sealed = token(&people, &key).await;
            let by_key = Running::start(&people.relay, &key).await;
            let by_token = Running::start(&people.relay, &sealed).await;
            let other = Running::start(&people.relay, &bystander).await;
            let path = format!("/api/v1/admin/keys/{id}");
            let (method, path) = match how {
                "revoke" => ("DELETE", path),
                _ => ("POST", format!("{path}/rotate")),
            };
            let done = ask(&people, method, &path, &admin, None).await;
            assert!(done.status < 300, "{}", done.text());
            let start = std::time::Instant::now();
            by_key.end().await;
            by_token.end().await;
            let took_ms = start.elapsed().as_millis();
            for over in [&key, &sealed] {
                assert_eq!(ask(&people, "GET", "/v1/models", over, None).await.status, 401);
            }
            assert_eq!(ask(&people, "GET", "/v1/models", &bystander, None).await.status, 200);
            drop(other);
            trust::record_part("P28", how, &format!(
                "a stream and a socket of a key, and both of a sealed token, ended {took_ms} ms after its {how}"
            ));
        }
    }
}

on_both! {
    async fn who_is_disabled_is_out_with_all_keys(home: Home) {
        let people = People::start(home).await;
        let admin = people.admin().await.access;
        let alice = people.join("alice").await.access;
        let wish = json!({ "name": "laptop" });
        let made = ask(&people, "POST", "/api/v1/keys", &alice, Some(&wish)).await.json();
        let key = made["key"].as_str().expect("a key");
        let sealed = token(&people, &alice).await;
        let by_key = Running::start(&people.relay, key).await;
        let by_token = Running::start(&people.relay, &sealed).await;
        let change = json!({ "is_active": false });
        let answer = ask(&people, "PATCH", "/api/v1/admin/users/alice", &admin, Some(&change)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        by_key.end().await;
        by_token.end().await;
        assert_eq!(ask(&people, "GET", "/v1/models", key, None).await.status, 401);
        let change = json!({ "is_active": true });
        ask(&people, "PATCH", "/api/v1/admin/users/alice", &admin, Some(&change)).await;
        assert_eq!(ask(&people, "GET", "/v1/models", key, None).await.status, 200);
        assert_eq!(ask(&people, "GET", "/v1/models", &sealed, None).await.status, 401, "its login ended");
    }
}

/// By the command line, which tells no relay, and on one that another relay does not tell.
#[tokio::test]
async fn what_runs_by_a_key_ends_within_a_minute_on_relays_that_were_not_told() {
    let people = People::start(Home::Sqlite).await;
    let replica = people.replica(&[]).await;
    let (key, id) = make(&people.database, &[]).await;
    let here = Running::start(&people.relay, &key).await;
    let there = Running::start(&replica, &key).await;
    let start = std::time::Instant::now();
    people
        .database
        .json(&["key", "revoke", &id, "--json"], "")
        .await;
    let ends = async { tokio::join!(here.end(), there.end()) };
    tokio::time::timeout(A_MINUTE, ends)
        .await
        .expect("both end within a minute");
    trust::record_part(
        "P28",
        "command-line",
        &format!(
            "revoked by the command line: a stream and a socket ended on two relays within {} s",
            start.elapsed().as_secs()
        ),
    );
}

/// A token names its maker, whom the database still knows: in another version.
#[tokio::test]
async fn what_runs_by_a_token_ends_within_a_minute_of_a_rotation_that_no_relay_was_told() {
    let people = People::start(Home::Sqlite).await;
    let replica = people.replica(&[]).await;
    let (key, id) = make(&people.database, &[]).await;
    let sealed = token(&people, &key).await;
    let here = Running::start(&people.relay, &sealed).await;
    let there = Running::start(&replica, &sealed).await;
    let start = std::time::Instant::now();
    let rotated = people
        .database
        .json(&["key", "rotate", &id, "--json"], "")
        .await;
    let fresh = token(&people, rotated["key"].as_str().expect("a key")).await;
    let line = bearer(&fresh);
    for relay in [&people.relay, &replica] {
        let answer = call(relay, "GET", "/v1/models", &[&line], None).await;
        assert_eq!(answer.status, 200, "at once: {}", answer.text());
    }
    let ends = async { tokio::join!(here.end(), there.end()) };
    tokio::time::timeout(A_MINUTE, ends)
        .await
        .expect("both end within a minute");
    let answer = ask(&people, "GET", "/v1/models", &sealed, None).await;
    assert_eq!(answer.status, 401, "{}", answer.text());
    trust::record_part(
        "P28",
        "tokens",
        &format!(
            "rotated by the command line: a stream and a socket of a sealed token ended on two relays within {} s; tokens of the new key opened both at once",
            start.elapsed().as_secs()
        ),
    );
}

#[tokio::test]
async fn a_key_ends_when_it_says() {
    let people = People::start(Home::Sqlite).await;
    let (key, _) = make(&people.database, &["--expires", "12s"]).await;
    assert_eq!(
        ask(&people, "GET", "/v1/models", &key, None).await.status,
        200
    );
    let start = std::time::Instant::now();
    while ask(&people, "GET", "/v1/models", &key, None).await.status == 200 {
        assert!(start.elapsed() < SOON, "it never ends");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        ask(&people, "GET", "/v1/models", &key, None).await.status,
        401
    );
}

/// P31 for keys.
#[tokio::test]
async fn known_keys_go_on_while_the_database_is_gone_and_others_are_503() {
    let people = People::start(Home::Sqlite).await;
    let (known, _) = make(&people.database, &[]).await;
    let (unknown, _) = make(&people.database, &[]).await;
    assert_eq!(
        ask(&people, "GET", "/v1/models", &known, None).await.status,
        200
    );
    people
        .database
        .change("ALTER TABLE relay_keys RENAME TO gone")
        .await;
    assert_eq!(
        ask(&people, "GET", "/v1/models", &known, None).await.status,
        200
    );
    let answer = ask(&people, "GET", "/v1/models", &unknown, None).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    people
        .database
        .change("ALTER TABLE gone RENAME TO relay_keys")
        .await;
    assert_eq!(
        ask(&people, "GET", "/v1/models", &unknown, None)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn strangers_stay_out_until_the_database_has_said_that_there_are_no_keys() {
    let postgres = Postgres::start();
    let database = Database::at(postgres.database());
    postgres.tell("stop");
    let alone = [
        ("SECRET_KEY", ""),
        ("ALLOW_ANONYMOUS", "true"),
        ("DATABASE_TIMEOUT", "5"),
    ];
    let people = People::start_on(database, &alone).await;
    let answer = people.call("GET", "/v1/models", None, None).await;
    assert_eq!(answer.status, 401, "{}", answer.text());
    postgres.tell("start");
    let start = std::time::Instant::now();
    while people.call("GET", "/v1/models", None, None).await.status != 200 {
        assert!(start.elapsed() < SOON, "it never asks");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    postgres.tell("stop");
    let answer = people.call("GET", "/v1/models", None, None).await;
    assert_eq!(answer.status, 200, "it said so: {}", answer.text());
}
