//! Pure: which headers travel, in both directions. Two tables and the rules of `Connection`.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::fields::{self, Fields, Name, Names};

/// Between two neighbours only (RFC 9110 section 7.6.1), or about the connection.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// What a request does not carry upstream besides: credentials, cookies, and what tells of the
/// client's page; what tells of its network is in [`fields::NETWORK`].
const PRIVATE: [&str; 7] = [
    "authorization",
    "cookie",
    "cookie2",
    "host",
    "origin",
    "referer",
    // May hold a credential, and means nothing without an upgrade.
    "sec-websocket-protocol",
];

/// What a request does not carry upstream: one set, because each of its names is held against it.
static NOT_UP: Names<26> = {
    const OWN: [&str; 17] = fields::join(HOP_BY_HOP, PRIVATE);
    Names::of(fields::join(OWN, fields::NETWORK)).and_beginning(&fields::NETWORK_PREFIXES)
};

/// Switches preview interfaces on.
const OPENAI_BETA: HeaderName = HeaderName::from_static("openai-beta");

/// Go up for callers that may name an organization.
static ORGANIZATION: Names<2> = Names::of(["openai-organization", "openai-project"]);

/// What an answer does not carry down besides: cookies, and what would act on the operator's own
/// domain.
const FOREIGN: [&str; 10] = [
    "alt-svc",
    "clear-site-data",
    "nel",
    "public-key-pins",
    "public-key-pins-report-only",
    "report-to",
    "reporting-endpoints",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
];

/// What an answer does not carry down, the upstream's CORS rules too.
static NOT_DOWN: Names<20> =
    Names::of(fields::join(HOP_BY_HOP, FOREIGN)).and_beginning(&["access-control-"]);

/// Leaves of a client's headers what the upstream may see; the caller adds host and credential.
pub(super) fn strip_request(fields: &mut Fields, may_name_organization: bool) {
    // `TE: trailers` is the one hop-by-hop promise that the relay can keep on both sides.
    let takes_trailers = fields::lists(fields, &header::TE, "trailers");
    strip(fields, |name| {
        NOT_UP.contain(name) || (!may_name_organization && ORGANIZATION.contain(name))
    });
    if takes_trailers {
        fields.insert(&header::TE, &HeaderValue::from_static("trailers"));
    }
}

/// Of a client's wish for a socket only what is about the session goes up: the relay has a wish of
/// its own. The retired beta's marker would end the session (wire.md 5.3).
pub(super) fn strip_socket_request(fields: &mut Fields) {
    strip_socket_answer(fields);
    strip_beta(fields);
}

/// What belongs to one handshake, either way.
pub(super) fn strip_socket_answer(fields: &mut Fields) {
    for name in [
        header::SEC_WEBSOCKET_ACCEPT,
        header::SEC_WEBSOCKET_EXTENSIONS,
        header::SEC_WEBSOCKET_KEY,
        header::SEC_WEBSOCKET_PROTOCOL,
        header::SEC_WEBSOCKET_VERSION,
        header::CONTENT_LENGTH,
    ] {
        fields.remove(&name);
    }
}

/// Takes the marker of the retired Realtime beta out of `OpenAI-Beta`; other entries stay.
pub fn strip_beta(fields: &mut Fields) {
    let is_marker = |entry: &[u8]| entry.eq_ignore_ascii_case(b"realtime=v1");
    if !fields::items(fields, &OPENAI_BETA).any(is_marker) {
        return;
    }
    let kept: Vec<&[u8]> = fields::items(fields, &OPENAI_BETA)
        .filter(|entry| !is_marker(entry) && !entry.is_empty())
        .collect();
    let kept = kept.join(&b", "[..]);
    fields.remove(&OPENAI_BETA);
    if let Ok(value) = HeaderValue::from_bytes(&kept)
        && !kept.is_empty()
    {
        fields.append(&OPENAI_BETA, &value);
    }
}

/// Leaves of a client's trailers what the upstream may see: nothing that a head would not carry,
/// and no framing (RFC 9110 section 6.5.1).
pub(super) fn strip_request_trailers(trailers: &mut HeaderMap) {
    let mut fields = Fields::from(&*trailers);
    strip_request(&mut fields, false);
    for name in [header::CONTENT_LENGTH, header::TE] {
        fields.remove(&name);
    }
    *trailers = fields.to_map();
}

/// Leaves of the upstream's trailers what the client may see.
pub(super) fn strip_response_trailers(trailers: &mut HeaderMap) {
    let mut fields = Fields::from(&*trailers);
    strip_response(&mut fields);
    fields.remove(&header::CONTENT_LENGTH);
    *trailers = fields.to_map();
}

