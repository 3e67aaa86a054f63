//! P30: Redis may die. Nobody is refused for that, and nobody gets more than about the limit.

use std::time::Duration;

use serde_json::Value;

use super::{ALONE, PATIENT, SHARED, models, statuses, told};
use crate::support::outage::redis_dies;
use crate::support::redis::free_port;
use crate::support::{Answer, RedisServer, Relay, authorization, get, pair_with, stream, trust};

async fn several(relay: &Relay, count: usize) -> Vec<Answer> {
    let mut answers = Vec::new();
    for _ in 0..count {
        answers.push(models(relay).await);
    }
    answers
}

async fn limits(relay: &Relay) -> Value {
    get(relay.address(), "/stats", &[]).await.json()["limits"].clone()
}

#[tokio::test]
async fn without_its_redis_a_relay_starts_counts_alone_and_comes_back_by_itself() {
    let port = free_port();
    let url = format!("redis://user:planted-password@127.0.0.1:{port}/0");
    let variables = [("REDIS_URL", url.as_str()), ("RATE_LIMITS", "models=4/1h")];
    let (_upstream, relay) = pair_with(&variables).await;
    assert_eq!(
        statuses(&several(&relay, 6).await),
        [(200, 4), (429, 2)].into()
    );
    let state = limits(&relay).await;
    assert_eq!(state["counted"], "alone");
    assert_eq!(state["decidedAlone"], 6);
    let health = get(relay.address(), "/api/v1/health/detailed", &[]).await;
    assert_eq!(health.status, 200, "it is not needed");
    assert_eq!(health.json()["services"]["redis"]["status"], "unhealthy");
    told(&relay, ALONE, 1).await;
    // Others that start like this know as little of each other.
    relay.says("REPLICAS is not set").await;
    assert!(!relay.whole_log().await.contains("planted-password"));
}

#[tokio::test]
async fn what_was_counted_goes_along_when_redis_dies_and_when_it_is_back_empty() {
    let mut server = RedisServer::start();
    let url = server.url();
    let limits_set = ("RATE_LIMITS", "models=10/1h");
    let variables = [("REDIS_URL", url.as_str()), limits_set, PATIENT];
    let (_upstream, relay) = pair_with(&variables).await;
    told(&relay, SHARED, 1).await;
    assert_eq!(statuses(&several(&relay, 6).await), [(200, 6)].into());
    server.kill();
    assert_eq!(statuses(&several(&relay, 3).await), [(200, 3)].into());
    told(&relay, ALONE, 1).await;
    server.restart();
    told(&relay, SHARED, 2).await;
    assert_eq!(limits(&relay).await["counted"], "in Redis");
    assert_eq!(server.say("DBSIZE"), ":1\r\n", "it has lost everything");
    assert_eq!(
        statuses(&several(&relay, 5).await),
        [(200, 1), (429, 4)].into()
    );
    // Another one learns of it from there.
    let health = get(relay.address(), "/api/v1/health/detailed", &[])
        .await
        .json();
    assert_eq!(health["services"]["redis"]["status"], "healthy");
}

#[tokio::test]
async fn a_redis_that_hangs_is_given_up_and_taken_back() {
    let server = RedisServer::start();
    let url = server.url();
    let limits_set = "models=40/1h; concurrent models=2";
    let timeout = ("REDIS_TIMEOUT", "1");
    let limits_set = ("RATE_LIMITS", limits_set);
    let variables = [("REDIS_URL", url.as_str()), limits_set, timeout];
    let (_upstream, relay) = pair_with(&variables).await;
    assert_eq!(models(&relay).await.status, 200);
    server.hang();
    assert_eq!(statuses(&several(&relay, 20).await), [(200, 20)].into());
    told(&relay, ALONE, 1).await;
    let state = limits(&relay).await;
    assert_eq!(state["decidedAlone"], 40, "{state}");
    let faults = state["redisFaults"].as_u64().expect("a number");
    // Beside requests, the link is tried once a second.
    assert!((5..=8).contains(&faults), "then it is not asked: {state}");
    server.go_on();
    told(&relay, SHARED, 2).await;
    assert_eq!(statuses(&several(&relay, 30).await)[&200], 19);
}

#[tokio::test]
async fn alone_each_relay_takes_its_share() {
    let redis = format!("redis://127.0.0.1:{}", free_port());
    let variables = [
        ("REDIS_URL", redis.as_str()),
        ("RATE_LIMITS", "models=12/1h; concurrent chat=1"),
        ("REPLICAS", "3"),
    ];
    let (_upstream, relay) = pair_with(&variables).await;
    let answers = several(&relay, 6).await;
    assert_eq!(statuses(&answers), [(200, 4), (429, 2)].into());
    assert_eq!(answers[5].header("x-ratelimit-limit-requests"), Some("4"));
    let chat = get(relay.address(), "/v1/chat/completions", &[&authorization()]).await;
    assert_ne!(chat.status, 429, "at least one place");
    assert!(!relay.whole_log().await.contains("REPLICAS is not set"));
}

#[tokio::test]
async fn replicas_are_those_that_were_seen_in_redis() {
    let mut server = RedisServer::start();
    let url = server.url();
    let limits_set = ("RATE_LIMITS", "models=12/1h");
    let variables = [("REDIS_URL", url.as_str()), limits_set, PATIENT];
    let (_one, first) = pair_with(&variables).await;
    let (_other, second) = pair_with(&variables).await;
    told(&second, SHARED, 1).await;
    server.kill();
    assert_eq!(
        statuses(&several(&second, 8).await),
        [(200, 6), (429, 2)].into()
    );
    // The first one has not heard of the second since it started.
    drop(first);
}

#[tokio::test]
async fn places_go_along_too() {
    let mut server = RedisServer::start();
    let url = server.url();
    let variables = [
        ("REDIS_URL", url.as_str()),
        ("RATE_LIMITS", "concurrent all=3"),
        ("REPLICAS", "1"),
        PATIENT,
    ];
    let (_one, first) = pair_with(&variables).await;
    let (_other, second) = pair_with(&variables).await;
    let held = [stream(&first, &[]).await, stream(&first, &[]).await];
    assert!(held.iter().all(Result::is_ok));
    server.kill();
    // Alone it knows of its own two.
    let third = stream(&first, &[]).await;
    assert!(third.is_ok());
    assert_eq!(models(&first).await.status, 429);
    told(&first, ALONE, 1).await;
    server.restart();
    told(&first, SHARED, 2).await;
    // Nobody asked the other one meanwhile.
    told(&second, SHARED, 2).await;
    // The empty server was told of all three.
    assert_eq!(models(&second).await.status, 429);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_restarted_and_hung_under_load_nobody_is_failed() {
    let seen = redis_dies(60, Duration::from_secs(1)).await;
    assert_eq!(seen.others, 0, "{}", seen.words());
    assert!(seen.admitted <= 2 * seen.allowed, "{}", seen.words());
    for (lost, found) in seen.told.0.into_iter().zip(seen.told.1) {
        assert!(lost >= 2, "{}", seen.words());
        assert!(
            (lost..=lost + 1).contains(&found),
            "each change is told once"
        );
    }
    trust::record("P30", &seen.words());
}
