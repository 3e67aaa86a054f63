//! P01, P02, P03: clients that send heads and bodies slowly, or read slowly, in great numbers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::Row;
use crate::legit::{Fared, Users, milliseconds, users_for};
use crate::support::{Relay, authorization, eventually, pair_with, request};

/// From one of many loopback addresses: each has 28,000 ports.
async fn connect(relay: &SocketAddr, number: usize, receive_buffer: Option<u32>) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes).expect("a small buffer");
    }
    let last = u8::try_from(number % 200).expect("small") + 2;
    let from = IpAddr::V4(Ipv4Addr::new(127, 0, 1, last));
    socket.bind(SocketAddr::new(from, 0)).expect("bound");
    socket.connect(*relay).await.expect("a connection")
}

/// One slow client: first what it sends at once, then a piece now and then, until it is let go.
struct Dribbler {
    first: Vec<u8>,
    piece: &'static [u8],
    every: Duration,
}

impl Dribbler {
    /// How long it held out, and what it was told.
    async fn hold(&self, mut stream: TcpStream) -> (Duration, Vec<u8>) {
        let start = Instant::now();
        let _ = stream.write_all(&self.first).await;
        let mut told = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let read = tokio::time::timeout(self.every, stream.read(&mut buffer)).await;
            match read {
                Ok(Ok(0) | Err(_)) => return (start.elapsed(), told),
                Ok(Ok(read)) => told.extend_from_slice(&buffer[..read]),
                Err(_) => {
                    if stream.write_all(self.piece).await.is_err() {
                        return (start.elapsed(), told);
                    }
                }
            }
        }
    }
}