/// Leaves of the upstream's headers what the client may see.
pub(super) fn strip_response(fields: &mut Fields) {
    strip(fields, |name| NOT_DOWN.contain(name));
}

/// Removes what the rule names, and what the `Connection` lines name.
fn strip(fields: &mut Fields, is_dropped: impl Fn(Name<'_>) -> bool) {
    let named: Vec<Vec<u8>> = fields::items(fields, &header::CONNECTION)
        // Mostly `keep-alive`, which goes anyway.
        .filter(|item| !is_dropped(Name::of(item)))
        .map(<[u8]>::to_vec)
        .collect();
    let has_underscores = fields.has_underscores();
    fields.retain(|name| {
        let is_dropped = is_dropped(name)
            || named.iter().any(|named| Name::of(named).is(name))
            // `content_length` is `Content-Length` to some servers behind CGI.
            || (has_underscores && name.as_bytes().contains(&b'_') && is_alias(name, &is_dropped));
        !is_dropped
    });
}

fn is_alias(name: Name<'_>, is_dropped: impl Fn(Name<'_>) -> bool) -> bool {
    let mut plain = name.as_bytes().to_vec();
    for byte in plain.iter_mut().filter(|byte| **byte == b'_') {
        *byte = b'-';
    }
    let plain = Name::of(&plain);
    plain.is(Name::from(&header::CONTENT_LENGTH)) || is_dropped(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Fields {
        let pairs = pairs.iter().map(|(name, value)| {
            let name: HeaderName = name.parse().expect("a name");
            (name, HeaderValue::from_str(value).expect("a value"))
        });
        pairs.collect()
    }

    #[test]
    fn what_connection_names_stays_on_its_hop() {
        let mut up = headers(&[
            ("connection", "close, X-Secret-Hop"),
            ("connection", "x-other"),
            ("x-secret-hop", "1"),
            ("x-other", "1"),
            ("x-kept", "1"),
        ]);
        strip_request(&mut up, true);
        assert_eq!(up, headers(&[("x-kept", "1")]));
    }

    #[test]
    fn an_underscore_does_not_bring_a_dropped_header_back() {
        let mut up = headers(&[
            ("content_length", "5"),
            ("x_forwarded_for", "1.2.3.4"),
            ("transfer_encoding", "chunked"),
            ("my_own", "1"),
        ]);
        strip_request(&mut up, true);
        assert_eq!(up, headers(&[("my_own", "1")]));
    }

    #[test]
    fn only_trailers_survive_of_te() {
        let mut up = headers(&[("te", "gzip;q=0.5, Trailers")]);
        strip_request(&mut up, true);
        assert_eq!(up, headers(&[("te", "trailers")]));
        let mut other = headers(&[("te", "gzip")]);
        strip_request(&mut other, true);
        assert_eq!(other, Fields::new());
    }

    #[test]
    fn the_retired_betas_marker_leaves_and_other_entries_stay() {
        let mut up = headers(&[
            (
                "openai-beta",
                "realtime=v1, responses_websockets=2026-02-06",
            ),
            ("openai-beta", "assistants=v2"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("x-kept", "1"),
        ]);
        strip_socket_request(&mut up);
        let entries = "responses_websockets=2026-02-06, assistants=v2";
        assert_eq!(up, headers(&[("x-kept", "1"), ("openai-beta", entries)]));
        let mut alone = headers(&[("openai-beta", "Realtime=V1")]);
        strip_socket_request(&mut alone);
        assert_eq!(alone, Fields::new());
    }

    #[test]
    fn organization_headers_go_up_only_for_those_who_may() {
        let sent = headers(&[("openai-organization", "org-1"), ("openai-project", "p")]);
        let (mut may, mut may_not) = (sent.clone(), sent.clone());
        strip_request(&mut may, true);
        strip_request(&mut may_not, false);
        assert_eq!(may, sent);
        assert_eq!(may_not, Fields::new());
    }

    #[test]
    fn duplicates_of_what_travels_keep_their_order() {
        let sent = headers(&[("x-a", "1"), ("x-a", "2"), ("accept", "*/*")]);
        let mut up = sent.clone();
        strip_request(&mut up, true);
        assert_eq!(up, sent);
    }

    #[test]
    fn an_answer_cannot_act_on_the_operators_domain() {
        let mut down = headers(&[
            ("strict-transport-security", "max-age=1"),
            ("set-cookie", "__cf_bm=1"),
            ("access-control-allow-origin", "*"),
            ("access-control-expose-headers", "X-Request-ID"),
            ("alt-svc", "h3=\":443\""),
            ("cf-ray", "1"),
            ("x-request-id", "req_1"),
        ]);
        strip_response(&mut down);
        assert_eq!(down, headers(&[("cf-ray", "1"), ("x-request-id", "req_1")]));
    }
}
