//! Several relays that share their limits in Redis.

use std::time::{Duration, Instant};

use fake_openai::FakeOpenAi;

use super::{from, models, statuses};
use crate::support::{
    Answer, Connection, RELAY_TOKEN, RedisServer, Relay, SERVER_KEY, authorization, get, request,
    trust, upstream,
};

const STREAM: &str = "/v1/_fake/bytes?n=1000000&chunk=100&chunked=1";

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
    ];
    variables.extend_from_slice(extra);
    let relays = [
        Relay::start(&variables).await,
        Relay::start(&variables).await,
    ];
    (upstream, relays)
}

/// A stream that goes on for as long as somebody reads it.
async fn stream(relay: &Relay) -> Result<Connection, Answer> {
    let mut connection = Connection::open(relay.address()).await;
    let lines = [authorization(), "X-Fake-Script: chunk-delay=50".to_owned()];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    connection.write(&request("GET", STREAM, &lines, b"")).await;
    let head = connection.head().await.expect("a head");
    match head.status {
        200 => Ok(connection),
        _ => Err(head),
    }
}

/// Asks until there is a place, for so long.
async fn place(relay: &Relay, within: Duration) -> Option<Connection> {
    let start = Instant::now();
    while start.elapsed() < within {
        if let Ok(connection) = stream(relay).await {
            return Some(connection);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None
}

const SOON: Duration = Duration::from_secs(20);

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
        streams.push(stream(relay).await.expect("a place"));
    }
    for relay in [&one, &other] {
        assert_eq!(stream(relay).await.err().expect("full").status, 429);
        assert_eq!(models(relay).await.status, 429);
    }
    // The first relay's client leaves, the second relay has its place.
    streams.remove(0);
    streams.push(place(&other, SOON).await.expect("a place"));
    assert_eq!(models(&one).await.status, 429);
}

#[tokio::test]
async fn a_relay_that_stops_leaves_nothing_behind() {
    let server = RedisServer::start();
    let timeout = [("DRAIN_TIMEOUT", "0")];
    let (_upstream, [mut one, other]) = relays(&server.url(), "concurrent all=2", &timeout).await;
    let _streams = [
        stream(&one).await.expect("a place"),
        stream(&one).await.expect("a place"),
    ];
    assert_eq!(models(&other).await.status, 429);
    one.signal("TERM");
    assert_eq!(one.exit_code().await, Some(0));
    assert_eq!(models(&other).await.status, 200);
    assert_eq!(server.say("ZCARD openai-relay:relays"), ":1\r\n");
}

#[tokio::test]
async fn a_killed_relays_places_come_back_and_a_living_ones_do_not() {
    let server = RedisServer::start();
    let (_upstream, [one, other]) = relays(&server.url(), "concurrent all=21", &[]).await;
    let mut streams = vec![stream(&other).await.expect("a place")];
    for _ in 0..20 {
        streams.push(stream(&one).await.expect("a place"));
    }
    assert_eq!(models(&other).await.status, 429);
    one.signal("KILL");
    let killed = Instant::now();
    for _ in 0..20 {
        let left = Duration::from_secs(60).saturating_sub(killed.elapsed());
        streams.push(place(&other, left).await.expect("a place within 60 s"));
    }
    let took = killed.elapsed();
    // The living one's own was held all the time.
    assert_eq!(models(&other).await.status, 429);
    trust::record(
        "P30",
        &format!(
            "a relay killed with 20 open streams: their places were free for another after {:.0} s",
            took.as_secs_f64()
        ),
    );
}

#[tokio::test]
async fn what_is_in_redis_runs_out_and_holds_no_credential() {
    let server = RedisServer::start();
    let limits = "all=100/1h; all=100/1h per ip; concurrent all=9";
    let (_upstream, [one, _other]) = relays(&server.url(), limits, &[]).await;
    let _stream = stream(&one).await.expect("a place");
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
        let left = server.say(&format!("PTTL \"{key}\""));
        let left: i64 = left
            .trim()
            .trim_start_matches(':')
            .parse()
            .expect("a number");
        assert!(left > 0, "{key} stays for ever");
    }
}