/// Keeps so many of them connected for so long; the longest that one held out.
async fn attack(relay: &Relay, count: usize, time: Duration, dribbler: Dribbler) -> Held {
    let stop = Arc::new(AtomicBool::new(false));
    let longest_ms = Arc::new(AtomicU64::new(0));
    let told_408 = Arc::new(AtomicU64::new(0));
    let dribbler = Arc::new(dribbler);
    let address = relay.address();
    let before = relay.memory();
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let (stop, dribbler) = (Arc::clone(&stop), Arc::clone(&dribbler));
        let (longest_ms, told_408) = (Arc::clone(&longest_ms), Arc::clone(&told_408));
        tasks.spawn(async move {
            // Not all in one moment: 1,000 a second.
            let turn = u64::try_from(number).expect("a number");
            tokio::time::sleep(Duration::from_millis(turn)).await;
            while !stop.load(Ordering::Relaxed) {
                let stream = connect(&address, number, None).await;
                let (held, told) = dribbler.hold(stream).await;
                let ms = u64::try_from(held.as_millis()).unwrap_or(u64::MAX);
                longest_ms.fetch_max(ms, Ordering::Relaxed);
                if told.starts_with(b"HTTP/1.1 408 ") {
                    told_408.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let each = relay.memory().saturating_sub(before) / u64::try_from(count).expect("a count");
    tokio::time::sleep(time.saturating_sub(Duration::from_secs(5))).await;
    stop.store(true, Ordering::Relaxed);
    tasks.join_all().await;
    Held {
        longest: Duration::from_millis(longest_ms.load(Ordering::Relaxed)),
        told_408: told_408.load(Ordering::Relaxed),
        bytes_each: each,
    }
}

struct Held {
    longest: Duration,
    told_408: u64,
    bytes_each: u64,
}

fn users_beside(baseline: &Fared, beside: &Fared) -> (bool, String) {
    let is_fine = baseline.failures + beside.failures == 0
        && beside.p99 <= baseline.p99 + Duration::from_millis(10);
    let words = format!(
        "{} requests beside with {} failures, p99 {} (alone {})",
        beside.requests,
        beside.failures,
        milliseconds(beside.p99),
        milliseconds(baseline.p99)
    );
    (is_fine, words)
}

pub async fn heads(time: Duration) -> Row {
    let (_upstream, relay) = pair_with(&[]).await;
    let baseline = users_for(relay.address(), Duration::from_secs(10)).await;
    let users = Users::start(relay.address());
    let dribbler = Dribbler {
        first: b"GET /v1/models HTTP/1.1\r\nHost: a\r\n".to_vec(),
        piece: b"X-a: b\r\n",
        every: Duration::from_secs(1),
    };
    let held = attack(&relay, 4000, time, dribbler).await;
    let (users_fine, words) = users_beside(&baseline, &users.stop().await);
    let is_fine =
        users_fine && held.longest <= Duration::from_secs(11) && held.bytes_each <= 20 * 1024;
    let measured = format!(
        "4,000 dribblers for {} s: each gone within {:.1} s, {:.1} KiB each; {words}",
        time.as_secs(),
        held.longest.as_secs_f64(),
        kib(held.bytes_each)
    );
    Row::new(is_fine, measured)
}

pub async fn bodies() -> Row {
    let (upstream, relay) = pair_with(&[]).await;
    let baseline = users_for(relay.address(), Duration::from_secs(10)).await;
    let users = Users::start(relay.address());
    let head = format!(
        "POST /v1/_fake/echo HTTP/1.1\r\nHost: a\r\n{}\r\nContent-Length: 100000\r\n\r\n",
        authorization()
    );
    let dribbler = Dribbler {
        first: head.into_bytes(),
        piece: b"x",
        every: Duration::from_secs(10),
    };
    let held = attack(&relay, 2000, Duration::from_secs(60), dribbler).await;
    let (users_fine, words) = users_beside(&baseline, &users.stop().await);
    // What is left serves honest users again, or nobody.
    let most = 64;
    eventually("their connections to the upstream are gone", || {
        upstream.open_connections() <= most
    })
    .await;
    let is_fine = users_fine && held.longest <= Duration::from_secs(31) && held.told_408 >= 2000;
    let measured = format!(
        "2,000 bodies at 1 B/10 s for 60 s: 408 within {:.1} s, {} times; {words}; {} upstream connections left",
        held.longest.as_secs_f64(),
        held.told_408,
        upstream.open_connections()
    );
    Row::new(is_fine, measured)
}

pub async fn readers() -> Row {
    const COUNT: usize = 500;
    let (upstream, relay) = pair_with(&[]).await;
    let alone = longest_pause(&relay).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = relay.memory();
    let target = "/v1/_fake/bytes?n=8000000&chunked=1&chunk=1000";
    let bytes = request("GET", target, &[&authorization()], b"");
    let mut clients = Vec::new();
    for number in 0..COUNT {
        let mut stream = connect(&relay.address(), number, Some(8 * 1024)).await;
        stream.write_all(&bytes).await.expect("written");
        clients.push(stream);
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let each = relay.memory().saturating_sub(before) / 500;
    let stalled = Instant::now();
    let beside = longest_pause(&relay).await;
    while upstream.open_connections() > 2 && stalled.elapsed() < Duration::from_secs(90) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let gone = stalled.elapsed();
    drop(clients);
    let is_fine = each <= 64 * 1024
        && gone <= Duration::from_secs(61)
        && beside <= alone + Duration::from_millis(20);
    let measured = format!(
        "{COUNT} stalled readers: {:.1} KiB each, gone {:.1} s after they stalled, longest pause of a neighbour {} \
         (alone {})",
        kib(each),
        gone.as_secs_f64(),
        milliseconds(beside),
        milliseconds(alone)
    );
    Row::new(is_fine, measured)
}

/// Of a stream with a piece every 10 ms, for 4 s.
async fn longest_pause(relay: &Relay) -> Duration {
    let mut stream = TcpStream::connect(relay.address())
        .await
        .expect("a connection");
    let key = authorization();
    let lines = [key.as_str(), "X-Fake-Script: chunk-delay=10"];
    let bytes = request(
        "GET",
        "/v1/_fake/bytes?n=40000&chunked=1&chunk=100",
        &lines,
        b"",
    );
    stream.write_all(&bytes).await.expect("written");
    let mut buffer = [0; 4096];
    let (mut last, mut longest, mut pieces) = (None::<Instant>, Duration::ZERO, 0);
    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
        let now = Instant::now();
        longest = longest.max(last.map_or(Duration::ZERO, |last| now - last));
        last = Some(now);
        pieces += 1;
    }
    assert!(pieces >= 100, "{pieces} pieces");
    longest
}

fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}
