//! P08: what goes up in a head, or behind a body, and what never does.

use fake_openai::{FakeOpenAi, Received};

use super::check_clean;
use super::tricks::{
    Trick, dropped_names, kept_headers, line, named_by_connection, odd_connections, te_lists,
};
use crate::heads::post_head;
use crate::support::{Relay, SERVER_KEY, authorization, pair, send, trust};

/// Fields of a request that arrived, but for the two that every one has.
fn fields(received: &Received) -> Vec<(String, Vec<u8>)> {
    let mut fields: Vec<(String, Vec<u8>)> = received
        .headers
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.clone()))
        .filter(|(name, _)| name != "host" && name != "authorization")
        .collect();
    // `TE` must be named by `Connection` (RFC 9110 section 10.1.4); whether it is, is not at issue.
    fields.retain(|(name, value)| !(name == "connection" && value.eq_ignore_ascii_case(b"te")));
    fields.sort();
    fields
}

async fn check_tricks(upstream: &FakeOpenAi, relay: &Relay, tricks: &[Trick]) {
    let key = format!("Bearer {SERVER_KEY}");
    let host = upstream.addr().to_string();
    for trick in tricks {
        let shown = trick.shown();
        let mut bytes = format!(
            "GET /v1/models HTTP/1.1\r\nHost: relay.test\r\n{}\r\n",
            authorization()
        )
        .into_bytes();
        for line in &trick.lines {
            bytes.extend(line);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"\r\n");
        let answer = send(relay.address(), bytes).await.expect("an answer");
        let received = upstream.take_received();
        assert_eq!((answer.status, received.len()), (200, 1), "{shown}");
        let received = &received[0];
        let mut expected = trick.arrives.clone();
        expected.sort();
        assert!(
            fields(received) == expected,
            "{shown}: arrived as {:?}",
            String::from_utf8_lossy(&received.raw_head)
        );
        assert_eq!(
            received.header_all("authorization"),
            [key.as_str()],
            "{shown}"
        );
        assert_eq!(received.header_all("host"), [host.as_str()], "{shown}");
        check_clean(received, &answer, &shown);
    }
}

#[test]
fn there_are_more_than_two_hundred_tricks() {
    let count = dropped_names().len()
        + named_by_connection().len()
        + odd_connections().len()
        + te_lists().len()
        + kept_headers().len();
    assert!(count >= 200, "{count}");
    trust::record("P08", &format!("{count} tricks: 0 reached the upstream"));
}

#[tokio::test]
async fn what_tells_of_the_clients_connection_network_or_page_never_goes_up() {
    let (upstream, relay) = pair().await;
    check_tricks(&upstream, &relay, &dropped_names()).await;
}

#[tokio::test]
async fn what_connection_names_stays_on_its_hop() {
    let (upstream, relay) = pair().await;
    check_tricks(&upstream, &relay, &named_by_connection()).await;
}

#[tokio::test]
async fn bytes_beyond_ascii_do_not_hide_what_connection_names() {
    let (upstream, relay) = pair().await;
    let lists: [&[u8]; 4] = [
        b"x-hop, \xff",
        b"\xff, x-hop",
        b"\xc3\xa4,x-hop,\xc3\xa4",
        b"x-hop,\x80",
    ];
    let tricks: Vec<Trick> = lists
        .iter()
        .map(|list| Trick::dropped(&[&line("Connection", list), b"X-Hop: smuggled"]))
        .collect();
    check_tricks(&upstream, &relay, &tricks).await;
}

#[tokio::test]
async fn no_connection_line_takes_the_key_or_the_host_away() {
    let (upstream, relay) = pair().await;
    check_tricks(&upstream, &relay, &odd_connections()).await;
}

#[tokio::test]
async fn of_te_only_trailers_goes_up() {
    let (upstream, relay) = pair().await;
    check_tricks(&upstream, &relay, &te_lists()).await;
}

#[tokio::test]
async fn end_to_end_headers_go_up_as_they_are() {
    let (upstream, relay) = pair().await;
    check_tricks(&upstream, &relay, &kept_headers()).await;
}

#[tokio::test]
async fn connection_cannot_take_a_body_its_framing() {
    let (upstream, relay) = pair().await;
    let key = authorization();
    for (framing, body) in [
        ("Content-Length: 5", "hello"),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
    ] {
        let head = format!(
            "POST /v1/_fake/echo HTTP/1.1\r\nHost: a\r\n{key}\r\n{framing}\r\n\
             Connection: content-length, transfer-encoding\r\n\r\n{body}"
        );
        let answer = send(relay.address(), head).await.expect("an answer");
        assert_eq!(answer.status, 200, "{framing}");
        let arrived = upstream.take_received().remove(0);
        assert!(arrived.complete, "{framing}");
        assert_eq!(arrived.body, b"hello", "{framing}");
    }
}

#[tokio::test]
async fn what_must_not_go_up_does_not_as_a_trailer_either() {
    let (upstream, relay) = pair().await;
    let mut leaked = Vec::new();
    for name in [
        "Authorization",
        "Connection",
        "Content-Length",
        "Content_Length",
        "Cookie",
        "CF-Connecting-IP",
        "Forwarded",
        "Host",
        "Keep-Alive",
        "Origin",
        "Proxy-Authorization",
        "Referer",
        "TE",
        "Transfer-Encoding",
        "Transfer_Encoding",
        "Upgrade",
        "Via",
        "X-Forwarded-For",
        "X_Forwarded_For",
        "X-Real-IP",
    ] {
        let chunks = format!("5\r\nhello\r\n0\r\n{name}: smuggled\r\nX-Witness: 1\r\n\r\n");
        let lines = format!("Transfer-Encoding: chunked\r\nTrailer: {name}, X-Witness");
        send(relay.address(), post_head(&lines, &chunks)).await;
        let arrived = upstream.take_received();
        let mut trailers = arrived.iter().flat_map(|request| &request.trailers);
        if trailers.any(|(_, value)| value == b"smuggled") {
            leaked.push(name);
        }
    }
    assert!(leaked.is_empty(), "went up as trailers: {leaked:?}");
}
