//! A Redis that answers, but too late, or only in part.

use std::time::Duration;

use serde_json::Value;

use super::{ALONE, SHARED, from, models, statuses, told};
use crate::support::outage::{cluster_of_three, cluster_replica};
use crate::support::{Answer, RedisServer, Relay, SlowWay, eventually, get, pair_with};

const BUDGET: (&str, &str) = ("REDIS_TIMEOUT", "200ms");
/// Longer than the budget, and shorter than anything else that is waited for.
const LATE: Duration = Duration::from_millis(300);
/// More tries than it takes to come back to a Redis that is well.
const TRIES: usize = 4;

async fn limits(relay: &Relay) -> Value {
    get(relay.address(), "/stats", &[]).await.json()["limits"].clone()
}

/// How often the log said that Redis was lost, and that it is shared.
async fn told_of(relay: &Relay) -> (usize, usize) {
    let log = relay.whole_log().await;
    (log.matches(ALONE).count(), log.matches(SHARED).count())
}

/// Waits until the relay has tried again so often.
async fn tries(way: &SlowWay) {
    let before = way.connections();
    eventually("it tries again", || way.connections() >= before + TRIES).await;
}

#[tokio::test]
async fn a_redis_that_answers_too_late_is_not_used_and_told_of_once() {
    let server = RedisServer::start();
    let way = SlowWay::to(server.port()).await;
    way.delay(LATE);
    let url = format!("redis://127.0.0.1:{}", way.port());
    let limit = ("RATE_LIMITS", "models=1000/1h");
    let (_upstream, relay) = pair_with(&[("REDIS_URL", url.as_str()), limit, BUDGET]).await;
    tries(&way).await;
    assert_eq!(told_of(&relay).await, (1, 0), "{}", relay.log_text());
    relay.says("not in time (REDIS_TIMEOUT)").await;
    for _ in 0..20 {
        assert_eq!(models(&relay).await.status, 200);
    }
    let state = limits(&relay).await;
    assert_eq!(
        (&state["counted"], &state["decidedAlone"]),
        (&"alone".into(), &20.into())
    );
    assert_eq!(
        (&state["redisFaults"], &state["redisChanges"]),
        (&0.into(), &1.into())
    );
    way.delay(Duration::ZERO);
    told(&relay, SHARED, 1).await;
    assert_eq!(limits(&relay).await["counted"], "in Redis");
    // In the middle of its work.
    way.delay(LATE);
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(models(&relay).await);
    }
    assert_eq!(statuses(&answers), [(200, 20)].into());
    told(&relay, ALONE, 2).await;
    tries(&way).await;
    assert_eq!(told_of(&relay).await, (2, 1), "{}", relay.log_text());
    way.delay(Duration::ZERO);
    told(&relay, SHARED, 2).await;
}

/// An address whose bucket lies on each of these servers.
fn addresses(nodes: &[RedisServer], limit: &str) -> Vec<String> {
    let on = |node: &RedisServer| {
        let mut numbers = 1..255;
        let found = numbers.find(|number| {
            let key = format!("openai-relay:{limit}:ip:203.0.113.{number}");
            node.say(&format!("GET \"{key}\"")).starts_with('$')
        });
        format!("203.0.113.{}", found.expect("one of many"))
    };
    nodes.iter().map(on).collect()
}

async fn several(relay: &Relay, address: &str, count: usize) -> Vec<Answer> {
    let mut answers = Vec::new();
    for _ in 0..count {
        answers.push(from(relay, address, "/v1/models").await);
    }
    answers
}

