//! P30: a Redis that dies, comes back and hangs, under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{RedisServer, Relay, authorization, get, pair_with};

/// Requests that are sent each second, whatever becomes of them.
const RATE: u32 = 300;
/// The limit: so many at once, and as many again in ten seconds.
const LIMIT: u32 = 200;
const SHARED: &str = "limits are shared in Redis";

/// What was seen.
pub struct Outage {
    pub sent: usize,
    pub admitted: usize,
    /// The most that the limit allows in that time.
    pub allowed: usize,
    /// Answers that are neither 200 nor 429.
    pub others: usize,
    /// The 99th percentile of latency, in milliseconds.
    pub p99_before: f64,
    pub p99_during: f64,
    /// From the server's first answer, or its going on, to sharing again.
    pub back: [Duration; 2],
    /// Warnings, and lines that say it is back, the first one included.
    pub told: (usize, usize),
}

#[derive(Clone, Copy)]
struct Sample {
    start: Instant,
    latency: Duration,
    status: u16,
}

/// Kills Redis, starts it again, lets it hang, and lets it go on, all under load.
pub async fn redis_dies() -> Outage {
    let mut server = RedisServer::start();
    let (url, limits) = (server.url(), format!("models={LIMIT}/10s"));
    let (_upstream, relay) = pair_with(&[("REDIS_URL", &url), ("RATE_LIMITS", &limits)]).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    let load = tokio::spawn(load(relay.address(), Arc::clone(&is_over)));
    let pause = |seconds: u64| tokio::time::sleep(Duration::from_secs(seconds));
    pause(3).await;
    let mut outages = Vec::new();

    let gone = Instant::now();
    server.kill();
    pause(2).await;
    server.restart();
    let back_1 = again(&relay, 2).await;
    outages.push(gone..Instant::now());
    pause(2).await;

    let gone = Instant::now();
    server.hang();
    pause(2).await;
    server.go_on();
    let back_2 = again(&relay, 3).await;
    outages.push(gone..Instant::now());
    pause(1).await;

    is_over.store(true, Ordering::Relaxed);
    let samples = load.await.expect("the load");
    let took = start.elapsed();
    let during = |sample: &Sample| outages.iter().any(|one| one.contains(&sample.start));
    let log = relay.log_text();
    Outage {
        sent: samples.len(),
        admitted: count(&samples, |status| status == 200),
        others: count(&samples, |status| !matches!(status, 200 | 429)),
        allowed: (f64::from(LIMIT) * (1.0 + took.as_secs_f64() / 10.0)).ceil() as usize,
        p99_before: p99(samples.iter().filter(|sample| !during(sample))),
        p99_during: p99(samples.iter().filter(|sample| during(sample))),
        back: [back_1, back_2],
        told: (
            log.matches("Redis does not answer").count(),
            log.matches(SHARED).count(),
        ),
    }
}

/// Waits until the relay has said so many times that it shares its limits.
async fn again(relay: &Relay, times: usize) -> Duration {
    let start = Instant::now();
    while relay.log_text().matches(SHARED).count() < times {
        assert!(
            start.elapsed() < super::relay::SOON,
            "never back: {}",
            relay.log_text()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

/// Sends on schedule, whether earlier requests are answered or not.
async fn load(relay: std::net::SocketAddr, is_over: Arc<AtomicBool>) -> Vec<Sample> {
    let mut requests = tokio::task::JoinSet::new();
    let mut clock = tokio::time::interval(Duration::from_secs(1) / RATE);
    while !is_over.load(Ordering::Relaxed) {
        let due = clock.tick().await.into_std();
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
        let [killed, hung] = self.back.map(|back| back.as_secs_f64());
        format!(
            "{} requests at {RATE}/s through a kill -9, a restart and a SIGSTOP: {} that were neither 200 nor 429; {} admitted where \
             the limit allows {}; p99 {:.1} ms while Redis was gone ({:.1} ms otherwise); back {killed:.2} s after the restart and \
             {hung:.2} s after SIGCONT",
            self.sent, self.others, self.admitted, self.allowed, self.p99_during, self.p99_before,
        )
    }
}
