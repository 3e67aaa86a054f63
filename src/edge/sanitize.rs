//! Pure: what a request must look like before anything else is asked of it.
//!
//! Refuses what two HTTP parsers could read differently, and paths that could leave `/v1/`. The
//! bytes themselves are never changed: what passes goes up as it came.

use http::uri::Authority;
use http::{Method, Version, header};

use super::route::Upgrade;
use crate::error::{Kind, Refusal};
use crate::fields::{self, Fields};
use crate::wire::Request;

/// The longest request target, in bytes.
const MAX_TARGET: usize = 32 * 1024;

/// Checks a request's head.
pub(super) fn sanitize<B>(request: &Request<B>) -> Result<Upgrade, Refusal> {
    let Request {
        method,
        target,
        fields,
        ..
    } = request;
    if *method == Method::CONNECT || *method == Method::TRACE {
        return Err(
            Refusal::new(Kind::MethodNotAllowed, "CONNECT and TRACE are not relayed.")
                .allow("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        );
    }
    if target.as_bytes().len() > MAX_TARGET {
        return Err(Refusal::new(
            Kind::UriTooLong,
            "The request target is longer than 32 KiB.",
        ));
    }
    check_path(target.path()).map_err(malformed)?;
    if !is_old_health_check(request.version, target.path(), fields) {
        check_host(request.authority.as_ref(), fields).map_err(malformed)?;
    }
    check_origin(fields).map_err(malformed)?;
    Ok(wanted_upgrade(fields))
}

/// RFC 9112 section 3.2 asks for a host from HTTP/1.1 on, and load balancers check with HTTP/1.0 and none.
fn is_old_health_check(version: Version, path: &[u8], fields: &Fields) -> bool {
    version == Version::HTTP_10
        && matches!(path, b"/health" | b"/ready")
        && !fields.contains(&header::HOST)
}

fn malformed(reason: &'static str) -> Refusal {
    Refusal::new(Kind::Malformed, reason)
}

/// The path jail: nothing that an upstream could normalise into another path.
pub(super) fn check_path(path: &[u8]) -> Result<(), &'static str> {
    if !path.starts_with(b"/") {
        return Err("The request target must be a path that starts with a slash.");
    }
    // Nearly all paths are plain; one look tells.
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'%' | b'.' | b'\\');
    let pairs = path.iter().zip(&path[1..]);
    let is_plain = pairs.fold(true, |plain, (one, next)| {
        plain & is_plain(*next) & !((*one == b'/') & (*next == b'/'))
    });
    if is_plain {
        return Ok(());
    }
    check_closely(path)
}

fn check_closely(path: &[u8]) -> Result<(), &'static str> {
    let holds = |what: &[u8]| path.windows(what.len()).any(|window| window == what);
    if !path.iter().all(u8::is_ascii_graphic) {
        return Err("The path holds bytes outside printable ASCII; percent-encode them.");
    }
    if holds(b"\\") {
        return Err("The path holds a backslash.");
    }
    if holds(b"%00") {
        return Err("The path holds an encoded NUL.");
    }
    if holds(b"//") {
        return Err("The path holds an empty segment.");
    }
    if segments(path).any(is_dot_segment) {
        return Err("The path holds a `.` or `..` segment.");
    }
    Ok(())
}

/// Splits at `/` and at what a decoder would turn into a separator (`%2f`, `%5c`).
fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(path);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let end = (0..bytes.len()).find_map(|at| Some((at, separator_length(&bytes[at..])?)));
        match end {
            Some((at, length)) => {
                rest = Some(&bytes[at + length..]);
                Some(&bytes[..at])
            }
            None => rest.take(),
        }
    })
}

fn separator_length(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'/', ..] => Some(1),
        [b'%', b'2', b'f' | b'F', ..] | [b'%', b'5', b'c' | b'C', ..] => Some(3),
        _ => None,
    }
}

/// `.` or `..` after decoding once.
fn is_dot_segment(segment: &[u8]) -> bool {
    let mut rest = segment;
    let mut dots = 0;
    while !rest.is_empty() {
        rest = match rest {
            [b'.', tail @ ..] | [b'%', b'2', b'e' | b'E', tail @ ..] => tail,
            _ => return false,
        };
        dots += 1;
    }
    dots == 1 || dots == 2
}

/// Exactly one valid host (RFC 9112 section 3.2); HTTP/2 may carry it as `:authority`.
fn check_host(authority: Option<&Authority>, fields: &Fields) -> Result<(), &'static str> {
    let mut hosts = fields.get_all(&header::HOST);
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err("The request carries more than one Host header.");
    }
    match first {
        Some(host) => {
            let host = fields::text(host).filter(|host| is_host(host));
            let host = host.ok_or("The Host header is not a host.")?;
            // RFC 9113 section 8.3.1.
            match authority {
                Some(authority) if authority != host => {
                    Err("The Host header differs from :authority.")
                }
                _ => Ok(()),
            }
        }
        None if authority.is_some() => Ok(()),
        None => Err("The request carries no Host header."),
    }
}

/// A host with or without a port (RFC 9110 section 7.2).
fn is_host(text: &str) -> bool {
    is_plain_host(text) || is_odd_host(text)
}

