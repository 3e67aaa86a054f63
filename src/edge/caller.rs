//! What the wire claims about the caller. Nothing here is verified, nothing here decides.

use http::header;

use crate::admission::Claim;
use crate::fields::{self, Fields};

/// Carries a credential where a browser cannot set headers (wire.md 5.2).
const KEY_PROTOCOL: &str = "openai-insecure-api-key.";

/// The one scheme that is understood (RFC 6750 section 2.1), in any case.
const BEARER: &[u8] = b"bearer ";

/// Reads the credential from whichever carrier holds it: `Authorization: Bearer`, or, on an
/// upgrade, the subprotocol list. Never from the query.
pub(super) fn read_claim(fields: &Fields, is_upgrade: bool) -> Claim<'_> {
    let mut values = fields.get_all(&header::AUTHORIZATION);
    match (values.next(), values.next()) {
        (Some(value), None) => bearer(value),
        (Some(_), Some(_)) => Claim::Unreadable,
        (None, _) if is_upgrade => key_protocol(fields),
        (None, _) => Claim::None,
    }
}

fn bearer(value: &[u8]) -> Claim<'_> {
    match value.split_at_checked(BEARER.len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(BEARER) => {
            fields::text(token).map_or(Claim::Unreadable, read_token)
        }
        _ => Claim::Unreadable,
    }
}

/// A token that could travel in a header, and nothing else: it may have to go upstream in one.
pub(super) fn read_token(token: &str) -> Claim<'_> {
    let token = token.trim_ascii();
    if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        Claim::Token(token)
    } else {
        Claim::Unreadable
    }
}

fn key_protocol(fields: &Fields) -> Claim<'_> {
    let mut keys = fields::items(fields, &header::SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|entry| std::str::from_utf8(entry).ok())
        .filter_map(|entry| entry.strip_prefix(KEY_PROTOCOL));
    match (keys.next(), keys.next()) {
        (None, _) => Claim::None,
        (Some(key), None) => read_token(key),
        _ => Claim::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Fields {
        let pairs = pairs.iter().map(|(name, value)| {
            let name: HeaderName = name.parse().expect("a name");
            (name, HeaderValue::from_str(value).expect("a value"))
        });
        pairs.collect()
    }

    #[test]
    fn a_bearer_token_is_read_whatever_the_case_of_its_scheme() {
        for value in ["Bearer t0ken", "bearer t0ken", "BEARER  t0ken "] {
            let headers = headers(&[("authorization", value)]);
            assert_eq!(
                read_claim(&headers, false),
                Claim::Token("t0ken"),
                "{value}"
            );
        }
    }

    #[test]
    fn what_is_not_one_bearer_token_is_unreadable() {
        for value in ["Basic dTpw", "Bearer", "Bearer ", "t0ken", ""] {
            let headers = headers(&[("authorization", value)]);
            assert_eq!(read_claim(&headers, true), Claim::Unreadable, "{value}");
        }
        let twice = headers(&[("authorization", "Bearer a"), ("authorization", "Bearer a")]);
        assert_eq!(read_claim(&twice, false), Claim::Unreadable);
    }

    #[test]
    fn a_subprotocol_carries_a_key_on_upgrades_only() {
        let list = "realtime, openai-insecure-api-key.k1, openai-beta.realtime-v1";
        let headers = headers(&[("sec-websocket-protocol", list)]);
        assert_eq!(read_claim(&headers, true), Claim::Token("k1"));
        assert_eq!(read_claim(&headers, false), Claim::None);
    }

    #[test]
    fn the_key_may_stand_anywhere_in_the_list_but_only_once() {
        let first = headers(&[(
            "sec-websocket-protocol",
            "openai-insecure-api-key.k1, realtime",
        )]);
        assert_eq!(read_claim(&first, true), Claim::Token("k1"));
        let lines = headers(&[
            ("sec-websocket-protocol", "realtime"),
            ("sec-websocket-protocol", "openai-insecure-api-key.k1"),
        ]);
        assert_eq!(read_claim(&lines, true), Claim::Token("k1"));
        let two = headers(&[(
            "sec-websocket-protocol",
            "openai-insecure-api-key.k1, openai-insecure-api-key.k2",
        )]);
        assert_eq!(read_claim(&two, true), Claim::Unreadable);
    }

    #[test]
    fn the_header_wins_over_the_subprotocol() {
        let both = headers(&[
            ("authorization", "Bearer h"),
            ("sec-websocket-protocol", "openai-insecure-api-key.p"),
        ]);
        assert_eq!(read_claim(&both, true), Claim::Token("h"));
    }
}
