//! P30: a Redis that dies, comes back and hangs, under load.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fake_openai::FakeOpenAi;
use tokio::task::JoinHandle;

use super::redis::free_port;
use super::{RedisServer, Relay, authorization, eventually, get, pair_with};

/// The window of the limit.
const WINDOW_S: u32 = 10;
const SHARED: &str = "limits are shared in Redis";
const LOST: &str = "Redis does not answer";

/// What was seen.
pub struct Outage {
    /// What was done to Redis.
    what: &'static str,
    /// Requests that were sent each second, whatever became of them.
    rate: u32,
    sent: usize,
    pub admitted: usize,
    /// The most that the limit allows in that time.
    pub allowed: usize,
    /// Answers that are neither 200 nor 429.
    pub others: usize,
    /// The 99th percentile of latency, in milliseconds.
    pub p99_before: f64,
    pub p99_during: f64,
    /// From a server's return to sharing again, each time.
    pub back: Vec<Duration>,
    /// Warnings of each relay, and its lines that say that Redis is back, the first one included.
    pub told: ([usize; 2], [usize; 2]),
}

/// Two relays under load, which share a limit, and since when.
struct Run {
    relays: [Relay; 2],
    _upstreams: [FakeOpenAi; 2],
    rate: u32,
    start: Instant,
    is_over: Arc<AtomicBool>,
    load: JoinHandle<Vec<Sample>>,
    /// When Redis was away.
    outages: Vec<Range<Instant>>,
    back: Vec<Duration>,
}

#[derive(Clone, Copy)]
struct Sample {
    start: Instant,
    latency: Duration,
    status: u16,
}

/// Kills Redis, starts it again, lets it hang, and lets it go on, under a load of which
/// the limit lets in one request of ten; each state lasts for so long.
pub async fn redis_dies(rate: u32, each: Duration) -> Outage {
    let mut server = RedisServer::start();
    let mut run = Run::start(&server.url(), rate).await;
    tokio::time::sleep(each).await;

    let gone = Instant::now();
    server.kill();
    tokio::time::sleep(each).await;
    server.restart();
    run.comes_back(gone, Instant::now()).await;
    tokio::time::sleep(each).await;

    let gone = Instant::now();
    server.hang();
    tokio::time::sleep(each).await;
    server.go_on();
    run.comes_back(gone, Instant::now()).await;
    tokio::time::sleep(each).await;
    run.end("a kill -9, a restart and a SIGSTOP").await
}

/// Kills a server that a sentinel watches over; the limits move to its replica.
pub async fn fails_over(rate: u32, each: Duration) -> Outage {
    let (mut main, replica, sentinel) = under_a_sentinel().await;
    let mut run = Run::start(&under(&sentinel), rate).await;
    tokio::time::sleep(each).await;
    let gone = Instant::now();
    main.kill();
    eventually("the replica takes over", || {
        replica.say("INFO replication").contains("role:master")
    })
    .await;
    run.comes_back(gone, Instant::now()).await;
    tokio::time::sleep(each).await;
    run.end("a sentinel's fail-over").await
}

/// A server, its replica, and the sentinel that knows both.
pub async fn under_a_sentinel() -> (RedisServer, RedisServer, RedisServer) {
    let main = RedisServer::start();
    let replica = RedisServer::start_with(&format!("replicaof 127.0.0.1 {}\n", main.port()));
    eventually("the replica is up to date", || {
        replica
            .say("INFO replication")
            .contains("master_link_status:up")
    })
    .await;
    let sentinel = RedisServer::sentinel_of(&main);
    eventually("the sentinel knows the replica", || {
        sentinel.say("INFO sentinel").contains("slaves=1")
    })
    .await;
    (main, replica, sentinel)
}

/// A node of no cluster yet, with further lines in its configuration.
fn cluster_node(lines: &str) -> RedisServer {
    let bus = free_port();
    RedisServer::start_with(&format!(
        "cluster-enabled yes\ncluster-port {bus}\ncluster-node-timeout 5000\n{lines}"
    ))
}

/// Brings a node into the cluster of another one.
fn meet(one: &RedisServer, other: &RedisServer) {
    let info = other.say("CONFIG GET cluster-port");
    let bus = info.lines().last().expect("a port");
    let meet = format!("CLUSTER MEET 127.0.0.1 {} {bus}", other.port());
    assert_eq!(one.say(&meet), "+OK\r\n");
}

/// A replica of this primary of a cluster, up to date.
pub async fn cluster_replica(primary: &RedisServer) -> RedisServer {
    let replica = cluster_node("cluster-replica-validity-factor 0\n");
    meet(primary, &replica);
    let id = primary.say("CLUSTER MYID");
    let id = id.lines().nth(1).expect("an id").to_owned();
    eventually("they know each other", || {
        replica.say(&format!("CLUSTER REPLICATE {id}")) == "+OK\r\n"
    })
    .await;
    eventually("the replica is up to date", || {
        replica
            .say("INFO replication")
            .contains("master_link_status:up")
    })
    .await;
    replica
}

