//! Connections that serve more than one exchange, and older clients.

use super::*;
use crate::support::{get, pair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn of_an_absolute_target_only_the_path_counts() {
    let (upstream, relay) = pair().await;
    let key = authorization();
    let host = upstream.addr().to_string();
    for authority in ["evil.test", "evil.test:8443", "127.0.0.1:1", "[::1]:9"] {
        for scheme in ["http", "https"] {
            let target = format!("{scheme}://{authority}/v1/models/a%2Fb?x=%31");
            let answer = get(relay.address(), &target, &[&key]).await;
            let arrived = upstream.take_received();
            assert_eq!(arrived.len(), 1, "{target}: {}", answer.status);
            assert_eq!(arrived[0].target, "/v1/models/a%2Fb?x=%31", "{target}");
            assert_eq!(arrived[0].header("host"), Some(host.as_str()), "{target}");
        }
    }
    for target in ["http://evil.test/admin", "http://evil.test/v2/models"] {
        assert_eq!(get(relay.address(), target, &[&key]).await.status, 404);
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_a_whole_answer_without_chunks() {
    let (upstream, relay) = pair().await;
    for suffix in ["", "&chunked=1"] {
        let head = format!(
            "GET /v1/_fake/bytes?n=50000&seed=3{suffix} HTTP/1.0\r\nHost: relay.test\r\n{}\r\n\r\n",
            authorization()
        );
        let mut stream = TcpStream::connect(relay.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = bytes.split_at(end.expect("a head") + 4);
        let head = String::from_utf8_lossy(head).to_lowercase();
        assert!(head.contains(" 200 ok\r\n"), "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
        assert!(
            body == fake_openai::deterministic_bytes(3, 50_000),
            "{suffix}: {} bytes",
            body.len()
        );
        assert_eq!(upstream.take_received().remove(0).version, 1);
    }
}

#[tokio::test]
async fn a_connection_serves_request_after_request() {
    let (_upstream, relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    for seed in 0..20 {
        let target = format!("/v1/_fake/bytes?n=5000&seed={seed}");
        let answer = ask(&mut connection, &kept("GET", &target, &[], b"")).await;
        assert_eq!(answer.body, fake_openai::deterministic_bytes(seed, 5000));
        assert_eq!(answer.header("connection"), None);
    }
}

#[tokio::test]
async fn pipelined_requests_get_their_own_answers_in_order() {
    let (upstream, relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    let slow = ["X-Fake-Script: delay=50"];
    let mut bytes = kept("GET", "/v1/_fake/bytes?n=3000&seed=1", &slow, b"");
    bytes.extend(kept(
        "POST",
        "/v1/_fake/echo",
        &["Content-Length: 5"],
        b"hello",
    ));
    bytes.extend(kept("GET", "/v1/_fake/bytes?n=70000&seed=2", &[], b""));
    connection.write(&bytes).await;
    let first = connection.answer(false).await.expect("the first");
    assert_eq!(first.body, fake_openai::deterministic_bytes(1, 3000));
    let second = connection.answer(false).await.expect("the second");
    assert_eq!(second.json()["body"], "hello");
    let third = connection.answer(false).await.expect("the third");
    assert_eq!(third.body, fake_openai::deterministic_bytes(2, 70_000));
    assert_eq!(upstream.received().len(), 3);
}

#[tokio::test]
async fn a_connection_to_the_upstream_serves_request_after_request() {
    let (upstream, relay) = pair().await;
    for seed in 0..5 {
        // A client of its own each time.
        let target = format!("/v1/_fake/bytes?n=1000&chunked=1&seed={seed}");
        let answer = get(relay.address(), &target, &[&authorization()]).await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(upstream.connections(), 1);
}
