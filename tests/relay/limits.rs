//! Limits that protect: slow heads, bodies and readers, uploads nobody wants, and too many clients.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::relay::SOON;
use crate::support::{
    Answer, Connection, Relay, authorization, eventually, get, pair_with, request, send, trust,
};

/// Everything until the close.
async fn rest(connection: &mut Connection) -> String {
    let mut seen = Vec::new();
    while let Some(more) = connection.more().await {
        seen.extend(more);
    }
    String::from_utf8_lossy(&seen).into_owned()
}

#[tokio::test]
async fn a_head_that_does_not_arrive_in_time_is_408_and_the_connection_ends() {
    let (_upstream, relay) = pair_with(&[("HEADER_TIMEOUT", "300ms")]).await;
    let mut connection = Connection::open(relay.address()).await;
    for byte in b"GET /v1/models HTTP/1.1\r\nHost: a\r\nX: " {
        connection.write(&[*byte]).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // More of the same does not buy more time.
    let answer = connection.answer(false).await.expect("an answer");
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (408, "head_timeout")
    );
    assert!(connection.is_closed().await);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_without_a_word() {
    let limits = [("HEADER_TIMEOUT", "2"), ("KEEPALIVE_TIMEOUT", "2")];
    let (_upstream, relay) = pair_with(&limits).await;
    let mut silent = Connection::open(relay.address()).await;
    assert_eq!(rest(&mut silent).await, "");
    let mut kept = Connection::open(relay.address()).await;
    let text = format!(
        "GET /v1/models HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n",
        authorization()
    );
    kept.write(text.as_bytes()).await;
    assert_eq!(kept.answer(false).await.expect("an answer").status, 200);
    assert_eq!(rest(&mut kept).await, "");
}

#[tokio::test]
async fn a_body_without_progress_is_408_and_its_upstream_connection_is_gone() {
    let (upstream, mut relay) = pair_with(&[("BODY_TIMEOUT", "400ms")]).await;
    for framing in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
        let mut connection = Connection::open(relay.address()).await;
        let text = format!(
            "POST /v1/_fake/echo HTTP/1.1\r\nHost: a\r\n{}\r\n{framing}\r\n\r\n",
            authorization()
        );
        connection.write(text.as_bytes()).await;
        let piece: &[u8] = if framing.starts_with('C') {
            b"x"
        } else {
            b"1\r\nx\r\n"
        };
        let start = Instant::now();
        let mut answer = None;
        while answer.is_none() && start.elapsed() < SOON {
            // A byte now and then is no progress.
            connection.write(piece).await;
            let soon = Duration::from_millis(50);
            answer = tokio::time::timeout(soon, connection.answer(false))
                .await
                .ok()
                .flatten();
        }
        let answer = answer.expect("an answer");
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (408, "body_timeout"),
            "{framing}"
        );
        eventually("the upstream is left too", || {
            upstream.open_connections() == 0
        })
        .await;
        assert!(
            upstream
                .take_received()
                .iter()
                .all(|request| !request.complete)
        );
    }
    relay.line(|line| line["code"] == "body_timeout").await;
}

#[tokio::test]
async fn a_body_that_is_slow_but_makes_progress_goes_through() {
    let (upstream, relay) = pair_with(&[("BODY_TIMEOUT", "4")]).await;
    let mut connection = Connection::open(relay.address()).await;
    let text = format!(
        "POST /v1/_fake/echo HTTP/1.1\r\nHost: a\r\n{}\r\nContent-Length: 20000\r\n\r\n",
        authorization()
    );
    connection.write(text.as_bytes()).await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(600)).await;
        connection.write(&[b'x'; 2000]).await;
    }
    assert_eq!(
        connection.answer(false).await.expect("an answer").status,
        200
    );
    assert_eq!(upstream.received()[0].body.len(), 20_000);
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_and_logged_as_stalled() {
    let (upstream, mut relay) = pair_with(&[("WRITE_TIMEOUT", "400ms")]).await;
    let mut connection = Connection::open(relay.address()).await;
    let target = "/v1/_fake/bytes?n=100000000";
    connection
        .write(&request("GET", target, &[&authorization()], b""))
        .await;
    let line = relay.line(|line| line["outcome"] == "stalled").await;
    assert_eq!(line["status"], 200);
    eventually("the upstream is left too", || {
        upstream.open_connections() == 0
    })
    .await;
    assert!(rest(&mut connection).await.len() < 100_000_000);
}

/// Sends all of a large upload before it reads a byte, as simple clients do.
async fn upload(relay: &Relay, lines: &[&str], bytes: usize) -> Option<Answer> {
    let mut connection = Connection::open(relay.address()).await;
    let head = format!(
        "POST /v1/files HTTP/1.1\r\nHost: a\r\n{}\r\nContent-Length: {bytes}\r\n\r\n",
        lines.join("\r\n")
    );
    connection.write(head.as_bytes()).await;
    let block = vec![b'x'; 64 * 1024];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(block.len());
        connection.write(&block[..now]).await;
        left -= now;
    }
    connection.answer(false).await
}

