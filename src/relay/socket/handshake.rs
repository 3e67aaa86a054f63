//! Pure: what a client offers when it asks for a WebSocket (RFC 6455 section 4.2), and what it is
//! answered.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header};

use super::deflate;
use crate::error::{Kind, Refusal};
use crate::fields;
use crate::relay::beta::marker;

/// RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The one subprotocol that OpenAI speaks (wire.md 5.2).
pub(super) const REALTIME: &str = "realtime";
/// Entries of the list that carry something else than a protocol, secrets among it (wire.md 5.2).
const CARRIERS: [&str; 3] = [
    "openai-insecure-api-key.",
    "openai-organization.",
    "openai-project.",
];

/// A request for a WebSocket that can be answered.
#[derive(Clone, Debug)]
pub struct Handshake {
    accept: HeaderValue,
    protocol: Option<HeaderValue>,
    /// Whether a page asks: it cannot read the answer to a failed upgrade.
    is_page: bool,
    /// Whether the client speaks the retired beta.
    is_beta: bool,
    offers_deflate: bool,
}

impl Handshake {
    /// Reads the request's head. `has_body`: whether a body was announced, which none may have.
    pub fn read(
        method: &Method,
        version: Version,
        headers: &HeaderMap,
        has_body: bool,
    ) -> Result<Handshake, Refusal> {
        if method != Method::GET || version != Version::HTTP_11 || has_body {
            return Err(malformed(
                "A WebSocket is asked for with GET, HTTP/1.1 and no body.",
            ));
        }
        let is_thirteen = |value: &HeaderValue| value.as_bytes().trim_ascii() == b"13";
        if !single(headers, &header::SEC_WEBSOCKET_VERSION).is_some_and(is_thirteen) {
            return Err(Refusal::new(
                Kind::SocketVersion,
                "The relay speaks version 13 of WebSocket: send `Sec-WebSocket-Version: 13`.",
            ));
        }
        let key = single(headers, &header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
        let key = key.map(<[u8]>::trim_ascii).filter(|key| is_key(key));
        let key = key.ok_or_else(|| {
            malformed("`Sec-WebSocket-Key` must be there once and hold 16 bytes in base64.")
        })?;
        Ok(Handshake {
            accept: accept(key),
            protocol: protocol(headers),
            is_page: headers.contains_key(header::ORIGIN),
            is_beta: marker::is_marked(headers),
            offers_deflate: deflate::is_offered(headers),
        })
    }

    /// Whether a page asks.
    pub fn is_page(&self) -> bool {
        self.is_page
    }

    /// Whether the client speaks the retired beta.
    pub(super) fn is_beta(&self) -> bool {
        self.is_beta
    }

    /// Whether the client can take compressed messages.
    pub(super) fn offers_deflate(&self) -> bool {
        self.offers_deflate
    }

    /// Whether `realtime` is what the client hears.
    pub(super) fn speaks_realtime(&self) -> bool {
        let protocol = self.protocol.as_ref();
        protocol.is_some_and(|protocol| protocol == REALTIME)
    }

    /// The answer that makes it a WebSocket.
    pub(super) fn switch<T>(&self, body: T) -> Response<T> {
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        if let Some(protocol) = &self.protocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol.clone());
        }
        response
    }
}

fn malformed(reason: &'static str) -> Refusal {
    Refusal::new(Kind::Malformed, reason)
}

fn single<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value),
        _ => None,
    }
}

fn is_key(key: &[u8]) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

/// A new key for the upstream leg.
pub(super) fn new_key() -> HeaderValue {
    text(STANDARD.encode(super::entropy::<16>()))
}

/// What a server answers to a key (RFC 6455 section 4.2.2).
pub(super) fn accept(key: &[u8]) -> HeaderValue {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(GUID);
    text(STANDARD.encode(context.finish()))
}

fn text(base64: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(base64.into_bytes()).expect("base64 is printable")
}

/// The entry that is echoed: `realtime` where it is offered, else the first that is a protocol.
/// Browsers fail a connection whose answer names none although they offered some.
fn protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = || {
        fields::items(headers, &header::SEC_WEBSOCKET_PROTOCOL)
            .filter_map(|entry| std::str::from_utf8(entry).ok())
            .filter(|entry| !entry.is_empty())
            .filter(|entry| !CARRIERS.iter().any(|prefix| entry.starts_with(prefix)))
    };
    let chosen = offered().find(|entry| *entry == REALTIME);
    let chosen = chosen.or_else(|| offered().next())?;
    HeaderValue::from_str(chosen).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ]
        .iter()
        .chain(pairs)
        {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn read(headers: &HeaderMap) -> Result<Handshake, Refusal> {
        Handshake::read(&Method::GET, Version::HTTP_11, headers, false)
    }

    fn echoed(list: &'static str) -> Option<String> {
        let handshake = read(&request(&[("sec-websocket-protocol", list)]));
        let response = handshake.expect("a handshake").switch(());
        let value = response.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
        value.map(|value| value.to_str().expect("text").to_owned())
    }

    #[test]
    fn the_answer_to_the_key_is_the_one_of_the_rfc() {
        let response = read(&request(&[])).expect("a handshake").switch(());
        assert_eq!(
            response.headers()[header::SEC_WEBSOCKET_ACCEPT],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn the_echoed_protocol_was_offered_and_is_no_secret() {
        assert_eq!(
            echoed("openai-insecure-api-key.k, realtime").as_deref(),
            Some("realtime")
        );
        assert_eq!(
            echoed("openai-insecure-api-key.k, openai-organization.o, openai-beta.realtime-v1")
                .as_deref(),
            Some("openai-beta.realtime-v1")
        );
        assert_eq!(echoed("openai-insecure-api-key.k"), None);
    }

    #[test]
    fn what_is_no_handshake_is_refused() {
        let mut two_keys = request(&[]);
        two_keys.append(
            "sec-websocket-key",
            HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="),
        );
        assert!(read(&two_keys).is_err());
        for key in ["", "short", "dGhlIHNhbXBsZSBub25j", "****"] {
            let mut headers = request(&[]);
            headers.insert("sec-websocket-key", HeaderValue::from_static(key));
            assert!(read(&headers).is_err(), "{key}");
        }
        let mut old = request(&[]);
        old.insert("sec-websocket-version", HeaderValue::from_static("8"));
        let refusal = read(&old).expect_err("refused");
        assert_eq!(refusal.status(), StatusCode::UPGRADE_REQUIRED);
        let sound = request(&[]);
        assert!(Handshake::read(&Method::POST, Version::HTTP_11, &sound, false).is_err());
        assert!(Handshake::read(&Method::GET, Version::HTTP_10, &sound, false).is_err());
        assert!(Handshake::read(&Method::GET, Version::HTTP_11, &sound, true).is_err());
    }
}
