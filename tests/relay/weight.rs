//! What clients cost: stalled readers, bombs and endless bodies, and what their neighbours notice.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{
    Connection, Relay, authorization, eventually, get, pair, pair_with, post, request, trust,
};

const KIB: u64 = 1024;

/// A client that asks for a stream and reads nothing of it.
async fn stalled(relay: &Relay, target: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .set_recv_buffer_size(8 * 1024)
        .expect("a small buffer");
    let mut stream = socket.connect(relay.address()).await.expect("a connection");
    let bytes = request("GET", target, &[&authorization()], b"");
    stream.write_all(&bytes).await.expect("written");
    stream
}

/// The length of a chunked body. How it is cut into chunks is not the same each time.
fn length_of(mut chunks: &[u8]) -> usize {
    let mut length = 0;
    loop {
        let end = chunks.windows(2).position(|two| two == b"\r\n");
        let end = end.expect("the length of a chunk");
        let digits = std::str::from_utf8(&chunks[..end]).expect("digits");
        let chunk = usize::from_str_radix(digits, 16).expect("a length");
        if chunk == 0 {
            return length;
        }
        length += chunk;
        chunks = &chunks[end + 2 + chunk + 2..];
    }
}

/// The longest pause between the pieces of a paced stream, and how much came.
async fn longest_pause(relay: &Relay, target: &str) -> (Duration, usize) {
    let mut connection = Connection::open(relay.address()).await;
    let lines = [authorization(), "X-Fake-Script: chunk-delay=5".to_owned()];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    connection.write(&request("GET", target, &lines, b"")).await;
    connection.head().await.expect("a head");
    let (mut longest, mut last, mut seen) = (Duration::ZERO, Instant::now(), Vec::new());
    while let Some(more) = connection.more().await {
        seen.extend(more);
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    (longest, length_of(&seen))
}

/// P03.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_stalled_readers_cost_little_and_are_let_go() {
    let (upstream, relay) = pair_with(&[("WRITE_TIMEOUT", "4")]).await;
    let paced = "/v1/_fake/bytes?n=100000&chunked=1&chunk=1000";
    let (alone, bytes) = longest_pause(&relay, paced).await;
    assert_eq!(bytes, 100_000);
    let before = relay.settled_memory().await;
    let mut clients = Vec::new();
    let start = Instant::now();
    for _ in 0..100 {
        clients.push(stalled(&relay, "/v1/_fake/bytes?n=8000000&chunked=1&chunk=1000").await);
    }
    let each = relay.settled_memory().await.saturating_sub(before) / 100;
    let (beside, bytes) = longest_pause(&relay, paced).await;
    assert_eq!(bytes, 100_000, "a neighbour lost something");
    assert!(each <= 64 * KIB, "{each} bytes for each stalled reader");
    eventually("they are let go", || upstream.open_connections() <= 2).await;
    let took = start.elapsed();
    let outcomes = || {
        let mut counts = std::collections::BTreeMap::new();
        for line in relay.exchanges() {
            *counts.entry(line["outcome"].to_string()).or_insert(0) += 1;
        }
        counts
    };
    eventually("all are logged", || {
        outcomes().values().sum::<usize>() == 102
    })
    .await;
    assert_eq!(
        outcomes().get("\"stalled\""),
        Some(&100),
        "{:?}",
        outcomes()
    );
    trust::record(
        "P03",
        &format!(
            "100 readers: {} KiB each; gone {:.1} s after the first, with WRITE_TIMEOUT=4; longest pause of a \
             neighbour {} ms, {} ms alone",
            each / KIB,
            took.as_secs_f64(),
            beside.as_millis(),
            alone.as_millis()
        ),
    );
    drop(clients);
}

