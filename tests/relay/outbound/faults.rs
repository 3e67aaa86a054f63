//! Faults between the relay and the upstream: each has one answer, and nothing is sent twice.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{check_fault, relay_to};
use crate::support::{Connection, authorization, get, pair_with, post, request};

/// An address where nobody listens.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    listener.local_addr().expect("its address").to_string()
}

#[tokio::test]
async fn an_upstream_that_refuses_connections_is_502() {
    let relay = relay_to(&format!("http://{}", nowhere().await), &[]).await;
    let answer = get(relay.address(), "/v1/models", &[&authorization()]).await;
    check_fault(&answer, 502, "upstream_unreachable");
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_502() {
    let relay = relay_to("http://no-such-host.invalid/v1", &[]).await;
    let answer = get(relay.address(), "/v1/models", &[&authorization()]).await;
    check_fault(&answer, 502, "upstream_dns");
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_504_after_the_connect_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("its address");
    let extra = [("OPENAI_CONNECT_TIMEOUT", "200ms")];
    let relay = relay_to(&format!("https://{address}"), &extra).await;
    let answer = get(relay.address(), "/v1/models", &[&authorization()]).await;
    check_fault(&answer, 504, "upstream_connect_timeout");
}

#[tokio::test]
async fn silence_before_the_head_is_504_after_the_read_timeout() {
    let (upstream, relay) = pair_with(&[("OPENAI_READ_TIMEOUT", "200ms")]).await;
    let lines = [&authorization(), "X-Fake-Script: hang=head"];
    let answer = get(relay.address(), "/v1/models", &lines).await;
    check_fault(&answer, 504, "upstream_timeout");
    // The much longer write timeout does not stretch it.
    let answer = post(relay.address(), "/v1/responses", &lines, "{}").await;
    check_fault(&answer, 504, "upstream_timeout");
    assert_eq!(upstream.received().len(), 2);
}

#[tokio::test]
async fn silence_within_the_answer_cuts_it_after_the_read_timeout() {
    let (_upstream, mut relay) = pair_with(&[("OPENAI_READ_TIMEOUT", "3")]).await;
    let script = "X-Fake-Script: hang=body";
    let target = "/v1/_fake/bytes?n=1000";
    let answer = get(relay.address(), target, &[&authorization(), script]).await;
    assert_eq!((answer.status, answer.is_complete), (200, false));
    relay
        .line(|line| line["outcome"] == "upstream_failed")
        .await;
}

#[tokio::test]
async fn a_timeout_is_between_bytes_and_never_for_the_whole() {
    let (_upstream, relay) = pair_with(&[("OPENAI_READ_TIMEOUT", "6")]).await;
    for (script, target) in [
        (
            "chunk-delay=800",
            "/v1/_fake/bytes?n=100000&chunked=1&chunk=10000",
        ),
        ("drip=20", "/v1/_fake/bytes?n=400"),
    ] {
        let script = format!("X-Fake-Script: {script}");
        let answer = get(relay.address(), target, &[&authorization(), &script]).await;
        assert_eq!((answer.status, answer.is_complete), (200, true), "{script}");
    }
}

#[tokio::test]
async fn an_upstream_that_takes_no_more_of_the_body_is_504_after_the_write_timeout() {
    let (_upstream, relay) = pair_with(&[("OPENAI_WRITE_TIMEOUT", "200ms")]).await;
    let script = "X-Fake-Script: hang=accept-body";
    let lines = [authorization(), script.to_owned()];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let body = vec![b'x'; 32 * 1024 * 1024];
    let bytes = request("POST", "/v1/_fake/echo", &lines, &body);
    let stream = TcpStream::connect(relay.address()).await.expect("a relay");
    let (mut reader, mut writer) = stream.into_split();
    let sending = tokio::spawn(async move {
        let _ = writer.write_all(&bytes).await;
        writer
    });
    let mut seen = Vec::new();
    let _ = reader.read_to_end(&mut seen).await;
    let text = String::from_utf8_lossy(&seen);
    assert!(text.starts_with("HTTP/1.1 504 "), "{text}");
    assert!(text.contains("upstream_write_timeout"), "{text}");
    drop(sending.await);
}

#[tokio::test]
async fn what_is_not_http_is_502_and_is_not_asked_again() {
    let (upstream, relay) = pair_with(&[]).await;
    let lines = [authorization(), "X-Fake-Script: garbage".to_owned()];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let answer = post(relay.address(), "/v1/responses", &lines, "{}").await;
    check_fault(&answer, 502, "upstream_broken");
    assert_eq!(upstream.received().len(), 1);
}

/// An upstream that takes one request after another and closes without an answer; what it got.
async fn closes_after(requests: usize) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("its address");
    let taking = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.len() < requests {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut bytes = vec![0; 4096];
            let read = stream.read(&mut bytes).await.expect("a request");
            seen.push(String::from_utf8_lossy(&bytes[..read]).into_owned());
        }
        seen
    });
    (format!("http://{address}"), taking)
}

#[tokio::test]
async fn a_request_that_was_seen_is_not_sent_again() {
    for method in ["POST", "GET", "DELETE"] {
        let (base_url, taking) = closes_after(1).await;
        let relay = relay_to(&base_url, &[]).await;
        let bytes = request(method, "/v1/responses", &[&authorization()], b"{}");
        let answer = crate::support::send(relay.address(), bytes).await;
        check_fault(&answer.expect("an answer"), 502, "upstream_broken");
        assert_eq!(taking.await.expect("requests").len(), 1, "{method}");
    }
}

#[tokio::test]
async fn a_pooled_connection_that_died_of_age_costs_nothing() {
    let (upstream, relay) = pair_with(&[]).await;
    let mut connection = Connection::open(relay.address()).await;
    for round in 0..20 {
        // The upstream closes after each answer, as gateways with short idle times do.
        let script = format!(
            "{}\r\nX-Fake-Script: close\r\nX-Round: {round}",
            authorization()
        );
        let text = format!(
            "POST /v1/_fake/echo HTTP/1.1\r\nHost: a\r\n{script}\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        connection.write(text.as_bytes()).await;
        let answer = connection.answer(false).await.expect("an answer");
        assert_eq!(answer.status, 200, "round {round}");
    }
    assert_eq!(upstream.received().len(), 20);
}
