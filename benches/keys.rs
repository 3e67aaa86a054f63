//! What relay keys cost at the gate (P51): a first use among 100,000 keys on SQLite, one that is known beside
//! RELAY_TOKEN, and a million that are none, in front of a database that answers nothing.
//!
//! `cargo bench --bench keys`.

// A run may stop at once, and its tasks end with it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

#[path = "../tests/relay/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openai_relay::admission::keys::{Registry, RelayKeys, Wish};
use openai_relay::admission::{
    Ask, Calls, Claim, Drain, Gate, Limiter, Pressure, Right, Sealing, Sessions, Terms,
};
use openai_relay::config::{
    Access, DatabaseUrl, Environment, Limiting, Origins, SecretString, Tokens,
};
use openai_relay::family::Family;
use openai_relay::store::{Shelf, Store};
use openai_relay::telemetry::Counters;
use sqlx::{AnyConnection, Connection};
use support::trust;

const KEYS: usize = 100_000;
/// Keys that are used for the first time.
const FRESH: usize = 2000;
const KNOWN: u32 = 1_000_000;
const RANDOM: u32 = 1_000_000;
const FIRST_USE: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(5);
const KNOWN_MORE: Duration = Duration::from_micros(1);
const RELAY_TOKEN: &str = "relay-token-for-the-bench-0123456789";

fn ask(token: &str) -> Ask<'_> {
    Ask {
        claim: Claim::Token(token),
        right: Right::Api,
        family: Some(Family::Chat),
        calls: &[],
        origin: None,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        is_upgrade: false,
        direct_loopback: false,
    }
}

fn gate(url: &DatabaseUrl, store: &Arc<Store>) -> Gate {
    let access = Access {
        relay_token: Some(SecretString::from(RELAY_TOKEN)),
        allow_anonymous: false,
        allow_client_keys: false,
        origins: Origins::Any,
        origins_defaulted: true,
    };
    let tokens = Tokens {
        keys: Vec::new(),
        client_secrets: None,
    };
    let limiting = Limiting {
        limits: Vec::new(),
        redis: None,
        redis_ca_file: None,
        redis_timeout: Duration::from_millis(20),
        replicas: None,
    };
    let limiter = Arc::new(Limiter::new(&limiting).unwrap());
    let shelf = Shelf::with(url, PATIENCE, Arc::clone(store));
    let terms = Terms {
        sealing: Arc::new(Sealing::new(&tokens, &access)),
        access,
        accounts: None,
        keys: Arc::new(RelayKeys::new(Arc::new(shelf))),
        calls: Arc::new(Calls::new(Arc::clone(&limiter))),
        environment: Environment::Production,
        has_server_key: true,
    };
    Gate::new(
        terms,
        Arc::new(Drain::new()),
        Arc::new(Pressure::default()),
        Arc::new(Sessions::new(1)),
        limiter,
        Arc::new(Counters::new()),
    )
}

/// Real keys, among others that nobody holds.
async fn fill(path: &Path, store: &Arc<Store>) -> Vec<String> {
    let mut connection = AnyConnection::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap();
    let mut work = connection.begin().await.unwrap();
    for number in 0..KEYS - FRESH {
        let id = uuid::Uuid::new_v4();
        let hash = format!("{}{}", uuid::Uuid::new_v4().simple(), id.simple());
        sqlx::query("INSERT INTO relay_keys (id, hash, hint, name, rules, version, created_at) VALUES ($1, $2, 'rk_', 'x', '{}', 0, $3)")
            .bind(id.to_string())
            .bind(hash)
            .bind(i64::try_from(number).unwrap())
            .execute(&mut *work)
            .await
            .unwrap();
    }
    work.commit().await.unwrap();
    let registry = Registry::new(Arc::clone(store));
    let mut wish = Wish {
        name: "bench".to_owned(),
        ..Wish::default()
    };
    wish.rules.families = vec!["chat".to_owned()];
    wish.rules.addresses = vec!["127.0.0.0/8".to_owned()];
    let mut keys = Vec::new();
    for _ in 0..FRESH {
        keys.push(registry.create(&wish, None).await.unwrap().0);
    }
    keys
}