#[tokio::test]
async fn a_server_of_a_cluster_that_hangs_costs_only_its_own_buckets() {
    let nodes = cluster_of_three("cluster-require-full-coverage no\n").await;
    let limit = "models=10/1h per ip";
    let addresses = addresses(&nodes, limit);
    let url = format!("redis+cluster://127.0.0.1:{}", nodes[0].port());
    let timeout = ("REDIS_TIMEOUT", "1");
    let variables = [("REDIS_URL", url.as_str()), ("RATE_LIMITS", limit), timeout];
    let (_one, first) = pair_with(&variables).await;
    let (_other, second) = pair_with(&[&variables[..], &[("REPLICAS", "2")]].concat()).await;
    for relay in [&first, &second] {
        told(relay, SHARED, 1).await;
        assert_eq!(limits(relay).await["counted"], "in Redis");
    }
    nodes[1].hang();
    // With the relay's own looks at it, five waits come together, and then nobody waits for it.
    let lost = several(&second, &addresses[1], 3).await;
    assert_eq!(statuses(&lost), [(200, 3)].into());
    told(&second, ALONE, 1).await;
    let state = limits(&second).await;
    assert_eq!(state["counted"], "partly in Redis", "{state}");
    let health = get(second.address(), "/api/v1/health/detailed", &[])
        .await
        .json();
    let redis = &health["services"]["redis"];
    assert_eq!(redis["status"], "unhealthy");
    let server = format!("127.0.0.1:{}", nodes[1].port());
    assert!(
        redis["error"]
            .as_str()
            .is_some_and(|why| why.contains(&server)),
        "{redis}"
    );
    for living in [0, 2] {
        let address = &addresses[living];
        assert_eq!(
            statuses(&several(&first, address, 6).await),
            [(200, 6)].into()
        );
        assert_eq!(
            statuses(&several(&second, address, 6).await),
            [(200, 4), (429, 2)].into(),
            "one limit for both: {}",
            second.log_text()
        );
    }
    let after = limits(&second).await;
    assert_eq!(after["decidedAlone"], state["decidedAlone"], "{after}");
    nodes[1].go_on();
    told(&second, SHARED, 2).await;
    assert_eq!(limits(&second).await["counted"], "in Redis");
    // What was counted alone is known there, as the part of its share that it was: three of five.
    let lost = several(&second, &addresses[1], 6).await;
    assert_eq!(statuses(&lost), [(200, 4), (429, 2)].into());
    let lost = several(&first, &addresses[1], 2).await;
    assert_eq!(statuses(&lost), [(429, 2)].into());
}

#[tokio::test]
async fn a_cluster_that_needs_all_of_its_servers_is_lost_and_found_as_a_whole() {
    let mut nodes = cluster_of_three("").await;
    let url = format!("redis+cluster://127.0.0.1:{}", nodes[0].port());
    let limit = ("RATE_LIMITS", "models=1000/1h per ip");
    let timeout = ("REDIS_TIMEOUT", "1");
    let (_upstream, relay) = pair_with(&[("REDIS_URL", url.as_str()), limit, timeout]).await;
    told(&relay, SHARED, 1).await;
    nodes[1].kill();
    eventually("the others give up", || {
        let info = nodes[0].say("CLUSTER INFO") + &nodes[2].say("CLUSTER INFO");
        info.matches("cluster_state:fail").count() == 2
    })
    .await;
    for number in 1..100 {
        let address = format!("203.0.113.{number}");
        assert_eq!(from(&relay, &address, "/v1/models").await.status, 200);
    }
    told(&relay, ALONE, 3).await;
    assert_eq!(limits(&relay).await["counted"], "alone");
    nodes[1].restart();
    told(&relay, SHARED, 4).await;
    assert_eq!(limits(&relay).await["counted"], "in Redis");
}

#[tokio::test]
async fn a_replica_that_takes_over_in_a_cluster_is_found() {
    let mut nodes = cluster_of_three("").await;
    let replica = cluster_replica(&nodes[1]).await;
    let limit = "models=10/1h per ip";
    let addresses = addresses(&nodes, limit);
    let url = format!("redis+cluster://127.0.0.1:{}", nodes[0].port());
    let timeout = ("REDIS_TIMEOUT", "1");
    let variables = [("REDIS_URL", url.as_str()), ("RATE_LIMITS", limit), timeout];
    let (_upstream, relay) = pair_with(&variables).await;
    told(&relay, SHARED, 1).await;
    let before = several(&relay, &addresses[1], 4).await;
    assert_eq!(statuses(&before), [(200, 4)].into());
    eventually("the replica has it", || replica.say("DBSIZE") != ":0\r\n").await;
    nodes[1].kill();
    let server = format!("\"server\":\"127.0.0.1:{}\"", replica.port());
    eventually("it is found", || {
        let log = relay.log_text();
        log.lines()
            .any(|line| line.contains(SHARED) && line.contains(&server))
    })
    .await;
    assert!(replica.say("INFO replication").contains("role:master"));
    let after = several(&relay, &addresses[1], 8).await;
    assert_eq!(statuses(&after), [(200, 6), (429, 2)].into());
    eventually("all of it is shared again", || {
        let log = relay.log_text();
        log.matches(SHARED).count() == log.matches(ALONE).count() + 1
    })
    .await;
    assert_eq!(limits(&relay).await["counted"], "in Redis");
}