#[tokio::test]
async fn the_refusal_of_a_large_upload_can_be_read_by_a_client_that_sends_all_of_it_first() {
    let (upstream, relay) = pair_with(&[("MAX_BODY_BYTES", "1MiB")]).await;
    let refused = upload(&relay, &["Authorization: Bearer wrong"], 32 << 20).await;
    assert_eq!(refused.expect("an answer").status, 401);
    let refused = upload(&relay, &[&authorization()], 32 << 20).await;
    let refused = refused.expect("an answer");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (413, "body_too_large")
    );
    assert!(upstream.received().iter().all(|request| !request.complete));
}

#[tokio::test]
async fn an_upload_that_the_upstream_refuses_early_gets_the_upstreams_refusal() {
    let (_upstream, relay) = pair_with(&[("OPENAI_API_KEY", "sk-wrong-key-0123456789")]).await;
    let refused = upload(&relay, &[&authorization()], 8 << 20).await;
    assert_eq!(refused.expect("an answer").status, 401);
}

#[tokio::test]
async fn a_body_up_to_the_limit_passes_and_one_byte_more_is_413() {
    let (upstream, relay) = pair_with(&[("MAX_BODY_BYTES", "4096")]).await;
    for (bytes, status) in [(4096, 200), (4097, 413)] {
        let body = vec![b'x'; bytes];
        let sized = request("POST", "/v1/_fake/echo", &[&authorization()], &body);
        let answer = send(relay.address(), sized).await.expect("an answer");
        assert_eq!(answer.status, status, "{bytes}");
        let text = String::from_utf8_lossy(&body);
        let chunked = format!(
            "POST /v1/_fake/echo HTTP/1.1\r\nHost: a\r\n{}\r\nTransfer-Encoding: chunked\r\n\
             Connection: close\r\n\r\n{bytes:x}\r\n{text}\r\n0\r\n\r\n",
            authorization()
        );
        let answer = send(relay.address(), chunked).await.expect("an answer");
        assert_eq!(answer.status, status, "{bytes} chunked");
    }
    let complete = upstream
        .received()
        .iter()
        .filter(|request| request.complete)
        .count();
    assert_eq!(complete, 2);
}

#[tokio::test]
async fn past_the_last_seat_health_answers_and_work_is_503() {
    let (upstream, relay) = pair_with(&[("MAX_CLIENT_CONNECTIONS", "4")]).await;
    let mut seated = Vec::new();
    for _ in 0..4 {
        let mut connection = Connection::open(relay.address()).await;
        let text = format!(
            "GET /v1/models HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n",
            authorization()
        );
        connection.write(text.as_bytes()).await;
        assert_eq!(
            connection.answer(false).await.expect("an answer").status,
            200
        );
        seated.push(connection);
    }
    upstream.take_received();
    assert_eq!(get(relay.address(), "/health", &[]).await.status, 200);
    assert_eq!(get(relay.address(), "/ready", &[]).await.status, 200);
    let refused = get(relay.address(), "/v1/models", &[&authorization()]).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "relay_overloaded")
    );
    assert!(refused.header("retry-after").is_some());
    assert!(upstream.received().is_empty());
    drop(seated);
    let mut status = 0;
    while status != 200 {
        status = get(relay.address(), "/v1/models", &[&authorization()])
            .await
            .status;
    }
}

#[tokio::test]
async fn one_address_has_only_so_many_connections_and_others_have_theirs() {
    let limits = [
        ("MAX_CLIENT_CONNECTIONS_PER_IP", "2"),
        ("TRUSTED_PROXIES", "none"),
    ];
    let (_upstream, relay) = pair_with(&limits).await;
    let _two = [
        Connection::open(relay.address()).await,
        Connection::open(relay.address()).await,
    ];
    let mut third = Connection::open(relay.address()).await;
    assert_eq!(rest(&mut third).await, "");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.9:0".parse().expect("an address"))
        .expect("bound");
    let mut other = socket.connect(relay.address()).await.expect("a connection");
    other
        .write_all(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await
        .expect("written");
    let mut seen = String::new();
    other.read_to_string(&mut seen).await.expect("an answer");
    assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
}

/// P15: out of descriptors is survived.
#[tokio::test]
async fn two_thousand_connections_at_512_descriptors_do_not_keep_health_from_answering() {
    let upstream = crate::support::upstream().await;
    let base_url = upstream.base_url();
    let relay = Relay::start_with_files(512, &[("OPENAI_BASE_URL", &base_url)]).await;
    let mut idle = Vec::new();
    for _ in 0..2000 {
        idle.push(
            TcpStream::connect(relay.address())
                .await
                .expect("the kernel accepts"),
        );
    }
    let before = relay.cpu();
    let start = Instant::now();
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let asked = Instant::now();
        assert_eq!(get(relay.address(), "/health", &[]).await.status, 200);
        slowest = slowest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let share = (relay.cpu() - before).as_secs_f64() / start.elapsed().as_secs_f64();
    assert!(share < 0.25, "{share} of a core while full");
    let slowest = slowest.as_millis();
    drop(idle);
    let released = Instant::now();
    let mut status = 0;
    while status != 200 {
        status = get(relay.address(), "/ready", &[]).await.status;
    }
    let back = released.elapsed().as_millis();
    trust::record(
        "P15",
        &format!(
            "2,000 connections at 512 descriptors: {:.1} % of a core, /health within {slowest} ms, service back after \
             {back} ms",
            share * 100.0
        ),
    );
}
