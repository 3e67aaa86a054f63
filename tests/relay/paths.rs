//! P09: nothing that the relay sends up can leave `/v1/`, and what it sends up is what it got.

use std::collections::BTreeSet;

use fake_openai::FakeOpenAi;

use crate::support::{Relay, authorization, pair, send, trust};

/// Decodes every `%XX` once.
fn decoded(path: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = code.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

/// What removing empty and dot segments makes of a path; `None` where it climbs out of its first.
fn normalised(path: &[u8]) -> Option<Vec<&[u8]>> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in path.split(|byte| matches!(byte, b'/' | b'\\')) {
        match segment {
            b"" | b"." => {}
            b".." if kept.len() < 2 => return None,
            b".." => {
                kept.pop();
            }
            _ => kept.push(segment),
        }
    }
    Some(kept)
}

/// Whether a path starts with `/v1/`, and still does for an upstream that decodes it once and
/// removes dot segments, never having left it on the way.
fn stays_below_v1(path: &[u8]) -> bool {
    let is_v1 = |path: &[u8]| {
        let kept = normalised(path).unwrap_or_default();
        kept.first() == Some(&&b"v1"[..])
    };
    path.starts_with(b"/v1/") && is_v1(path) && is_v1(&decoded(path))
}

const DOTS: [&str; 20] = [
    "..",
    ".",
    "%2e%2e",
    "%2E%2E",
    "%2e%2E",
    ".%2e",
    "%2E.",
    "%2e",
    "%2E",
    "%252e%252e",
    "%252E.",
    "%25252e%25252e",
    "...",
    "..;",
    "..;a=b",
    "..%00",
    "..%20",
    "%c0%ae%c0%ae",
    "%e2%80%a5",
    "%u002e%u002e",
];
const SLASHES: [&str; 16] = [
    "/", "%2f", "%2F", "%5c", "%5C", "\\", "//", "/%2f", "%2f/", "%252f", "%255c", "%c0%af",
    "%00/", "/./", ";/", "%0d%0a/",
];

/// Ways out of `/v1/`: every spelling of dots and slashes, at several depths.
fn escapes() -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::new();
    for dot in DOTS {
        for slash in SLASHES {
            for start in ["/v1/", "/v1/a/b/"] {
                all.insert(format!("{start}{dot}{slash}admin"));
            }
            all.insert(format!("/v1/a/{dot}{slash}{dot}{slash}admin"));
            all.insert(format!("/v1{slash}{dot}{slash}admin"));
        }
        for start in ["/v1/", "/v1/models/", "/v1/%2f", "/v1/a%5c"] {
            all.insert(format!("{start}{dot}"));
        }
    }
    all.into_iter().map(String::into_bytes).collect()
}

/// Bytes that no path may hold, in the middle of one and at its ends.
fn raw_bytes() -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::new();
    let bad = (0..=0x20u8).chain(0x7f..=0xff).chain(*b"\\");
    for byte in bad.filter(|byte| !matches!(byte, b'\r' | b'\n')) {
        all.insert([b"/v1/a".as_slice(), &[byte], b"b"].concat());
        all.insert([b"/v1/..".as_slice(), &[byte], b"/admin"].concat());
    }
    for text in [
        "/v1/\u{2024}\u{2024}/admin",
        "/v1/\u{ff0e}\u{ff0e}\u{ff0f}admin",
        "/v1/a\u{2215}b",
    ] {
        all.insert(text.as_bytes().to_vec());
    }
    all
}

const OUTSIDE: [&str; 40] = [
    "/v1",
    "/v1?x=/v1/",
    "/v2/models",
    "/v10/models",
    "/V1/models",
    "/v1models",
    "/v1%2fmodels",
    "/v1%2Fmodels",
    "/v1%5cmodels",
    "/v1\\models",
    "/v1;/models",
    "/v1./models",
    "/v1%00/models",
    "/v1%20/models",
    "/%761/models",
    "/%76%31/models",
    "/v%31/models",
    "//v1/models",
    "///v1/models",
    "/./v1/models",
    "/../v1/models",
    "/x/../v1/models",
    "/x/%2e%2e/v1/models",
    "/health/../v1/models",
    "/health/..%2fv1/models",
    "/%2fv1/models",
    "/%2e/v1/models",
    "\\v1\\models",
    "/\\v1/models",
    "/admin",
    "/.well-known/openid-configuration",
    "/api/v1/models",
    "/openai/v1/models",
    "/__fake/received",
    "/%5f%5ffake/received",
    "v1/models",
    "*",
    "evil.test:443",
    "http://evil.test/admin",
    "http://evil.test/v1/../__fake/received",
];

/// Sends a target and checks the promise; tells whether it went up.
async fn check(upstream: &FakeOpenAi, relay: &Relay, target: &[u8]) -> bool {
    let shown = String::from_utf8_lossy(target).into_owned();
    let mut bytes = b"GET ".to_vec();
    bytes.extend(target);
    let key = authorization();
    bytes.extend(format!(" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{key}\r\n\r\n").bytes());
    let answer = send(relay.address(), bytes).await.expect("an answer");
    let received = upstream.take_received();
    let Some(request) = received.first() else {
        assert!(
            matches!(answer.status, 400 | 404),
            "{shown}: {}",
            answer.status
        );
        return false;
    };
    assert_eq!(received.len(), 1, "{shown}");
    let arrived = request.target.as_bytes();
    assert!(arrived == target, "{shown} went up as {}", request.target);
    let path = arrived
        .split(|byte| *byte == b'?')
        .next()
        .unwrap_or_default();
    assert!(stays_below_v1(path), "{shown} leaves /v1/");
    true
}

