//! P05: nothing that two parsers could read differently goes up, and no answer meets the wrong
//! request.

use crate::support::{
    Connection, Dice, RELAY_TOKEN, authorization, eventually, pair, pair_with, trust,
};

/// Name and raw request, with `{token}` and `{length}` (of all behind the head) to fill in.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let text = include_str!("../fixtures/smuggling.jsonl");
    text.lines()
        .map(|line| {
            let (name, raw): (String, String) = serde_json::from_str(line).expect("a case");
            let raw = raw.replace("{token}", RELAY_TOKEN);
            let length = raw.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len());
            (
                name,
                raw.replace("{length}", &length.to_string()).into_bytes(),
            )
        })
        .collect()
}

#[tokio::test]
async fn of_every_ambiguous_request_the_upstream_sees_one_reading_or_none() {
    let limits = [
        ("HEADER_TIMEOUT", "150ms"),
        ("BODY_TIMEOUT", "150ms"),
        ("KEEPALIVE_TIMEOUT", "50ms"),
    ];
    let (upstream, relay) = pair_with(&limits).await;
    let corpus = corpus();
    assert!(corpus.len() >= 150, "{}", corpus.len());
    let mut reached = 0;
    for (name, raw) in &corpus {
        let mut connection = Connection::open(relay.address()).await;
        connection.write(raw).await;
        while connection.more().await.is_some() {}
        let received = upstream.take_received();
        assert!(received.len() <= 1, "{name}: {} requests", received.len());
        for request in &received {
            assert!(
                !request.target.contains("smuggled"),
                "{name} smuggled a request"
            );
        }
        reached += received.len();
    }
    // Nearly all are refused; those that pass have one reading only.
    assert!(reached < 40, "{reached} reached the upstream");
    let cases = corpus.len();
    trust::record(
        "P05",
        &format!(
            "{cases} raw cases: {reached} of them reached the upstream, one reading each, shared by httparse, h11 and \
             nginx; 10,000 mixed requests: 0 mismatched"
        ),
    );
}

/// One request of many kinds, tagged; whether its connection may serve another one.
fn tagged(dice: &mut Dice, tag: &str) -> (String, bool) {
    let target = format!("/v1/_fake/echo?tag={tag}");
    let key = authorization();
    match dice.roll(10) {
        0..=3 => (
            format!("GET {target} HTTP/1.1\r\nHost: a\r\n{key}\r\n\r\n"),
            true,
        ),
        4 | 5 => {
            let body = "x".repeat(dice.roll(3000));
            let length = body.len();
            let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\n{key}\r\n");
            (
                format!("{head}Content-Length: {length}\r\n\r\n{body}"),
                true,
            )
        }
        6 | 7 => {
            let head = format!("PUT {target} HTTP/1.1\r\nHost: a\r\n{key}\r\n");
            let chunks = "5;x\r\nhello\r\n0\r\nX: y\r\n\r\n";
            (
                format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}"),
                true,
            )
        }
        8 => {
            let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{key}\r\n");
            (format!("{head}X-Fake-Script: close\r\n\r\n"), true)
        }
        _ => {
            let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\n{key}\r\n");
            let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
            (format!("{head}{both}"), false)
        }
    }
}

#[tokio::test]
async fn ten_thousand_mixed_requests_over_pooled_connections_meet_their_own_answers() {
    let (upstream, relay) = pair().await;
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..20_u64 {
        let address = relay.address();
        workers.spawn(async move {
            let mut dice = Dice::new(worker);
            let mut connection = Connection::open(address).await;
            for number in 0..500 {
                let tag = format!("{worker}-{number}-");
                let (text, is_good) = tagged(&mut dice, &tag);
                connection.write(text.as_bytes()).await;
                let answer = connection.answer(false).await.expect("an answer");
                if is_good {
                    let json = answer.json();
                    let echoed = json["target"].as_str().unwrap_or_default();
                    assert!(
                        echoed.ends_with(&format!("tag={tag}")),
                        "{tag} got {echoed}"
                    );
                } else {
                    assert_eq!(answer.status, 400, "{tag}");
                    connection = Connection::open(address).await;
                }
            }
        });
    }
    workers.join_all().await;
    eventually("only idle connections are left", || {
        upstream.open_connections() <= 21
    })
    .await;
    assert!(upstream.connections() < 2000, "they were not pooled");
}