/// A name or an IPv4 address, as nearly all are.
fn is_plain_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "80"));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    !host.is_empty() && host.bytes().all(is_name) && is_port
}

fn is_odd_host(text: &str) -> bool {
    let Ok(authority) = text.parse::<Authority>() else {
        return false;
    };
    let host = authority.host();
    let port = match text.strip_prefix(host) {
        Some("") => return !host.is_empty(),
        Some(rest) => rest.strip_prefix(':'),
        None => None,
    };
    let is_port = |digits: &str| {
        digits.is_empty()
            || digits.bytes().all(|digit| digit.is_ascii_digit()) && digits.parse::<u16>().is_ok()
    };
    !host.is_empty() && port.is_some_and(is_port)
}

/// At most one readable origin: access is decided on it.
fn check_origin(fields: &Fields) -> Result<(), &'static str> {
    let mut origins = fields.get_all(&header::ORIGIN);
    match (origins.next(), origins.next()) {
        (None, _) => Ok(()),
        (Some(origin), None) if fields::text(origin).is_some() => Ok(()),
        _ => Err("The request carries more than one Origin header, or an unreadable one."),
    }
}

fn wanted_upgrade(fields: &Fields) -> Upgrade {
    let Some(protocol) = fields.get(&header::UPGRADE) else {
        return Upgrade::None;
    };
    if !fields::lists(fields, &header::CONNECTION, "upgrade") {
        return Upgrade::None;
    }
    match protocol {
        name if name.eq_ignore_ascii_case(b"websocket") => Upgrade::WebSocket,
        name if name.eq_ignore_ascii_case(b"h2c") => Upgrade::None,
        _ => Upgrade::Other,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    /// What the strictest and the laxest upstream could make of a path: every decoding level,
    /// both kinds of slash, dot segments removed.
    fn normalised(path: &str, rounds: usize) -> String {
        let mut text = path.to_owned();
        for _ in 0..rounds {
            text = text.replace("%2e", ".").replace("%2E", ".");
            text = text.replace("%2f", "/").replace("%2F", "/");
            text = text.replace("%5c", "/").replace("%5C", "/");
        }
        let mut kept: Vec<&str> = Vec::new();
        for segment in text.split(['/', '\\']) {
            match segment {
                "" | "." => {}
                ".." => {
                    kept.pop();
                }
                _ => kept.push(segment),
            }
        }
        format!("/{}", kept.join("/"))
    }

    #[test]
    fn honest_paths_pass() {
        let honest = [
            "/v1/models",
            "/v1/files/a%2Fb",
            "/v1/files/%E6%97%A5",
            "/v1/x%0Ay",
            "/v1/models/",
            "/v1/a/.hidden",
            "/v1/a/...",
            "/v1/%252e%252e/a",
            "/v1/a:b/c;d=e,f@g",
            "/v1/%zz",
        ];
        for path in honest {
            assert_eq!(check_path(path.as_bytes()), Ok(()), "{path}");
        }
    }

    #[test]
    fn paths_that_could_leave_v1_are_refused() {
        let escapes = [
            "",
            "v1/models",
            "/v1/../admin",
            "/v1/%2e%2e/admin",
            "/v1/.%2E/admin",
            "/v1/a%2F..%2Fb",
            "/v1/a%5c..%5Cb",
            "/v1/a/.",
            "/v1/./a",
            "/v1//evil/a",
            "//evil/v1/a",
            "/v1/a\\b",
            "/v1/a%00b",
            "/v1/\u{e9}",
            "/v1/a b",
            "/v1/%2f..",
        ];
        for path in escapes {
            assert!(check_path(path.as_bytes()).is_err(), "{path}");
        }
    }

    #[test]
    fn a_request_names_exactly_one_host() {
        let with = |hosts: &[&'static str]| {
            let hosts = hosts.iter();
            let hosts = hosts.map(|host| (header::HOST, HeaderValue::from_static(host)));
            check_host(None, &hosts.collect())
        };
        for host in [
            "localhost",
            "127.0.0.1:8080",
            "[::1]:8080",
            "relay.example.com",
        ] {
            assert_eq!(with(&[host]), Ok(()), "{host}");
        }
        for hosts in [
            &[][..],
            &["a", "b"],
            &["a", "a"],
            &[""],
            &["a/b"],
            &["u@h"],
            &["a b"],
        ] {
            assert!(with(hosts).is_err(), "{hosts:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]
        #[test]
        fn a_plain_host_is_a_host(text in "[a-z0-9.:@%-]{0,12}") {
            prop_assert!(!is_plain_host(&text) || is_odd_host(&text), "{}", text);
        }

        #[test]
        fn a_plain_path_needs_no_closer_look(path in "/[a-z./%2e\\\\ ]{0,8}") {
            let path = path.as_bytes();
            prop_assert_eq!(check_path(path), check_closely(path));
        }

        #[test]
        fn no_accepted_path_normalises_out_of_v1(
            tail in "([a-z./]|%2[eEfF]|%5[cC]|%25|\\\\|;|%00){0,24}"
        ) {
            let path = format!("/v1/{tail}");
            if check_path(path.as_bytes()).is_ok() {
                let seen = normalised(&path, 1);
                prop_assert!(seen == "/v1" || seen.starts_with("/v1/"), "{path} -> {seen}");
            }
        }
    }
}
