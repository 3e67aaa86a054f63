//! Kills a relay in the middle of writes, and looks for what was acknowledged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::people::{PASSWORD, People, Tokens};
use super::raw::request;
use super::wait::eventually;

/// Kills the relay so many times in the middle of writes. How many acknowledged ones are lost, how
/// many there were, and the longest start, in milliseconds.
pub async fn during_writes(
    people: &mut People,
    kills: usize,
    writes: usize,
) -> (usize, usize, f64) {
    const CLIENTS: usize = 8;
    people.database.stretch_grace().await;
    let mut tokens = Vec::new();
    for client in 0..CLIENTS {
        tokens.push(people.join(&format!("client-{client}")).await.refresh);
    }
    let (mut lost, mut acknowledged, mut slowest) = (0, 0, 0.0_f64);
    for round in 0..kills {
        let address = people.relay.address();
        let count = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = tokens
            .drain(..)
            .map(|token| tokio::spawn(write_on(address, token, Arc::clone(&count))))
            .collect();
        let name = format!("round-{round}");
        people.register(&name).await;
        eventually("writes are acknowledged", || {
            count.load(Ordering::Relaxed) >= writes
        })
        .await;
        people.relay.signal("KILL");
        people.relay.exit_code().await;
        for writer in writers {
            tokens.push(writer.await.expect("it ends"));
        }
        acknowledged += count.load(Ordering::Relaxed) + 1;
        let start = Instant::now();
        people.relay = people.replica(&[]).await;
        slowest = slowest.max(start.elapsed().as_secs_f64() * 1e3);
        lost += usize::from(people.try_log_in(&name, PASSWORD).await.status != 200);
        for token in &mut tokens {
            // The last one that was acknowledged; its successor may have been lost on the way.
            let body = json!({ "refresh_token": token });
            let answer = people.post("/api/v1/auth/refresh", &body).await;
            if answer.status == 200 {
                *token = Tokens::of(&answer).refresh;
            } else {
                lost += 1;
            }
        }
    }
    (lost, acknowledged, slowest)
}

/// Refreshes until the relay is gone; the last token that was acknowledged.
async fn write_on(address: SocketAddr, mut token: String, count: Arc<AtomicUsize>) -> String {
    loop {
        let body = json!({ "refresh_token": token }).to_string();
        let lines = ["Content-Type: application/json"];
        let bytes = request("POST", "/api/v1/auth/refresh", &lines, body.as_bytes());
        let Ok(mut stream) = TcpStream::connect(address).await else {
            return token;
        };
        let _ = stream.write_all(&bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let text = String::from_utf8_lossy(&answer);
        let body = text.split("\r\n\r\n").nth(1).unwrap_or_default();
        let Ok(json) = serde_json::from_str::<Value>(body) else {
            return token;
        };
        token = json["refresh_token"].as_str().expect("a token").to_owned();
        count.fetch_add(1, Ordering::Relaxed);
    }
}
