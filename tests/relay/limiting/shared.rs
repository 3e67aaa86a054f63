//! Several relays that share their limits in Redis.

use std::collections::HashMap;

use fake_openai::FakeOpenAi;

use super::{PATIENT, SHARED, free_again, from, models, statuses, told};
use crate::support::{
    RELAY_TOKEN, RedisServer, Relay, SERVER_KEY, authorization, get, stream, trust, upstream,
};

/// Relays on one Redis, in front of one stand-in.
async fn relays(redis: &str, limits: &str, extra: &[(&str, &str)]) -> (FakeOpenAi, [Relay; 2]) {
    let upstream = upstream().await;
    let base_url = upstream.base_url();
    let mut variables = vec![
        ("OPENAI_API_KEY", SERVER_KEY),
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("RELAY_TOKEN", RELAY_TOKEN),
        ("REDIS_URL", redis),
        ("RATE_LIMITS", limits),
        PATIENT,
    ];
    variables.extend_from_slice(extra);
    let relays = [
        Relay::start(&variables).await,
        Relay::start(&variables).await,
    ];
    for relay in &relays {
        told(relay, SHARED, 1).await;
    }
    (upstream, relays)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_relays_share_one_limit() {
    let server = RedisServer::start();
    let limits = "models=30/1h per user; models=20/1h per ip";
    let (_upstream, [one, other]) = relays(&server.url(), limits, &[]).await;
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..50 {
        let relay = if number % 2 == 0 { &one } else { &other };
        let address = relay.address();
        clients.spawn(async move { get(address, "/v1/models", &[&authorization()]).await });
    }
    assert_eq!(
        statuses(&clients.join_all().await),
        [(200, 20), (429, 30)].into()
    );
    trust::record_part(
        "P47",
        "relays",
        "50 parallel clients at two relays that share Redis: 20 requests admitted at a limit of 20",
    );
    // What the second limit refused was given back to the first.
    let mut answers = Vec::new();
    for number in 0..14 {
        let relay = if number % 2 == 0 { &one } else { &other };
        answers.push(from(relay, "203.0.113.1", "/v1/models").await);
    }
    assert_eq!(statuses(&answers), [(200, 10), (429, 4)].into());
    let stats = get(other.address(), "/stats", &[]).await.json();
    assert_eq!(stats["limits"]["counted"], "in Redis");
    assert_eq!(stats["limits"]["replicas"], 2);
    assert_eq!(stats["limits"]["redisFaults"], 0);
}

#[tokio::test]
async fn two_relays_share_one_cap_and_a_place_is_free_for_either() {
    let server = RedisServer::start();
    let (_upstream, [one, other]) = relays(&server.url(), "concurrent all=4", &[]).await;
    let mut streams = Vec::new();
    for relay in [&one, &other, &one, &other] {
        streams.push(stream(relay, &[]).await.expect("a place"));
    }
    for relay in [&one, &other] {
        assert_eq!(stream(relay, &[]).await.err().expect("full").status, 429);
        assert_eq!(models(relay).await.status, 429);
    }
    // The first relay's client leaves, the second relay has its place.
    streams.remove(0);
    streams.push(free_again(&other).await);
    assert_eq!(models(&one).await.status, 429);
}

#[tokio::test]
async fn a_relay_that_stops_leaves_nothing_behind() {
    let server = RedisServer::start();
    let timeout = [("DRAIN_TIMEOUT", "0")];
    let (_upstream, [mut one, other]) = relays(&server.url(), "concurrent all=2", &timeout).await;
    let _streams = [
        stream(&one, &[]).await.expect("a place"),
        stream(&one, &[]).await.expect("a place"),
    ];
    assert_eq!(models(&other).await.status, 429);
    one.signal("TERM");
    assert_eq!(one.exit_code().await, Some(0));
    assert_eq!(models(&other).await.status, 200);
    assert_eq!(server.say("ZCARD openai-relay:relays"), ":1\r\n");
}

/// A number as Redis sends it.
fn number(answer: &str) -> i64 {
    let text = answer.trim().trim_start_matches(':');
    text.parse().expect("a number")
}

#[tokio::test]
async fn a_killed_relays_places_run_out_within_a_minute_and_then_serve_another() {
    let server = RedisServer::start();
    let (_upstream, [one, other]) = relays(&server.url(), "concurrent all=21", &[]).await;
    let mut streams = vec![stream(&other, &[]).await.expect("a place")];
    for _ in 0..20 {
        streams.push(stream(&one, &[]).await.expect("a place"));
    }
    assert_eq!(models(&other).await.status, 429);
    one.signal("KILL");
    let key = "\"openai-relay:concurrent all=21 per user:relay-token\"";
    let listed = server.say(&format!("ZRANGE {key} 0 -1"));
    let mut places: HashMap<&str, Vec<&str>> = HashMap::new();
    for place in listed.lines().filter(|line| line.contains(':')) {
        let (relay, _) = place.split_once(':').expect("a relay and a number");
        places.entry(relay).or_default().push(place);
    }
    let dead = places.into_values().find(|places| places.len() == 20);
    let dead = dead.expect("those of the killed one");
    let now = number(server.say("TIME").lines().nth(2).expect("seconds"));
    let latest = format!("ZCOUNT {key} {now}000000 {}000000", now + 60);
    assert_eq!(number(&server.say(&latest)), 21, "{listed}");
    // Nobody renews them; that minute is over at once here, and `scripts/soak P30` waits for it.
    for place in dead {
        server.say(&format!("ZADD {key} XX 1 {place}"));
    }
    for _ in 0..20 {
        streams.push(stream(&other, &[]).await.expect("a place"));
    }
    assert_eq!(models(&other).await.status, 429, "the living one's own");
}

#[tokio::test]
async fn what_is_in_redis_runs_out_and_holds_no_credential() {
    let server = RedisServer::start();
    let limits = "all=100/1h; all=100/1h per ip; concurrent all=9";
    let (_upstream, [one, _other]) = relays(&server.url(), limits, &[]).await;
    let _stream = stream(&one, &[]).await.expect("a place");
    let keys = server.say("KEYS *");
    let keys: Vec<&str> = keys
        .lines()
        .filter(|line| line.starts_with("openai-relay:"))
        .collect();
    assert_eq!(keys.len(), 4, "{keys:?}");
    for key in keys {
        assert!(
            !key.contains(RELAY_TOKEN) && !key.contains(SERVER_KEY),
            "{key}"
        );
        let left = number(&server.say(&format!("PTTL \"{key}\"")));
        assert!(left > 0, "{key} stays for ever");
    }
}
