//! Pure: what header fields mean to more than one room.
//!
//! Lists (RFC 9110 section 5.6.1) are read as bytes, so that one byte beyond ASCII cannot hide the
//! rest of one.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The items of all lines of this name, in order and trimmed; empty ones included.
pub fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

/// Whether a line of this name lists the token, in any case.
pub fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    items(headers, name).any(|item| item.eq_ignore_ascii_case(token.as_bytes()))
}

/// What proxies add to tell of the client's network; a name in lower case.
pub fn tells_of_network(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "fastly-client-ip",
        "forwarded",
        "true-client-ip",
        "via",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-envoy-external-address",
        "x-original-forwarded-for",
        "x-real-ip",
    ];
    name.starts_with("cf-") || name.starts_with("x-forwarded-") || NAMES.contains(&name)
}

/// What is left of a limit on requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// How many requests it holds.
    pub limit: u32,
    /// How many would be let in now.
    pub remaining: u32,
    /// When it is whole again.
    pub reset: Duration,
}

impl Allowance {
    /// Tells of it as OpenAI tells of its own (wire.md 1.3), unless that is told already.
    pub fn write(&self, headers: &mut HeaderMap) {
        let is_told = headers
            .keys()
            .any(|name| name.as_str().starts_with("x-ratelimit-"));
        if is_told {
            return;
        }
        const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
        const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
        const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        let reset = HeaderValue::try_from(Span(self.reset).to_string());
        headers.insert(RESET, reset.expect("digits and letters"));
    }
}

/// A time as OpenAI writes it: `120ms`, `1.5s`, `6m0s`.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total_ms = self.0.as_micros().div_ceil(1000);
        if total_ms < 1000 {
            return write!(out, "{total_ms}ms");
        }
        let (total_s, ms) = (total_ms / 1000, total_ms % 1000);
        let (h, m, s) = (total_s / 3600, total_s / 60 % 60, total_s % 60);
        if h > 0 {
            write!(out, "{h}h")?;
        }
        if h > 0 || m > 0 {
            write!(out, "{m}m")?;
        }
        match ms {
            0 => write!(out, "{s}s"),
            ms => write!(out, "{}s", format!("{s}.{ms:03}").trim_end_matches('0')),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    #[test]
    fn lines_are_joined_and_odd_bytes_hide_nothing() {
        let mut headers = HeaderMap::new();
        for line in [&b"close, \xff"[..], b"", b"\tX-Hop ,,\xc3\xa4"] {
            let value = HeaderValue::from_bytes(line).expect("a value");
            headers.append(header::CONNECTION, value);
        }
        let found: Vec<&[u8]> = items(&headers, &header::CONNECTION).collect();
        let expected: [&[u8]; 6] = [b"close", b"\xff", b"", b"X-Hop", b"", b"\xc3\xa4"];
        assert_eq!(found, expected);
        assert!(lists(&headers, &header::CONNECTION, "x-hop"));
        assert!(!lists(&headers, &header::CONNECTION, "x-ho"));
    }

    #[test]
    fn an_allowance_is_told_in_openais_form_unless_the_upstream_told_its_own() {
        let allowance = Allowance {
            limit: 60,
            remaining: 59,
            reset: Duration::from_millis(1500),
        };
        let mut headers = HeaderMap::new();
        allowance.write(&mut headers);
        for (name, value) in [("limit", "60"), ("remaining", "59"), ("reset", "1.5s")] {
            assert_eq!(headers[format!("x-ratelimit-{name}-requests")], value);
        }
        let mut told = HeaderMap::new();
        told.insert("x-ratelimit-limit-tokens", HeaderValue::from_static("7"));
        let before = told.clone();
        allowance.write(&mut told);
        assert_eq!(told, before);
    }

    #[test]
    fn spans_are_written_as_openai_writes_them() {
        for (micros, text) in [
            (0, "0ms"),
            (1, "1ms"),
            (120_000, "120ms"),
            (1_000_000, "1s"),
            (8_640_000, "8.64s"),
            (360_000_000, "6m0s"),
            (90_951_000, "1m30.951s"),
            (3_600_000_000, "1h0m0s"),
        ] {
            assert_eq!(Span(Duration::from_micros(micros)).to_string(), text);
        }
    }
}
