//! P16: a memory budget, and load beyond it.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::Row;
use crate::support::{Connection, Relay, authorization, pair_with, request};

const MIB: u64 = 1 << 20;
const BUDGET: u64 = 256 * MIB;

async fn stalled(relay: &Relay, bytes: &[u8]) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.set_recv_buffer_size(8 * 1024).ok()?;
    let connecting = socket.connect(relay.address());
    let connected = tokio::time::timeout(Duration::from_secs(1), connecting).await;
    let mut stream = connected.ok()?.ok()?;
    stream.write_all(bytes).await.ok()?;
    Some(stream)
}

pub async fn beyond_the_budget() -> Row {
    let variables = [("MEMORY_BUDGET", "256MiB"), ("WRITE_TIMEOUT", "600")];
    let (_upstream, relay) = pair_with(&variables).await;
    let target = "/v1/_fake/bytes?n=8000000&chunked=1&chunk=1000";
    let bytes = request("GET", target, &[&authorization()], b"");
    let (mut clients, mut peak) = (Vec::new(), 0);
    let start = Instant::now();
    // Far more than the budget holds.
    for number in 0..7500 {
        clients.extend(stalled(&relay, &bytes).await);
        if number % 50 == 0 {
            peak = peak.max(relay.memory());
        }
        if start.elapsed() > Duration::from_secs(120) {
            break;
        }
    }
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        peak = peak.max(relay.memory());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let refused = relay
        .exchanges()
        .iter()
        .filter(|line| line["code"] == "relay_overloaded")
        .count();
    let held = clients.len();
    drop(clients);
    let released = Instant::now();
    let mut back = None;
    while back.is_none() && released.elapsed() < Duration::from_secs(30) {
        let mut connection = Connection::open(relay.address()).await;
        connection
            .write(&request("GET", "/v1/models", &[&authorization()], b""))
            .await;
        let answer = tokio::time::timeout(Duration::from_secs(1), connection.answer(false)).await;
        if answer
            .ok()
            .flatten()
            .is_some_and(|answer| answer.status == 200)
        {
            back = Some(released.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let is_fine =
        peak <= BUDGET && refused > 0 && back.is_some_and(|back| back <= Duration::from_secs(5));
    let measured = format!(
        "a budget of 256 MiB and {held} stalled readers: peak {} MiB, {refused} refused with 503, {}",
        peak / MIB,
        back.map_or("not back within 30 s".to_owned(), |back| format!(
            "back after {:.1} s",
            back.as_secs_f64()
        ))
    );
    Row::new(is_fine, measured)
}
