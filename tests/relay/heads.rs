//! Heads and framing that two parsers could read differently, and heads beyond the limits.

use crate::support::{Connection, Relay, authorization, get, pair, request, send};

/// The status of the answer, whichever version of HTTP it names.
async fn status_of(relay: &Relay, request: &str) -> Option<u16> {
    let mut connection = Connection::open(relay.address()).await;
    connection.write(request.as_bytes()).await;
    let mut seen = Vec::new();
    while seen.len() < 12 {
        seen.extend(connection.more().await?);
    }
    let status = std::str::from_utf8(&seen[9..12]).ok()?;
    status.parse().ok()
}

/// Sends a head that must be refused before anything of it goes up.
async fn check_refused(heads: &[String]) {
    let (upstream, relay) = pair().await;
    let mut served = Vec::new();
    for head in heads {
        let status = status_of(&relay, head).await;
        let arrived = upstream.take_received().len();
        if (status, arrived) != (Some(400), 0) {
            served.push(format!("{status:?}, {arrived} upstream: {head:?}"));
        }
    }
    assert!(served.is_empty(), "not refused:\n{}", served.join("\n"));
    assert_eq!(upstream.connections(), 0);
}

fn get_head(lines: &str) -> String {
    format!(
        "GET /v1/models HTTP/1.1\r\n{lines}{}\r\n\r\n",
        authorization()
    )
}

pub fn post_head(lines: &str, body: &str) -> String {
    format!(
        "POST /v1/_fake/echo HTTP/1.1\r\nHost: a\r\n{}\r\n{lines}\r\n\r\n{body}",
        authorization()
    )
}

#[tokio::test]
async fn anything_but_one_valid_host_is_refused() {
    let hosts = [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nHost: b\r\n",
        "Host: a\r\nhost:\r\n",
        "Host:\r\n",
        "Host:  \r\n",
        "Host: a b\r\n",
        "Host: a, b\r\n",
        "Host: a@b\r\n",
        "Host: u:p@b\r\n",
        "Host: a/b\r\n",
        "Host: a?b\r\n",
        "Host: a#b\r\n",
        "Host: http://a\r\n",
        "Host: a\\b\r\n",
        "Host: [::1\r\n",
        "Host: :80\r\n",
        "Host: \u{e4}.test\r\n",
    ];
    let mut heads: Vec<String> = hosts.iter().map(|lines| get_head(lines)).collect();
    let absolute = "GET http://a/v1/models HTTP/1.1";
    heads.push(get_head("").replace("GET /v1/models HTTP/1.1", absolute));
    heads.push(get_head("Host: a\r\nHost: a\r\n").replace("GET /v1/models HTTP/1.1", absolute));
    let old = |lines| get_head(lines).replace("HTTP/1.1", "HTTP/1.0");
    heads.push(old(""));
    heads.push(old("Host: a\r\nHost: b\r\n"));
    check_refused(&heads).await;
}

#[tokio::test]
async fn a_host_whose_port_is_none_is_refused() {
    let heads: Vec<String> = [
        "a:b", "a:99999", "a:1:2", "a:-1", "a:+1", "[::1]:x", "[::1]x",
    ]
    .iter()
    .map(|host| get_head(&format!("Host: {host}\r\n")))
    .collect();
    check_refused(&heads).await;
}

