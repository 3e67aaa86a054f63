//! P42: a long run of everything that goes wrong, and what it leaves behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Row;
use crate::legit::since;
use crate::support::{Connection, Dice, authorization, get, pair_with, request};

const SCRIPTS: [&str; 12] = [
    "times=1",
    "times=1",
    "close",
    "chunk-delay=2",
    "status=500",
    "status=503 html",
    "cut-at=100",
    "reset-at=30000",
    "reset-head=0",
    "garbage",
    "hang=head",
    "hang=body",
];

/// Exchanges of all kinds until it is told to stop; some clients leave.
async fn mixed(
    address: std::net::SocketAddr,
    seed: u64,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
) {
    let mut dice = Dice::new(seed);
    while !stop.load(Ordering::Relaxed) {
        let key = authorization();
        let script = format!("X-Fake-Script: {}", SCRIPTS[dice.roll(SCRIPTS.len())]);
        let body = vec![b'x'; dice.roll(100_000)];
        let bytes = match dice.roll(4) {
            0 => request("POST", "/v1/_fake/echo", &[&key, &script], &body),
            1 => request(
                "GET",
                "/v1/_fake/bytes?n=200000&chunked=1",
                &[&key, &script],
                b"",
            ),
            2 => request("GET", "/v1/models", &["Authorization: Bearer wrong"], b""),
            _ => request("GET", "/v1/_fake/bytes?n=50000", &[&key, &script], b""),
        };
        let mut connection = Connection::open(address).await;
        connection.write(&bytes).await;
        let patience = Duration::from_millis(50);
        // Whoever waits longer than that leaves.
        let _ = tokio::time::timeout(patience, connection.answer(false)).await;
        done.fetch_add(1, Ordering::Relaxed);
    }
}

/// The slope of a line through the points, by least squares, in MiB an hour.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let over: f64 = points
        .iter()
        .map(|(x, y)| (x - mean_x) * (y - mean_y))
        .sum();
    let under: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    over / under * 3600.0
}

pub async fn chaos(time: Duration) -> Row {
    let (upstream, relay) = pair_with(&[]).await;
    let key = authorization();
    assert_eq!(
        get(relay.address(), "/v1/models", &[&key]).await.status,
        200
    );
    let descriptors = relay.descriptors();
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for seed in 0..16 {
        tasks.spawn(mixed(
            relay.address(),
            seed,
            Arc::clone(&stop),
            Arc::clone(&done),
        ));
    }
    let start = Instant::now();
    let warm = time.mul_f64(1.0 / 6.0);
    let mut points = Vec::new();
    while start.elapsed() < time {
        tokio::time::sleep(Duration::from_secs(1)).await;
        upstream.take_received();
        relay.forget_log();
        if start.elapsed() > warm {
            points.push((since(start), relay.memory() as f64 / (1024.0 * 1024.0)));
        }
    }
    stop.store(true, Ordering::Relaxed);
    tasks.join_all().await;
    let mut left = relay.descriptors();
    let settled = Instant::now();
    while left > descriptors + 8 && settled.elapsed() < Duration::from_secs(70) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        left = relay.descriptors();
    }
    let active = get(relay.address(), "/stats", &[]).await.json()["exchanges"]["active"].clone();
    let slope = slope(&points);
    let is_fine = slope <= 1.0 && left <= descriptors + 8 && active == 0;
    let measured = format!(
        "{} min, {} exchanges: memory {:.1} to {:.1} MiB, slope {slope:.2} MiB/h; descriptors {descriptors} before, \
         {left} after; {active} exchanges active",
        time.as_secs() / 60,
        done.load(Ordering::Relaxed),
        points.first().map_or(0.0, |point| point.1),
        points.last().map_or(0.0, |point| point.1)
    );
    Row::new(is_fine, measured)
}
