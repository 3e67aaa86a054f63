//! Two hundred clients leave at once, in every phase of their exchange, while others are served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::support::{Connection, authorization, eventually, get, pair};

const EACH: usize = 50;
const BESIDE: usize = 8;

/// Phase, and the request that brings a client there.
const PHASES: [(&str, &str, &str); 4] = [
    (
        "before the head",
        "hang=head",
        "Content-Length: 2\r\n\r\n{}",
    ),
    (
        "mid-upload",
        "times=1",
        "Content-Length: 100000\r\n\r\nhello",
    ),
    (
        "in a silent wait",
        "hang=body",
        "Content-Length: 2\r\n\r\n{}",
    ),
    (
        "in a stream",
        "chunk-delay=20",
        "Content-Length: 2\r\n\r\n{}",
    ),
];

fn request(script: &str, rest: &str) -> String {
    let key = authorization();
    let target = match script {
        "chunk-delay=20" => "/v1/_fake/bytes?n=10000000&chunk=1000&chunked=1",
        _ => "/v1/_fake/echo/leaving",
    };
    format!("POST {target} HTTP/1.1\r\nHost: a\r\n{key}\r\nX-Fake-Script: {script}\r\n{rest}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_leave_under_load_take_their_upstream_exchanges_with_them() {
    let (upstream, relay) = pair().await;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut others = tokio::task::JoinSet::new();
    for _ in 0..BESIDE {
        let (address, is_over) = (relay.address(), Arc::clone(&is_over));
        others.spawn(async move {
            let mut served = 0_u32;
            while !is_over.load(Ordering::Relaxed) {
                let answer = get(address, "/v1/models", &[&authorization()]).await;
                assert_eq!(answer.status, 200);
                served += 1;
            }
            served
        });
    }
    let mut leaving = Vec::new();
    for (phase, script, rest) in PHASES {
        for _ in 0..EACH {
            let mut connection = Connection::open(relay.address()).await;
            connection.write(request(script, rest).as_bytes()).await;
            if matches!(phase, "in a silent wait" | "in a stream") {
                connection.head().await.expect(phase);
            }
            leaving.push(connection);
        }
    }
    let held = PHASES.len() * EACH;
    eventually("all of them are upstream", || {
        let received = upstream.received();
        let theirs = received.iter().filter(|request| {
            request.target.contains("leaving") || request.target.contains("bytes")
        });
        theirs.count() >= held
    })
    .await;
    let left = Instant::now();
    drop(leaving);
    eventually("their upstream connections are gone", || {
        upstream.open_connections() <= BESIDE + 1
    })
    .await;
    let took = left.elapsed();
    is_over.store(true, Ordering::Relaxed);
    let served: u32 = others.join_all().await.into_iter().sum();
    eventually("each has its line", || {
        let lines = relay.exchanges();
        let gone = lines.iter().filter(|line| line["outcome"] == "client_gone");
        gone.count() == held
    })
    .await;
    eprintln!("{held} clients left: upstream free after {took:?}, {served} requests served beside");
}
