//! Pure: header fields, and what they mean to more than one room.
//!
//! Lists (RFC 9110 section 5.6.1) are read as bytes, so that one byte beyond ASCII cannot hide the
//! rest of one.

mod allowance;
mod lines;
mod name;
mod remembered;

use http::HeaderName;

pub use allowance::Allowance;
pub use lines::{Fields, Found, text};
pub use name::{Name, Names, join};

/// What proxies add to tell of the client's network.
pub const NETWORK: [&str; 9] = [
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
/// How more of these begin.
pub const NETWORK_PREFIXES: [&str; 2] = ["cf-", "x-forwarded-"];

/// The items of all lines of this name, in order and trimmed; empty ones included.
pub fn items<'a>(fields: &'a Fields, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    fields
        .get_all(name)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

/// Whether a line of this name lists the token, in any case.
pub fn lists(fields: &Fields, name: &HeaderName, token: &str) -> bool {
    items(fields, name).any(|item| item.eq_ignore_ascii_case(token.as_bytes()))
}

/// Whether a proxy adds this to tell of the client's network.
pub fn tells_of_network(name: Name<'_>) -> bool {
    static NAMES: Names<9> = Names::of(NETWORK).and_beginning(&NETWORK_PREFIXES);
    NAMES.contain(name)
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

    use super::*;

    #[test]
    fn lines_are_joined_and_odd_bytes_hide_nothing() {
        let mut headers = Fields::new();
        for line in [&b"close, \xff"[..], b"", b"\tX-Hop ,,\xc3\xa4"] {
            let value = HeaderValue::from_bytes(line).expect("a value");
            headers.append(&header::CONNECTION, &value);
        }
        let found: Vec<&[u8]> = items(&headers, &header::CONNECTION).collect();
        let expected: [&[u8]; 6] = [b"close", b"\xff", b"", b"X-Hop", b"", b"\xc3\xa4"];
        assert_eq!(found, expected);
        assert!(lists(&headers, &header::CONNECTION, "x-hop"));
        assert!(!lists(&headers, &header::CONNECTION, "x-ho"));
    }
}
