//! P41: a panic stays with its exchange. Needs the feature `panics`.

// Tests may stop at once, and their tasks end with their runtime.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "relay/support/mod.rs"]
mod support;

use support::{Connection, authorization, get, pair, post, trust};

#[tokio::test]
async fn a_panic_is_a_500_or_a_cut_and_touches_nobody_else() {
    let (upstream, mut relay) = pair().await;
    let key = authorization();
    let mut panics = 0;
    for number in 0..1000 {
        let is_panic = number % 100 == 50;
        let place = match number / 100 % 2 {
            0 => "X-Panic: before the upstream",
            _ => "X-Fake-Script: header=X-Panic:after%20the%20head",
        };
        let lines = if is_panic {
            vec![key.as_str(), place]
        } else {
            vec![key.as_str()]
        };
        let answer = get(relay.address(), "/v1/models", &lines).await;
        if is_panic {
            panics += 1;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (500, "relay_panicked")
            );
        } else {
            assert_eq!(answer.status, 200, "{number}");
        }
    }
    let connections = upstream.connections();
    // Five of ten panicked with a connection in hand, which was not used again.
    assert!(connections >= 6, "{connections}");
    let line = relay.line(|line| line["outcome"] == "panicked").await;
    assert_eq!(line["level"], "ERROR");
    trust::record(
        "P41",
        &format!(
            "{panics} panics in 1,000 exchanges: the other {} succeed",
            1000 - panics
        ),
    );
}

#[tokio::test]
async fn a_panic_over_a_body_cuts_it_and_its_connection_to_the_upstream() {
    let (upstream, mut relay) = pair().await;
    let key = authorization();
    let text = format!(
        "POST /v1/files HTTP/1.1\r\nHost: a\r\n{key}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    );
    let form = "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n\
                --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"p\"\r\n\r\npanic\r\n--b--\r\n";
    let mut connection = Connection::open(relay.address()).await;
    let length = form.len();
    connection
        .write(format!("{text}Content-Length: {length}\r\n\r\n{form}").as_bytes())
        .await;
    let file = connection.answer(false).await.expect("an answer").json();
    let target = format!("/v1/files/{}/content", file["id"].as_str().expect("an id"));
    let answer = get(relay.address(), &target, &[&key]).await;
    assert!(!answer.is_complete);
    relay.line(|line| line["outcome"] == "panicked").await;
    let after = post(relay.address(), "/v1/_fake/echo", &[&key], "{}").await;
    assert_eq!(after.status, 200);
    assert_eq!(upstream.open_connections(), 1, "the panicked one is gone");
}
