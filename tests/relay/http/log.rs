//! The one line that an exchange leaves behind.

use super::*;
use crate::support::{pair, post};

#[tokio::test]
async fn the_log_line_of_an_exchange_says_who_what_and_how_much() {
    let (_upstream, mut relay) = pair().await;
    let body = "x".repeat(321);
    let target = "/v1/_fake/echo?secret=1";
    let answer = post(relay.address(), target, &[&authorization()], &body).await;
    let line = log_line(&mut relay, &answer).await;
    let expected = json!({
        "subject": "relay-token",
        "client": "127.0.0.1",
        "method": "POST",
        "path": "/v1/_fake/echo",
        "status": 200,
        "outcome": "completed",
        "request_id": answer.header("x-request-id"),
        "bytes_up": 321,
        "bytes_down": answer.body.len(),
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&line[name], value, "{name} in {line}");
    }
    assert!(line["total_ms"].as_f64() >= line["first_byte_ms"].as_f64());
    assert!(line["first_byte_ms"].as_f64() > Some(0.0), "{line}");
}

#[tokio::test]
async fn each_exchange_has_exactly_one_log_line() {
    let (_upstream, mut relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    let requests = [
        kept("GET", "/v1/models", &[], b""),
        kept("HEAD", "/v1/models", &[], b""),
        kept("GET", "/v1/_fake/status/204", &[], b""),
        kept("GET", "/v1/_fake/bytes?n=9&chunked=1", &[], b""),
        kept("GET", "/v1/_fake/status/500", &[], b""),
        kept("GET", "/v1/models", &["X-Fake-Script: no-request-id"], b""),
    ];
    for request in &requests {
        let answer = ask(&mut connection, request).await;
        let line = log_line(&mut relay, &answer).await;
        assert_eq!(line["outcome"], "completed", "{line}");
        assert_eq!(line["status"], answer.status, "{line}");
    }
    assert_eq!(relay.exchanges().len(), requests.len());
}
