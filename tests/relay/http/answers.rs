//! Statuses, heads and codings of answers.

use super::*;
use crate::support::{get, pair};

#[tokio::test]
async fn the_answer_to_head_keeps_its_length_and_has_no_body() {
    let (_upstream, relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    let head = ask(
        &mut connection,
        &kept("HEAD", "/v1/_fake/bytes?n=1234", &[], b""),
    )
    .await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("1234"))
    );
    // Had there been a body, it would stand where this answer begins.
    let next = ask(
        &mut connection,
        &kept("GET", "/v1/_fake/bytes?n=3&seed=2", &[], b""),
    )
    .await;
    assert_eq!(next.body, fake_openai::deterministic_bytes(2, 3));
}

#[tokio::test]
async fn answers_that_have_no_body_get_none() {
    let (_upstream, relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    for status in [204, 304] {
        let target = format!("/v1/_fake/status/{status}?h=ETag:%22x%22");
        let answer = ask(&mut connection, &kept("GET", &target, &[], b"")).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("etag"), Some("\"x\""), "{status}");
        for name in ["content-length", "transfer-encoding"] {
            assert_eq!(answer.header(name), None, "{status} gained {name}");
        }
        let next = ask(
            &mut connection,
            &kept("GET", "/v1/_fake/bytes?n=3&seed=2", &[], b""),
        )
        .await;
        assert_eq!(
            next.body,
            fake_openai::deterministic_bytes(2, 3),
            "after {status}"
        );
    }
}

#[tokio::test]
async fn a_hint_before_the_answer_does_not_take_its_place() {
    let (upstream, relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    for _ in 0..2 {
        let request = kept("GET", "/v1/_fake/informational", &[], b"");
        let answer = ask(&mut connection, &request).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json(), json!({ "object": "after a hint" }));
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn redirects_are_returned_and_not_followed() {
    let (upstream, relay) = pair().await;
    let key = authorization();
    let answer = get(relay.address(), "/v1/_fake/redirect", &[&key]).await;
    assert_eq!((answer.status, answer.text().as_str()), (302, "elsewhere"));
    assert_eq!(
        answer.header("location"),
        Some("http://elsewhere.invalid/v1/models")
    );
    for status in [300, 301, 303, 307, 308] {
        let location = format!("{}/models", upstream.base_url());
        let target = format!("/v1/_fake/status/{status}?h=Location:{location}");
        let answer = get(relay.address(), &target, &[&key]).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("location"), Some(location.as_str()));
    }
    assert_eq!(upstream.received().len(), 6, "one request each");
}

#[tokio::test]
async fn codings_of_content_are_neither_touched_nor_added() {
    let (upstream, relay) = pair().await;
    let key = authorization();
    for coding in ["gzip", "br", "zstd", "deflate", "identity", "x-unknown"] {
        let target = format!("/v1/_fake/status/200?h=Content-Encoding:{coding}");
        let lines = [key.as_str(), "Accept-Encoding: gzip, br"];
        let answer = get(relay.address(), &target, &lines).await;
        assert_eq!(answer.header("content-encoding"), Some(coding));
        assert_eq!(answer.text(), "status 200", "{coding}: the bytes stay");
    }
    let lines = [key.as_str(), "Accept-Encoding: gzip, br, zstd, deflate"];
    let plain = get(relay.address(), "/v1/_fake/bytes?n=50000", &lines).await;
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(plain.body, fake_openai::deterministic_bytes(1, 50_000));
    let asked = upstream.take_received().pop().expect("a request");
    assert_eq!(
        asked.header("accept-encoding"),
        Some("gzip, br, zstd, deflate")
    );
}

#[tokio::test]
async fn nothing_is_added_to_what_the_upstream_is_asked() {
    let (upstream, relay) = pair().await;
    get(relay.address(), "/v1/models", &[&authorization()]).await;
    let arrived = upstream.take_received().remove(0);
    let mut names: Vec<String> = arrived
        .headers
        .iter()
        .map(|(name, _)| name.to_lowercase())
        .collect();
    names.sort();
    assert_eq!(names, ["authorization", "host"]);
    assert_eq!(arrived.version, 1);
    let host = upstream.addr().to_string();
    assert_eq!(arrived.header("host"), Some(host.as_str()));
    let key = format!("Bearer {SERVER_KEY}");
    assert_eq!(arrived.header("authorization"), Some(key.as_str()));
}

#[tokio::test]
async fn statuses_come_down_with_their_reasons_however_odd() {
    let (_upstream, relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    let statuses = [
        (200, "OK"),
        (202, "Accepted"),
        (299, "Unknown"),
        (400, "Bad Request"),
        (402, "Payment Required"),
        (409, "Conflict"),
        (418, "I'm a teapot"),
        (429, "Too Many Requests"),
        (499, "Unknown"),
        (500, "Internal Server Error"),
        (503, "Service Unavailable"),
        (529, "Unknown"),
        (599, "Unknown"),
        (799, "Unknown"),
    ];
    for (status, reason) in statuses {
        let target = format!("/v1/_fake/status/{status}");
        let answer = ask(&mut connection, &kept("GET", &target, &[], b"")).await;
        let got = (answer.status, answer.reason.as_str());
        assert_eq!(got, (status, reason));
        assert_eq!(answer.text(), format!("status {status}"));
    }
}

#[tokio::test]
async fn an_error_of_the_upstreams_passes_untouched_with_its_retry_after() {
    let (_upstream, relay) = pair().await;
    let script = "X-Fake-Script: status=429 retry-after=7 retry-after-ms=6500 type=tokens code=rate_limit_exceeded should-retry=true";
    let answer = get(relay.address(), "/v1/models", &[&authorization(), script]).await;
    assert_eq!(answer.status, 429);
    for (name, value) in [
        ("retry-after", "7"),
        ("retry-after-ms", "6500"),
        ("x-should-retry", "true"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let error = &answer.json()["error"];
    assert_eq!(error["type"], "tokens");
    assert_eq!(error["code"], "rate_limit_exceeded");
    assert!(
        error.get("request_id").is_none(),
        "the relay's own mark: {error}"
    );
}

#[tokio::test]
async fn repeated_headers_keep_their_order_in_both_directions() {
    let (upstream, relay) = pair().await;
    let lines = [
        "X-Many: 3",
        "x-many: 1",
        "X-Between: b",
        "X-MANY: 2, 4",
        "X-Many: 3",
        "X-Fake-Script: header=X-Down:b header=X-Other:o header=x-down:a header=X-Down:b",
    ];
    let mut connection = Connection::open(relay.address()).await;
    let answer = ask(&mut connection, &kept("GET", "/v1/models", &lines, b"")).await;
    let arrived = upstream.take_received().remove(0);
    assert_eq!(arrived.header_all("x-many"), ["3", "1", "2, 4", "3"]);
    let down: Vec<&str> = answer
        .headers
        .iter()
        .filter(|(name, _)| name == "x-down")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(down, ["b", "a", "b"]);
}
