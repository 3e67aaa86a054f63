//! P36: a stop under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Row;
use crate::support::ws::Socket;
use crate::support::{Connection, Relay, authorization, get, pair_with, request};

const EACH: usize = 200;
/// Of DRAIN_TIMEOUT.
const GRACE: Duration = Duration::from_secs(10);

pub async fn gracefully() -> Row {
    let (_upstream, mut relay) = pair_with(&[("DRAIN_TIMEOUT", "10")]).await;
    let mut streams = JoinSet::new();
    for _ in 0..EACH {
        let mut connection = stream(&relay).await;
        streams.spawn(async move {
            let mut text = Vec::new();
            while let Some(bytes) = connection.more().await {
                text.extend(bytes);
            }
            text.ends_with(b"0\r\n\r\n")
        });
    }
    let mut sockets = JoinSet::new();
    for _ in 0..EACH {
        let mut socket = socket(&relay).await;
        sockets.spawn(async move {
            let close = socket.message().await;
            socket.send(&close).await;
            close.closes_with().0
        });
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let cut = Arc::new(AtomicUsize::new(0));
    let mut others = JoinSet::new();
    others.spawn(requests(&relay, Arc::clone(&is_over), Arc::clone(&cut)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stopped = Instant::now();
    relay.signal("TERM");
    let mut flipped = Duration::MAX;
    while stopped.elapsed() < Duration::from_secs(1) && flipped == Duration::MAX {
        if get(relay.address(), "/ready", &[]).await.status == 503 {
            flipped = stopped.elapsed();
        }
    }
    let whole = streams
        .join_all()
        .await
        .into_iter()
        .filter(|whole| *whole)
        .count();
    let told = sockets
        .join_all()
        .await
        .into_iter()
        .filter(|code| *code == 1012)
        .count();
    let code = relay.exit_code().await;
    let took = stopped.elapsed();
    is_over.store(true, Ordering::Relaxed);
    others.join_all().await;
    let cut = cut.load(Ordering::Relaxed);
    let is_fine = whole == EACH
        && told == EACH
        && cut == 0
        && code == Some(0)
        && flipped <= Duration::from_millis(100)
        && took <= GRACE + Duration::from_secs(1);
    let measured = format!(
        "{EACH} streams, {EACH} sockets and 100 requests/s: {whole} streams whole, {told} sockets told 1012, {cut} answers \
         cut, readiness after {:.0} ms, exit code {} after {:.1} of {} s",
        flipped.as_secs_f64() * 1e3,
        code.unwrap_or(-1),
        took.as_secs_f64(),
        GRACE.as_secs()
    );
    Row::new(is_fine, measured)
}

/// A stream that lasts some seconds longer.
async fn stream(relay: &Relay) -> Connection {
    let key = authorization();
    let lines = [key.as_str(), "X-Fake-Script: chunk-delay=500"];
    let target = "/v1/_fake/bytes?n=1200&chunked=1&chunk=100";
    let mut connection = Connection::open(relay.address()).await;
    connection.write(&request("GET", target, &lines, b"")).await;
    assert_eq!(connection.head().await.expect("a head").status, 200);
    connection
}

async fn socket(relay: &Relay) -> Socket {
    let key = authorization();
    let headers = [&key, "X-Fake-Script: echo"];
    let socket = Socket::open(relay.address(), "/v1/realtime?model=m", &headers).await;
    socket.unwrap_or_else(|no| panic!("refused: {}", no.text()))
}

/// A hundred requests a second until the relay refuses new work; counts answers that were cut.
fn requests(
    relay: &Relay,
    is_over: Arc<AtomicBool>,
    cut: Arc<AtomicUsize>,
) -> impl Future<Output = ()> + use<> {
    let address = relay.address();
    async move {
        let mut running = JoinSet::new();
        while !is_over.load(Ordering::Relaxed) {
            let cut = Arc::clone(&cut);
            running.spawn(async move {
                let Ok(stream) = tokio::net::TcpStream::connect(address).await else {
                    return;
                };
                let mut connection = Connection::over(stream);
                let ask = request("GET", "/v1/models", &[&authorization()], b"");
                connection.write(&ask).await;
                if let Some(answer) = connection.answer(false).await
                    && !answer.is_complete
                {
                    cut.fetch_add(1, Ordering::Relaxed);
                }
            });
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        running.join_all().await;
    }
}
