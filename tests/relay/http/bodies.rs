//! Bodies, their framing and what comes behind them.

use super::*;
use crate::support::{get, pair};

#[tokio::test]
async fn a_sized_body_arrives_sized() {
    let (upstream, relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    let long = vec![b'x'; 100_000];
    for method in ["POST", "PUT", "PATCH", "DELETE", "GET", "FOO"] {
        for body in [&b"\0\r\n\xff"[..], &long] {
            let length = format!("Content-Length: {}", body.len());
            ask(
                &mut connection,
                &kept(method, "/v1/_fake/echo", &[&length], body),
            )
            .await;
            let arrived = upstream.take_received().remove(0);
            let lengths = arrived.header_all("content-length");
            assert_eq!(lengths, [body.len().to_string()], "{method}");
            assert_eq!(arrived.header("transfer-encoding"), None, "{method}");
            assert!(arrived.complete && arrived.body == body, "{method}");
        }
    }
}

#[tokio::test]
async fn an_empty_sized_body_stays_one() {
    let (upstream, relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    for method in ["POST", "PUT", "DELETE"] {
        let request = kept(method, "/v1/_fake/echo", &["Content-Length: 0"], b"");
        ask(&mut connection, &request).await;
        let arrived = upstream.take_received().remove(0);
        assert_eq!(arrived.header_all("content-length"), ["0"], "{method}");
        assert_eq!(arrived.header("transfer-encoding"), None, "{method}");
    }
}

#[tokio::test]
async fn a_chunked_body_arrives_chunked() {
    let (upstream, relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    let bodies: [(&[u8], &[u8]); 3] = [
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"1\r\na\r\n3;ext=\"x\"\r\nbcd\r\n00\r\n\r\n", b"abcd"),
        (b"0\r\n\r\n", b""),
    ];
    for (chunks, body) in bodies {
        let request = kept(
            "POST",
            "/v1/_fake/echo",
            &["Transfer-Encoding: chunked"],
            chunks,
        );
        assert_eq!(ask(&mut connection, &request).await.status, 200);
        let arrived = upstream.take_received().remove(0);
        assert!(arrived.chunked, "{body:?} lost its chunks");
        assert_eq!(arrived.header("content-length"), None);
        assert!(arrived.complete);
        assert_eq!(arrived.body, body);
    }
}

#[tokio::test]
async fn a_chunked_body_goes_up_whatever_the_method() {
    let (upstream, relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "FOO"] {
        let lines = ["Transfer-Encoding: chunked"];
        let bytes = kept(method, "/v1/_fake/echo", &lines, b"5\r\nhello\r\n0\r\n\r\n");
        ask(&mut connection, &bytes).await;
        let arrived = upstream.take_received().remove(0);
        assert_eq!(
            (arrived.body.as_slice(), arrived.complete),
            (&b"hello"[..], true),
            "{method}"
        );
    }
}

#[tokio::test]
async fn a_request_without_a_body_stays_without() {
    let (upstream, relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    for method in [
        "GET", "HEAD", "DELETE", "POST", "PUT", "PATCH", "OPTIONS", "FOO",
    ] {
        ask(&mut connection, &kept(method, "/v1/_fake/echo", &[], b"")).await;
        let arrived = upstream.take_received().remove(0);
        for name in ["content-length", "transfer-encoding"] {
            assert_eq!(arrived.header(name), None, "{method} gained {name}");
        }
        assert_eq!(arrived.body_len, 0, "{method}");
    }
}

#[tokio::test]
async fn sixty_four_mebibytes_go_up_with_equal_sha256() {
    let (upstream, relay) = pair().await;
    let body = fake_openai::deterministic_bytes(5, 64 * MIB);
    let expected = hash_without_relay(&upstream, &body).await;
    let sized = request("POST", "/v1/_fake/echo", &[&authorization()], &body);
    let mut chunked = kept(
        "POST",
        "/v1/_fake/echo",
        &["Transfer-Encoding: chunked"],
        b"",
    );
    for chunk in body.chunks(200_000) {
        chunked.extend(format!("{:x}\r\n", chunk.len()).bytes());
        chunked.extend(chunk);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    for (framing, bytes) in [("sized", sized), ("chunked", chunked)] {
        let answer = send(relay.address(), bytes).await.expect("an answer");
        assert_eq!(answer.status, 200, "{framing}");
        let arrived = upstream.take_received().remove(0);
        assert_eq!(arrived.body_len, body.len() as u64, "{framing}");
        assert_eq!(arrived.body_sha256, expected, "{framing}");
    }
}

#[tokio::test]
async fn sixty_four_mebibytes_come_down_with_equal_bytes() {
    let (_upstream, relay) = pair().await;
    let expected = fake_openai::deterministic_bytes(7, 64 * MIB);
    for (framing, suffix) in [("content-length", ""), ("transfer-encoding", "&chunked=1")] {
        let target = format!("/v1/_fake/bytes?seed=7&n={}{suffix}", 64 * MIB);
        let answer = get(relay.address(), &target, &[&authorization()]).await;
        assert_eq!(answer.status, 200);
        assert!(answer.header(framing).is_some(), "no {framing}");
        assert!(answer.is_complete, "{framing}");
        assert!(answer.body == expected, "{framing}: the bytes differ");
    }
}

#[tokio::test]
async fn trailers_of_a_request_reach_the_upstream() {
    let (upstream, relay) = pair().await;
    let request = kept(
        "POST",
        "/v1/_fake/echo",
        &["Transfer-Encoding: chunked", "Trailer: X-Checksum, X-Other"],
        b"3\r\nabc\r\n0\r\nX-Checksum: 1f\r\nX-Other: 2\r\n\r\n",
    );
    let mut connection = Connection::open(relay.address()).await;
    assert_eq!(ask(&mut connection, &request).await.status, 200);
    let mut trailers: Vec<(String, Vec<u8>)> = upstream.take_received().remove(0).trailers;
    for (name, _) in &mut trailers {
        name.make_ascii_lowercase();
    }
    trailers.sort();
    let expected = [
        ("x-checksum".to_owned(), b"1f".to_vec()),
        ("x-other".to_owned(), b"2".to_vec()),
    ];
    assert_eq!(trailers, expected);
}

#[tokio::test]
async fn trailers_of_an_answer_reach_a_client_that_takes_them() {
    let (_upstream, relay) = pair().await;
    let request = kept(
        "GET",
        "/v1/_fake/bytes?n=100&chunked=1",
        &["TE: trailers", "Connection: TE", "X-Fake-Script: trailers"],
        b"",
    );
    let mut connection = Connection::open(relay.address()).await;
    let answer = ask(&mut connection, &request).await;
    assert!(answer.is_complete);
    assert_eq!(answer.header("trailer"), Some("X-Fake-Trailer"));
    let expected = [("x-fake-trailer".to_owned(), "done".to_owned())];
    assert_eq!(answer.trailers, expected);
}

#[tokio::test]
async fn an_expectation_is_met_with_a_100_before_the_body_is_sent() {
    let (upstream, relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    let lines = ["Expect: 100-continue", "Content-Length: 5"];
    connection
        .write(&kept("POST", "/v1/_fake/echo", &lines, b""))
        .await;
    let first = until(&mut connection, "\r\n\r\n").await;
    assert!(first.starts_with("HTTP/1.1 100 "), "{first}");
    let answer = ask(&mut connection, b"hello").await;
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.take_received().remove(0).body, b"hello");
}

#[tokio::test]
async fn a_refused_expectation_gets_no_100() {
    let (upstream, relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    let head = "POST /v1/_fake/echo HTTP/1.1\r\nHost: relay.test\r\nExpect: 100-continue\r\n\
        Content-Length: 5\r\nAuthorization: Bearer wrong\r\n\r\n";
    connection.write(head.as_bytes()).await;
    let first = until(&mut connection, "\r\n\r\n").await;
    assert!(first.starts_with("HTTP/1.1 401 "), "{first}");
    assert!(upstream.received().is_empty());
}
