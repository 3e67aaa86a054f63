//! Methods and request targets.

use super::*;
use crate::support::{get, pair};

#[tokio::test]
async fn path_and_query_reach_the_upstream_byte_for_byte() {
    let (upstream, relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    let targets = [
        "/v1/models/a%2Fb",
        "/v1/models/a%2fb",
        "/v1/files/%E6%97%A5%E6%9C%AC",
        "/v1/files/%e6%97%a5",
        "/v1/x%0Ay%0D",
        "/v1/x%20y+z",
        "/v1/x%25y",
        "/v1/%",
        "/v1/%zz",
        "/v1/%7Euser/~user",
        "/v1/",
        "/v1/models/",
        "/v1/a;b=c;d/e,f",
        "/v1/a:b@c!$&'()*+,=~_.-d",
        "/v1/...",
        "/v1/.well-known/a..b",
        "/v1/x?",
        "/v1/x??",
        "/v1/x??a=b?c",
        "/v1/x?a=b&&c",
        "/v1/x?&",
        "/v1/x?=",
        "/v1/x?a=1&a=2&A=3",
        "/v1/x?q=%zz",
        "/v1/x?q=%00%0d%0a",
        "/v1/x?path=/../../etc//passwd",
        "/v1/x?back=a\\b",
        "/v1/x?url=http://u:p@evil.test:1/x",
        "/v1/x?a[]=1&a[]=2&b={c:1}",
        "/v1/x?a;b|c^d'e",
        "/v1/realtime?model=gpt-realtime-2.1-mini&call_id=rtc_1",
    ];
    for target in targets {
        let answer = ask(&mut connection, &kept("GET", target, &[], b"")).await;
        let arrived: Vec<String> = upstream
            .take_received()
            .into_iter()
            .map(|received| received.target)
            .collect();
        assert_eq!(arrived, [target], "{target}: {}", answer.status);
    }
}

#[tokio::test]
async fn a_target_of_32_kib_passes_and_one_byte_more_is_414() {
    let (upstream, relay) = pair().await;
    let of_length = |length: usize| {
        let start = "/v1/x?q=";
        format!("{start}{}", "q".repeat(length - start.len()))
    };
    let longest = of_length(32 * 1024);
    get(relay.address(), &longest, &[&authorization()]).await;
    let arrived = upstream.take_received();
    assert_eq!(arrived.len(), 1);
    assert!(arrived[0].target == longest, "it was changed on the way");
    for length in [32 * 1024 + 1, 60 * 1024] {
        let answer = get(relay.address(), &of_length(length), &[&authorization()]).await;
        assert_eq!(answer.status, 414, "{length} bytes");
        assert_eq!(answer.code(), "uri_too_long", "{length} bytes");
    }
    assert!(upstream.received().is_empty());
}

/// Sends a target that is no proper URI: it is refused with 400, or goes up as it is.
async fn check_refused_or_verbatim(target: &[u8]) {
    let (upstream, relay) = pair().await;
    let mut bytes = b"GET ".to_vec();
    bytes.extend(target);
    bytes.extend(kept("", "", &["Connection: close"], b"").iter().skip(1));
    let answer = send(relay.address(), bytes).await.expect("an answer");
    let arrived = upstream.take_received();
    let shown = String::from_utf8_lossy(target);
    match arrived.first() {
        None => assert_eq!(answer.status, 400, "{shown}"),
        Some(request) => assert_eq!(request.target.as_bytes(), target, "{shown} was changed"),
    }
}

#[tokio::test]
async fn a_query_that_no_uri_may_hold_is_refused_or_goes_up_verbatim() {
    let targets: [&[u8]; 5] = [
        b"/v1/x?b={\"c\":1}",
        b"/v1/x?<script>",
        "/v1/x?q=\u{e4}\u{65e5}".as_bytes(),
        b"/v1/x?q=\xff",
        b"/v1/x?q=\x01",
    ];
    for target in targets {
        check_refused_or_verbatim(target).await;
    }
}

#[tokio::test]
async fn every_method_passes_known_or_not() {
    let (upstream, relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    let methods = [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
        "QUERY",
        "PROPFIND",
        "M-SEARCH",
        "FOO",
        "foo",
        "get",
        "X-!#$%&'*+.^_`|~0",
    ];
    for method in methods {
        let answer = ask(&mut connection, &kept(method, "/v1/_fake/echo", &[], b"")).await;
        assert_eq!(answer.status, 200, "{method}");
        let arrived = upstream.take_received();
        assert_eq!(arrived.len(), 1, "{method}");
        assert_eq!(arrived[0].method, method);
        assert_eq!(arrived[0].target, "/v1/_fake/echo", "{method}");
    }
}

#[tokio::test]
async fn connect_and_trace_are_405_and_never_go_up() {
    let (upstream, relay) = pair().await;
    for line in [
        "TRACE /v1/models",
        "TRACE /health",
        "CONNECT evil.test:443",
        "CONNECT 127.0.0.1:80",
    ] {
        let head = format!(
            "{line} HTTP/1.1\r\nHost: relay.test\r\nConnection: close\r\n{}\r\n\r\n",
            authorization()
        );
        let answer = send(relay.address(), head).await.expect("an answer");
        assert_eq!(answer.status, 405, "{line}");
        assert_eq!(answer.code(), "method_not_allowed", "{line}");
        assert!(answer.header("allow").is_some(), "{line} without Allow");
    }
    assert!(upstream.received().is_empty());
    assert_eq!(upstream.connections(), 0);
}
#[tokio::test]
async fn a_fragment_never_vanishes_silently() {
    for target in ["/v1/x#f", "/v1/x?a=b#c", "/v1/x?a=b#/../d"] {
        check_refused_or_verbatim(target.as_bytes()).await;
    }
}
