//! P30 and P48: limits while Redis dies, and what a million addresses cost.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Row;
use crate::support::outage::{Outage, fails_over, redis_dies};
use crate::support::{Connection, RedisServer, Relay, authorization, get, pair_with, stream};

const RATE: u32 = 300;
const ADDED_MS: f64 = 25.0;
const BACK: Duration = Duration::from_secs(2);
const MINUTE: Duration = Duration::from_secs(60);

/// P30: killed, restarted, hung and failed over under load; and a relay that dies itself.
pub async fn redis_and_relays_die() -> Row {
    let died = redis_dies(RATE, Duration::from_secs(3)).await;
    let moved = fails_over(RATE, Duration::from_secs(3)).await;
    let freed = a_killed_relays_places().await;
    let is_quick = died.back.iter().all(|back| *back <= BACK);
    let is_freed = freed.is_some_and(|took| took <= MINUTE);
    let freed = freed.map_or("never".to_owned(), |took| {
        format!("after {:.0} s", took.as_secs_f64())
    });
    Row::new(
        is_fine(&died) && is_quick && is_fine(&moved) && is_freed,
        format!(
            "{}; {}; a relay killed with 20 open streams: another has their places {freed}",
            died.words(),
            moved.words()
        ),
    )
}

fn is_fine(seen: &Outage) -> bool {
    // Lost as often as it was taken away, and no more often.
    let times = seen.back.len();
    seen.told == ([times; 2], [times + 1; 2])
        && seen.others == 0
        && seen.admitted <= 2 * seen.allowed
        && seen.p99_during - seen.p99_before <= ADDED_MS
}

/// When another relay had all places of one that was killed; `None` if that took more than two minutes.
async fn a_killed_relays_places() -> Option<Duration> {
    let server = RedisServer::start();
    let url = server.url();
    let limits = ("RATE_LIMITS", "concurrent all=21");
    let variables = [("REDIS_URL", url.as_str()), limits];
    let (_one, killed) = pair_with(&variables).await;
    let (_other, living) = pair_with(&variables).await;
    // The living one's own place is held all the time.
    let mut streams = vec![stream(&living, &[]).await.expect("a place")];
    for _ in 0..20 {
        streams.push(stream(&killed, &[]).await.expect("a place"));
    }
    let is_full = stream(&living, &[]).await.is_err();
    assert!(is_full, "one cap for both");
    killed.signal("KILL");
    let start = Instant::now();
    while streams.len() < 41 {
        if start.elapsed() > 2 * MINUTE {
            return None;
        }
        streams.extend(stream(&living, &[]).await.ok());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = start.elapsed();
    assert!(stream(&living, &[]).await.is_err(), "no more than the cap");
    Some(took)
}

const ADDRESSES: u32 = 1_000_000;
const CLIENTS: u32 = 50;

/// P48: a million addresses, each in a bucket of its own, until all of them are forgotten.
pub async fn a_million_addresses() -> Row {
    // An address owes four minutes for its one request.
    let (_upstream, relay) = pair_with(&[("RATE_LIMITS", "models=1/4m per ip")]).await;
    get(relay.address(), "/v1/models", &[&authorization()]).await;
    let before = relay.memory();
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let address = relay.address();
        clients.spawn(async move {
            let mut connection = Connection::open(address).await;
            let mut admitted = 0;
            for number in (client..ADDRESSES).step_by(CLIENTS as usize) {
                let from = Ipv4Addr::from(0x0b00_0000 + number);
                let text = format!(
                    "GET /v1/models HTTP/1.1\r\nHost: a\r\n{}\r\nX-Forwarded-For: {from}\r\n\r\n",
                    authorization()
                );
                connection.write(text.as_bytes()).await;
                let answer = connection.answer(false).await.expect("an answer");
                admitted += u32::from(answer.status == 200);
            }
            admitted
        });
    }
    let admitted: u32 = clients.join_all().await.into_iter().sum();
    let took = start.elapsed();
    let (held, peak) = (buckets(&relay).await, relay.memory());
    let mut left = held;
    while left > 0 && start.elapsed() < took + 5 * MINUTE {
        tokio::time::sleep(Duration::from_secs(1)).await;
        left = buckets(&relay).await;
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    Row::new(
        admitted == ADDRESSES && held >= u64::from(ADDRESSES) && mib(peak) < 200.0 && left == 0,
        format!(
            "{admitted} addresses in {:.0} s, {held} buckets held at once: {:.0} MiB ({:.0} MiB before); {left} left {:.0} s \
             after the last one, {:.0} MiB",
            took.as_secs_f64(),
            mib(peak),
            mib(before),
            (start.elapsed() - took).as_secs_f64(),
            mib(relay.memory())
        ),
    )
}

async fn buckets(relay: &Relay) -> u64 {
    let stats = get(relay.address(), "/stats", &[]).await.json();
    stats["limits"]["buckets"].as_u64().expect("a number")
}