/// A cluster of three primaries without replicas, with further lines in their configuration.
pub async fn cluster_of_three(lines: &str) -> Vec<RedisServer> {
    let nodes: Vec<RedisServer> = (0..3).map(|_| cluster_node(lines)).collect();
    for (node, slots) in nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
        assert_eq!(
            node.say(&format!("CLUSTER ADDSLOTSRANGE {slots}")),
            "+OK\r\n"
        );
    }
    for node in &nodes[1..] {
        meet(&nodes[0], node);
    }
    for node in &nodes {
        eventually("the cluster is whole", || {
            let info = node.say("CLUSTER INFO");
            // Without full coverage a server says ok before it has heard who has the other slots.
            info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")
        })
        .await;
    }
    nodes
}

/// What `REDIS_URL` is for the server that this sentinel watches.
pub fn under(sentinel: &RedisServer) -> String {
    format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port())
}

impl Run {
    async fn start(url: &str, rate: u32) -> Run {
        let limits = format!("models={}/{WINDOW_S}s", rate * WINDOW_S / 10);
        let variables = [("REDIS_URL", url), ("RATE_LIMITS", limits.as_str())];
        let (one_upstream, one) = pair_with(&variables).await;
        let (other_upstream, other) = pair_with(&variables).await;
        let relays = [one, other];
        let addresses = [relays[0].address(), relays[1].address()];
        let is_over = Arc::new(AtomicBool::new(false));
        Run {
            rate,
            start: Instant::now(),
            load: tokio::spawn(load(addresses, rate, Arc::clone(&is_over))),
            is_over,
            outages: Vec::new(),
            back: Vec::new(),
            _upstreams: [one_upstream, other_upstream],
            relays,
        }
    }

    /// Waits until a Redis that was gone, and returned at that moment, is used again.
    async fn comes_back(&mut self, gone: Instant, returned: Instant) {
        for relay in &self.relays {
            again(relay, self.back.len() + 2).await;
        }
        self.back.push(returned.elapsed());
        self.outages.push(gone..Instant::now());
    }

    async fn end(self, what: &'static str) -> Outage {
        self.is_over.store(true, Ordering::Relaxed);
        let samples = self.load.await.expect("the load");
        let windows = self.start.elapsed().as_secs_f64() / f64::from(WINDOW_S);
        let limit = f64::from(self.rate * WINDOW_S / 10);
        let during = |sample: &Sample| self.outages.iter().any(|one| one.contains(&sample.start));
        let count_of = |words: &str| {
            let logs = self.relays.each_ref().map(Relay::log_text);
            logs.map(|log| log.matches(words).count())
        };
        Outage {
            what,
            rate: self.rate,
            sent: samples.len(),
            admitted: count(&samples, |status| status == 200),
            others: count(&samples, |status| !matches!(status, 200 | 429)),
            allowed: (limit * (1.0 + windows)).ceil() as usize,
            p99_before: p99(samples.iter().filter(|sample| !during(sample))),
            p99_during: p99(samples.iter().filter(|sample| during(sample))),
            back: self.back,
            told: (count_of(LOST), count_of(SHARED)),
        }
    }
}

/// Waits until the relay has said so many times that it shares its limits.
async fn again(relay: &Relay, times: usize) {
    let start = Instant::now();
    while relay.log_text().matches(SHARED).count() < times {
        assert!(
            start.elapsed() < super::relay::SOON,
            "never back: {}",
            relay.log_text()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Sends on schedule, whether earlier requests are answered or not.
async fn load(relays: [SocketAddr; 2], rate: u32, is_over: Arc<AtomicBool>) -> Vec<Sample> {
    let mut turns = relays.into_iter().cycle();
    let mut requests = tokio::task::JoinSet::new();
    let mut clock = tokio::time::interval(Duration::from_secs(1) / rate);
    while !is_over.load(Ordering::Relaxed) {
        let due = clock.tick().await.into_std();
        let relay = turns.next().expect("it goes on for ever");
        requests.spawn(async move {
            let answer = get(relay, "/v1/models", &[&authorization()]).await;
            Sample {
                start: due,
                latency: due.elapsed(),
                status: answer.status,
            }
        });
    }
    requests.join_all().await
}

fn count(samples: &[Sample], is_one: impl Fn(u16) -> bool) -> usize {
    samples
        .iter()
        .filter(|sample| is_one(sample.status))
        .count()
}

fn p99<'a>(samples: impl Iterator<Item = &'a Sample>) -> f64 {
    let mut latencies: Vec<Duration> = samples.map(|sample| sample.latency).collect();
    latencies.sort_unstable();
    latencies[latencies.len() * 99 / 100].as_secs_f64() * 1e3
}

impl Outage {
    /// In words, with units.
    pub fn words(&self) -> String {
        let back = self
            .back
            .iter()
            .map(|back| format!("{:.2}", back.as_secs_f64()));
        let back = back.collect::<Vec<_>>().join(" and ");
        format!(
            "{} requests at {}/s to two relays through {}: {} that were neither 200 nor 429; {} admitted where the limit allows {}; p99 {:.1} ms \
             while Redis was gone ({:.1} ms otherwise); used again {back} s after its return",
            self.sent,
            self.rate,
            self.what,
            self.others,
            self.admitted,
            self.allowed,
            self.p99_during,
            self.p99_before,
        )
    }
}
