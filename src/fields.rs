//! Pure: what header fields mean to more than one room.
//!
//! Lists (RFC 9110 section 5.6.1) are read as bytes, so that one byte beyond ASCII cannot hide the
//! rest of one.

use http::{HeaderMap, HeaderName};

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

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

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
}