#[tokio::test]
async fn hosts_that_are_valid_are_all_served() {
    let (_upstream, relay) = pair().await;
    for host in [
        "a",
        "a:80",
        "A.Test",
        "127.0.0.1:8080",
        "[::1]",
        "[::1]:80",
        "a_b.test",
        "a.",
    ] {
        let head = get_head(&format!("Host: {host}\r\n"));
        let answer = send(relay.address(), head).await.expect("an answer");
        assert_eq!(answer.status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_transfer_encoding_other_than_chunked_once_is_refused() {
    let lists = [
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedx",
        "Transfer-Encoding: chunked x",
        "Transfer-Encoding: x chunked",
        "Transfer-Encoding: 'chunked'",
        "Transfer-Encoding:",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        " Transfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding: \u{b}chunked",
    ];
    let mut heads: Vec<String> = lists
        .iter()
        .map(|lines| post_head(lines, "5\r\nhello\r\n0\r\n\r\n"))
        .collect();
    let old = post_head("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n");
    heads.push(old.replace("HTTP/1.1", "HTTP/1.0"));
    check_refused(&heads).await;
}

#[tokio::test]
async fn spellings_of_chunked_that_mean_it_are_served() {
    let (upstream, relay) = pair().await;
    for coding in [
        "chunked",
        "Chunked",
        "CHUNKED",
        "  chunked  ",
        "\tchunked\t",
    ] {
        let lines = format!("Transfer-Encoding: {coding}");
        let head = post_head(&lines, "5\r\nhello\r\n0\r\n\r\n");
        let answer = send(relay.address(), head).await.expect("an answer");
        assert_eq!(answer.status, 200, "{coding:?}");
        let arrived = upstream.take_received().remove(0);
        assert_eq!(arrived.header_all("transfer-encoding"), ["chunked"]);
        assert_eq!(arrived.body, b"hello");
    }
}

#[tokio::test]
async fn a_length_that_is_not_one_number_is_refused() {
    let lengths = [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: 5\r\nContent-Length: 0",
        "Content-Length: 5, 6",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length: 5;",
        "Content-Length: 5.0",
        "Content-Length: 5e0",
        "Content-Length: five",
        "Content-Length: \"5\"",
        "Content-Length:",
        "Content-Length: 18446744073709551616",
        "Content-Length: 99999999999999999999999",
        "Content-Length : 5",
        " Content-Length: 5",
    ];
    let heads: Vec<String> = lengths
        .iter()
        .map(|lines| post_head(lines, "hello"))
        .collect();
    check_refused(&heads).await;
}

#[tokio::test]
async fn the_same_length_twice_is_refused_or_goes_up_once() {
    let (upstream, relay) = pair().await;
    for lines in [
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: 05",
    ] {
        let answer = send(relay.address(), post_head(lines, "hello")).await;
        let status = answer.expect("an answer").status;
        let arrived = upstream.take_received();
        match arrived.first() {
            None => assert_eq!(status, 400, "{lines}"),
            Some(request) => {
                assert_eq!(request.header_all("content-length").len(), 1, "{lines}");
                assert_eq!((status, request.body.as_slice()), (200, &b"hello"[..]));
            }
        }
    }
}

#[tokio::test]
async fn a_head_that_two_parsers_could_read_differently_is_refused() {
    let lines = [
        "X: a\0b",
        "X\0: a",
        "X : a",
        " X: a",
        "X: a\r\n folded",
        "X: a\r\n\tfolded",
        "no colon",
        ": no name",
        "X Y: a",
        "X(Y): a",
        "X\u{e4}: a",
        "X: a\rY: b",
        "X: a\u{1}b",
        "X: a\u{7f}b",
        "Origin: http://a\r\nOrigin: http://b",
        "Connection: upgrade\r\nUpgrade: tls/1.0",
        "Connection: keep-alive, Upgrade\r\nUpgrade: foo",
    ];
    let mut heads: Vec<String> = lines
        .iter()
        .map(|line| get_head(&format!("Host: a\r\n{line}\r\n")))
        .collect();
    let plain = get_head("Host: a\r\n");
    for first in [
        "GET  /v1/models HTTP/1.1",
        "GET /v1/models  HTTP/1.1",
        "GET /v1/models HTTP/1.1 ",
        "GET /v1/models HTTP/1.1 x",
        "GET /v1/models HTTP/2.0",
        "GET /v1/models HTTP/1.2",
        "GET /v1/models HTTP/11",
        "GET /v1/models http/1.1",
        "GET /v1/models HTTPS/1.1",
        "GET\t/v1/models\tHTTP/1.1",
        " GET /v1/models HTTP/1.1",
        "G\u{e4}T /v1/models HTTP/1.1",
        "G(T /v1/models HTTP/1.1",
        "GET /v1/models",
    ] {
        heads.push(plain.replace("GET /v1/models HTTP/1.1", first));
    }
    check_refused(&heads).await;
}

#[tokio::test]
async fn a_broken_chunk_is_a_400_and_never_completes_a_request_upstream() {
    let (upstream, relay) = pair().await;
    let long_extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(40_000));
    for chunks in [
        "zz\r\nab\r\n0\r\n\r\n",
        "g\r\n",
        "-1\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        ";\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "5\u{b}\r\nhello\r\n0\r\n\r\n",
        "2\r\nabc\r\n0\r\n\r\n",
        "2\r\nab0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: a\0b\r\n\r\n",
        &long_extension,
    ] {
        let shown = &chunks[..chunks.len().min(60)];
        let head = post_head("Transfer-Encoding: chunked", chunks);
        let answer = send(relay.address(), head).await;
        let status = answer.map(|answer| answer.status);
        assert_eq!(status, Some(400), "{shown:?}");
        let arrived = upstream.take_received();
        assert!(arrived.iter().all(|request| !request.complete), "{shown:?}");
    }
}

#[tokio::test]
async fn a_broken_chunk_after_good_ones_never_completes_a_request_upstream() {
    let (upstream, relay) = pair().await;
    let head = post_head(
        "Transfer-Encoding: chunked",
        "5\r\nhello\r\nzz\r\n0\r\n\r\n",
    );
    let next = get_head("Host: a\r\n");
    let answer = send(relay.address(), head + &next).await;
    assert_eq!(answer.map(|answer| answer.status), Some(400));
    let arrived = upstream.take_received();
    assert!(arrived.len() <= 1, "what followed went up too");
    assert!(arrived.iter().all(|request| !request.complete));
}

#[tokio::test]
async fn after_a_refused_head_the_connection_is_closed() {
    let (upstream, relay) = pair().await;
    let next = get_head("Host: a\r\n");
    for head in [
        get_head("Host: a\r\n").replace("/v1/models", "/v1/../models"),
        get_head("Host: a\r\n").replace("/v1/models", "/v1//models"),
        get_head("Host: a\r\nHost: b\r\n"),
        get_head(""),
        get_head("Host: a\r\nOrigin: http://a\r\nOrigin: http://b\r\n"),
    ] {
        let mut connection = Connection::open(relay.address()).await;
        connection.write((head.clone() + &next).as_bytes()).await;
        let answer = connection.answer(false).await.expect("an answer");
        assert_eq!(answer.status, 400, "{head}");
        let more = connection.more().await.unwrap_or_default();
        assert!(more.is_empty(), "{head} did not close the connection");
        assert!(upstream.take_received().is_empty(), "{head}");
    }
}

#[tokio::test]
async fn heads_of_256_fields_pass_and_more_are_431() {
    let (upstream, relay) = pair().await;
    // Host, Connection and Authorization are three of them.
    for (fields, status) in [(256, 200), (257, 431), (1000, 431)] {
        let own = vec!["X-Field: 1".to_owned(); fields - 3];
        let key = authorization();
        let mut lines = vec![key.as_str()];
        lines.extend(own.iter().map(String::as_str));
        let answer = get(relay.address(), "/v1/models", &lines).await;
        assert_eq!(answer.status, status, "{fields} fields");
        let arrived = upstream.take_received();
        assert_eq!(arrived.len(), usize::from(status == 200), "{fields} fields");
    }
}

#[tokio::test]
async fn heads_of_64_kib_pass_and_larger_ones_are_431() {
    let (upstream, relay) = pair().await;
    let key = authorization();
    let empty = request("GET", "/v1/models", &[&key, "X-Long: "], b"").len();
    for (size, status) in [
        (60_000, 200),
        (64 * 1024, 200),
        (66_000, 431),
        (200_000, 431),
    ] {
        let long = format!("X-Long: {}", "v".repeat(size - empty));
        let answer = get(relay.address(), "/v1/models", &[&key, &long]).await;
        assert_eq!(answer.status, status, "{size} bytes");
        let arrived = upstream.take_received();
        assert_eq!(arrived.len(), usize::from(status == 200), "{size} bytes");
    }
}

#[tokio::test]
async fn a_head_of_the_upstreams_beyond_the_limits_is_502() {
    let (upstream, relay) = pair().await;
    let many = |fields: usize| "header=X-Field:1 ".repeat(fields);
    let long = |bytes: usize| format!("header=X-Long:{}", "v".repeat(bytes));
    for (script, status) in [
        (many(200), 200),
        (long(50_000), 200),
        (many(300), 502),
        (long(80_000), 502),
    ] {
        upstream.push_script(script.parse().expect("a script"));
        let answer = get(relay.address(), "/v1/models", &[&authorization()]).await;
        assert_eq!(answer.status, status, "{}", &script[..20]);
        if status == 502 {
            assert_eq!(answer.code(), "upstream_broken");
        }
    }
}

#[tokio::test]
async fn a_health_check_over_http_1_0_needs_no_host() {
    let (_upstream, relay) = pair().await;
    for path in ["/ready", "/health"] {
        let ask = format!("GET {path} HTTP/1.0\r\n\r\n");
        let answer = send(relay.address(), ask).await.expect("an answer");
        assert_eq!(answer.status, 200, "{path}");
    }
    for ask in ["GET /ready HTTP/1.1\r\n\r\n", "GET /stats HTTP/1.0\r\n\r\n"] {
        let answer = send(relay.address(), ask).await.expect("an answer");
        assert_eq!(answer.status, 400, "{ask}");
    }
}
