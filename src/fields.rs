//! Pure: comma-separated lists in header fields (RFC 9110 section 5.6.1), read as bytes, so that
//! one byte beyond ASCII cannot hide the rest of a list.

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