/// P04.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stalled_reader_takes_a_piece_from_its_neighbours() {
    let (_upstream, relay) = pair().await;
    let mut rows = Vec::new();
    for (size, readers) in [(100, 1), (100, 3), (200, 3), (1000, 3), (1000, 20)] {
        let mut clients = Vec::new();
        for _ in 0..readers {
            let target = format!("/v1/_fake/bytes?n=8000000&chunked=1&chunk={size}");
            clients.push(stalled(&relay, &target).await);
        }
        let target = format!("/v1/_fake/bytes?n={}&chunked=1&chunk={size}", 400 * size);
        let (pause, bytes) = longest_pause(&relay, &target).await;
        assert_eq!(bytes, 400 * size, "beside {readers}");
        rows.push(format!(
            "{readers} × {size} B: 400/400, {} ms",
            pause.as_millis()
        ));
    }
    trust::record(
        "P04",
        &format!(
            "HTTP/1.1 upstream; stalled readers × piece: {}",
            rows.join("; ")
        ),
    );
}

/// P13.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compression_bomb_passes_as_the_bytes_that_it_is() {
    let (_upstream, relay) = pair().await;
    let bomb = std::process::Command::new("sh")
        .args(["-c", "head -c 1073741824 /dev/zero | gzip -1"])
        .output()
        .expect("gzip")
        .stdout;
    // Code that runs for the first time is read from the disk, and counts.
    let key = authorization();
    post(relay.address(), "/v1/_fake/echo", &[&key], "{}").await;
    get(
        relay.address(),
        "/v1/_fake/bytes?n=100000&chunked=1",
        &[&key],
    )
    .await;
    let before = relay.settled_memory().await;
    let lines = [authorization(), "Content-Encoding: gzip".to_owned()];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut connection = Connection::open(relay.address()).await;
    connection
        .write(&request("POST", "/v1/_fake/echo", &lines, &bomb))
        .await;
    assert_eq!(
        connection.answer(false).await.expect("an answer").status,
        200
    );
    let script = "X-Fake-Script: header=Content-Encoding:gzip";
    let target = format!("/v1/_fake/bytes?n={}&chunked=1", bomb.len());
    let lines = [authorization(), script.to_owned()];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut connection = Connection::open(relay.address()).await;
    connection
        .write(&request("GET", &target, &lines, b""))
        .await;
    let answer = connection.answer(false).await.expect("an answer");
    assert_eq!(answer.body.len(), bomb.len());
    let grown = relay.memory().saturating_sub(before);
    assert!(grown <= KIB * KIB, "{grown} bytes more");
    trust::record(
        "P13",
        &format!(
            "1 GiB in {} KiB of gzip, each way: {} KiB more",
            bomb.len() / 1024,
            grown / KIB
        ),
    );
}

/// P14.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_body_to_the_relays_own_route_is_413_and_costs_nothing() {
    let (upstream, relay) = pair().await;
    let before = relay.settled_memory().await;
    let stream = TcpStream::connect(relay.address())
        .await
        .expect("a connection");
    let (mut reader, mut writer) = stream.into_split();
    let head = format!(
        "POST /offer HTTP/1.1\r\nHost: a\r\n{}\r\nTransfer-Encoding: chunked\r\n\r\n",
        authorization()
    );
    writer.write_all(head.as_bytes()).await.expect("written");
    let sending = tokio::spawn(async move {
        let mut chunk = b"4000\r\n".to_vec();
        chunk.extend(vec![b' '; 0x4000]);
        chunk.extend(b"\r\n");
        while writer.write_all(&chunk).await.is_ok() {}
    });
    let mut seen = vec![0; 16];
    reader.read_exact(&mut seen).await.expect("an answer");
    assert!(
        seen.starts_with(b"HTTP/1.1 413 "),
        "{}",
        String::from_utf8_lossy(&seen)
    );
    let grown = relay.memory().saturating_sub(before);
    assert!(grown <= 2 * KIB * KIB, "{grown} bytes more");
    sending.abort();
    assert!(upstream.received().is_empty());
    trust::record("P14", &format!("413 at 64 KiB; {} KiB more", grown / KIB));
}