/// The time of one of so many.
async fn each(gate: &Gate, count: u32, tokens: &[String], is_good: bool) -> Duration {
    let start = Instant::now();
    for (_, token) in (0..count).zip(tokens.iter().cycle()) {
        let found = gate.identify(black_box(&ask(token))).await;
        assert_eq!(found.is_ok(), is_good, "{token}");
        if let Err(refusal) = found {
            // What asks a database that is closed is 503.
            assert_eq!(refusal.status(), 401, "{token}");
        }
    }
    start.elapsed() / count
}

fn told(name: &str, figure: Duration, limit: Duration) -> bool {
    let passed = figure <= limit;
    let verdict = if passed { "pass" } else { "FAIL" };
    println!("{name:42}  {verdict}  {figure:?}, at most {limit:?}");
    passed
}

fn random_keys() -> Vec<String> {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
    let text = |bytes: &[u8]| -> String {
        bytes
            .iter()
            .map(|byte| char::from(LETTERS[usize::from(byte & 31)]))
            .collect()
    };
    let keys = (0..RANDOM).map(|_| {
        let (one, two) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
        let bytes = [&one.as_bytes()[..], two.as_bytes(), one.as_bytes()].concat();
        format!("rk_{}_{}", text(&bytes[..26]), text(&bytes[20..27]))
    });
    keys.collect()
}

async fn run(path: PathBuf) -> bool {
    let url = DatabaseUrl::Sqlite(Some(path.clone()));
    let store = Arc::new(Store::open(&url, PATIENCE).await.unwrap());
    let keys = fill(&path, &store).await;
    let gate = gate(&url, &store);
    let mut firsts = Vec::new();
    for key in &keys {
        let start = Instant::now();
        gate.identify(&ask(key)).await.unwrap();
        firsts.push(start.elapsed());
    }
    firsts.sort();
    println!("{KEYS} keys, first uses: median {:?}", firsts[FRESH / 2]);
    let first = firsts[FRESH * 99 / 100];
    let mut passed = told("first use of a key, p99", first, FIRST_USE);
    let token = [RELAY_TOKEN.to_owned()];
    each(&gate, KNOWN / 10, &token, true).await;
    let by_token = each(&gate, KNOWN, &token, true).await;
    let by_key = each(&gate, KNOWN, &keys[..1], true).await;
    println!("RELAY_TOKEN {by_token:?}, a known key {by_key:?}");
    let more = by_key.saturating_sub(by_token);
    passed &= told("a known key, more than RELAY_TOKEN", more, KNOWN_MORE);
    store.close().await;
    let none = each(&gate, RANDOM, &random_keys(), false).await;
    println!("{RANDOM} random keys: {none:?} each, and none asked the database");
    let verdict = if passed { "pass" } else { "FAIL" };
    let command = "cargo bench --bench keys";
    let measured = format!(
        "{KEYS} keys on SQLite: a first use takes {:?} (median), {first:?} (p99); a known key {more:?} more than RELAY_TOKEN: {verdict}",
        firsts[FRESH / 2]
    );
    trust::record_by("P51", &measured, command);
    // They would be 503 otherwise, and end this.
    let measured = format!(
        "{RANDOM} random keys at a gate whose database is closed: 401 each in {none:?}, 0 queries"
    );
    trust::record_by("P20", &measured, command);
    passed
}

fn main() -> ExitCode {
    let folder = std::env::temp_dir().join(format!("openai-relay-bench-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&folder).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let passed = runtime.block_on(run(folder.join("keys.db")));
    let _ = std::fs::remove_dir_all(folder);
    ExitCode::from(u8::from(!passed))
}