#[test]
fn the_measure_of_these_tests_knows_an_escape() {
    for path in [
        "/v1/a",
        "/v1/a/%2e%2e/b",
        "/v1/%252e%252e/a",
        "/v1/...",
        "/v1/",
    ] {
        assert!(stays_below_v1(path.as_bytes()), "{path}");
    }
    for path in [
        "/v1",
        "/v2/a",
        "/v1/../a",
        "/v1/../v1/a",
        "/v1/%2e%2e%2fv1/a",
        "/v1/a/..\\..\\b",
        "/v1/a%5c..%5c..%5cb",
    ] {
        assert!(!stays_below_v1(path.as_bytes()), "{path}");
    }
}

#[tokio::test]
async fn no_encoding_of_a_path_leaves_v1_or_is_changed_on_the_way() {
    let (upstream, relay) = pair().await;
    let paths = escapes();
    assert!(paths.len() >= 1000, "{}", paths.len());
    let mut went_up = 0;
    for path in &paths {
        went_up += usize::from(check(&upstream, &relay, path).await);
    }
    let refused = paths.len() - went_up;
    trust::record(
        "P09",
        &format!(
            "{refused} paths refused, {went_up} passed verbatim, 100,000 generated: none leaves /v1/"
        ),
    );
    assert!(
        went_up >= 100 && refused >= 500,
        "{went_up} up, {refused} refused"
    );
}

#[tokio::test]
async fn a_segment_that_is_dots_after_decoding_once_is_refused() {
    let (upstream, relay) = pair().await;
    let dots = ["..", ".", "%2e", "%2E", ".%2e", "%2E.", "%2e%2E"];
    for dot in dots {
        for slash in ["/", "%2f", "%2F", "%5c", "%5C"] {
            for path in [
                format!("/v1/a{slash}{dot}{slash}b"),
                format!("/v1/a{slash}{dot}"),
                format!("/v1/{dot}{slash}b"),
            ] {
                let went_up = check(&upstream, &relay, path.as_bytes()).await;
                assert!(!went_up, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn an_empty_segment_is_refused_unless_it_is_the_last() {
    let (upstream, relay) = pair().await;
    for path in [
        "/v1//",
        "/v1//models",
        "/v1/a//b",
        "/v1/a///b",
        "/v1/a//",
        "//v1/a",
    ] {
        assert!(!check(&upstream, &relay, path.as_bytes()).await, "{path}");
    }
    for path in ["/v1/", "/v1/models/", "/v1/a/b/?q=//"] {
        assert!(check(&upstream, &relay, path.as_bytes()).await, "{path}");
    }
}

#[tokio::test]
async fn a_raw_byte_outside_printable_ascii_or_a_backslash_is_refused() {
    let (upstream, relay) = pair().await;
    for path in raw_bytes() {
        let went_up = check(&upstream, &relay, &path).await;
        assert!(!went_up, "{:?}", String::from_utf8_lossy(&path));
    }
}

#[tokio::test]
async fn an_encoded_nul_is_refused_wherever_it_stands_in_the_path() {
    let (upstream, relay) = pair().await;
    for path in [
        "/v1/%00",
        "/v1/a%00b",
        "/v1/a%00",
        "/v1/%00/a",
        "/v1/models/a%00.json",
    ] {
        assert!(!check(&upstream, &relay, path.as_bytes()).await, "{path}");
    }
    assert!(check(&upstream, &relay, b"/v1/a?q=%00").await);
}

#[tokio::test]
async fn no_path_outside_v1_reaches_the_upstream() {
    let (upstream, relay) = pair().await;
    for target in OUTSIDE {
        assert!(
            !check(&upstream, &relay, target.as_bytes()).await,
            "{target}"
        );
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn what_only_looks_like_an_escape_goes_up_verbatim() {
    let (upstream, relay) = pair().await;
    for path in [
        "/v1/a%2Fb",
        "/v1/a%5Cb",
        "/v1/...",
        "/v1/..a",
        "/v1/a..",
        "/v1/.a/b.",
        "/v1/..;/admin",
        "/v1/..%20/admin",
        "/v1/%252e%252e/admin",
        "/v1/%252e%252e%252fadmin",
        "/v1/%e2%80%a5/admin",
        "/v1/%u002e%u002e/admin",
        "/v1/%E6%97%A5%0A%0D%09",
        "/v1/~root",
        "/v1/x?../../admin",
        "/v1/x?/../%2e%2e/%00",
    ] {
        assert!(check(&upstream, &relay, path.as_bytes()).await, "{path}");
    }
}

#[tokio::test]
async fn a_refused_path_is_a_400_in_openais_shape() {
    let (_upstream, relay) = pair().await;
    for path in ["/v1/../admin", "/v1/a//b", "/v1/%2e%2e/x", "/v1/a%00"] {
        let answer = crate::support::get(relay.address(), path, &[&authorization()]).await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.code(), "malformed_request", "{path}");
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
        assert!(answer.header("x-request-id").is_some(), "{path}");
    }
}
