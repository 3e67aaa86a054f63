//! Honest users: 200 requests a second and 20 streams, on a schedule, and how they fared.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::support::{Connection, authorization, request};

const PER_SECOND: u64 = 200;
const STREAMS: usize = 20;

/// How they fared.
pub struct Fared {
    pub requests: usize,
    pub failures: u64,
    pub p99: Duration,
}

/// Users that go on until they are stopped.
pub struct Users {
    stop: Arc<AtomicBool>,
    failures: Arc<AtomicU64>,
    took: Arc<Mutex<Vec<Duration>>>,
    tasks: JoinSet<()>,
}

impl Users {
    pub fn start(address: SocketAddr) -> Users {
        let stop = Arc::new(AtomicBool::new(false));
        let failures = Arc::new(AtomicU64::new(0));
        let took = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(requests(
            address,
            Arc::clone(&stop),
            Arc::clone(&failures),
            Arc::clone(&took),
        ));
        for _ in 0..STREAMS {
            tasks.spawn(streams(address, Arc::clone(&stop), Arc::clone(&failures)));
        }
        Users {
            stop,
            failures,
            took,
            tasks,
        }
    }

    pub async fn stop(self) -> Fared {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        let mut took = self.took.lock().await;
        took.sort_unstable();
        let at = |share: usize| {
            took.get(took.len() * share / 100)
                .copied()
                .unwrap_or_default()
        };
        Fared {
            requests: took.len(),
            failures: self.failures.load(Ordering::Relaxed),
            p99: at(99),
        }
    }
}

/// For so long, and how they fared.
pub async fn users_for(address: SocketAddr, time: Duration) -> Fared {
    let users = Users::start(address);
    tokio::time::sleep(time).await;
    users.stop().await
}

/// On a schedule: a slow answer does not put the next request off.
async fn requests(
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    failures: Arc<AtomicU64>,
    took: Arc<Mutex<Vec<Duration>>>,
) {
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / PER_SECOND));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let idle: Arc<Mutex<Vec<Connection>>> = Arc::default();
    let mut running = JoinSet::new();
    while !stop.load(Ordering::Relaxed) {
        let due = ticks.tick().await.into_std();
        let (idle, failures, took) = (Arc::clone(&idle), Arc::clone(&failures), Arc::clone(&took));
        running.spawn(async move {
            let kept = idle.lock().await.pop();
            let mut connection = match kept {
                Some(connection) => connection,
                None => Connection::open(address).await,
            };
            let text = format!(
                "GET /v1/models HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n",
                authorization()
            );
            connection.write(text.as_bytes()).await;
            match connection.answer(false).await {
                Some(answer) if answer.status == 200 && answer.is_complete => {
                    took.lock().await.push(due.elapsed());
                    idle.lock().await.push(connection);
                }
                _ => {
                    failures.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        while running.try_join_next().is_some() {}
    }
    running.join_all().await;
}

/// Stream after stream of two seconds each.
async fn streams(address: SocketAddr, stop: Arc<AtomicBool>, failures: Arc<AtomicU64>) {
    let key = authorization();
    let lines = [key.as_str(), "X-Fake-Script: chunk-delay=20"];
    let bytes = request(
        "GET",
        "/v1/_fake/bytes?n=20000&chunked=1&chunk=200",
        &lines,
        b"",
    );
    while !stop.load(Ordering::Relaxed) {
        let mut connection = Connection::open(address).await;
        connection.write(&bytes).await;
        let whole = connection.answer(false).await;
        if !whole.is_some_and(|answer| answer.is_complete && answer.body.len() == 20_000) {
            failures.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Since when, in words.
pub fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

/// A clock for phases of a run.
pub fn since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64()
}
