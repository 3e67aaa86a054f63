//! Pure: what a client offers when it asks for a WebSocket (RFC 6455 section 4.2), and what it is
//! answered.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method, StatusCode, Version, header};
use http_body::Body;

use super::deflate;
use crate::error::{Kind, Refusal};
use crate::fields::{self, Fields};
use crate::relay::beta::marker;
use crate::wire::{Answer, Request};

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
    /// Reads the request's head.
    pub fn read<B: Body>(request: &Request<B>) -> Result<Handshake, Refusal> {
        let fields = &request.fields;
        let is_asked_rightly = request.method == Method::GET
            && request.version == Version::HTTP_11
            && request.body.is_end_stream();
        if !is_asked_rightly {
            return Err(malformed(
                "A WebSocket is asked for with GET, HTTP/1.1 and no body.",
            ));
        }
        let version = fields.single(&header::SEC_WEBSOCKET_VERSION);
        if version.map(<[u8]>::trim_ascii) != Some(b"13") {
            return Err(Refusal::new(
                Kind::SocketVersion,
                "The relay speaks version 13 of WebSocket: send `Sec-WebSocket-Version: 13`.",
            ));
        }
        let key = fields.single(&header::SEC_WEBSOCKET_KEY);
        let key = key.map(<[u8]>::trim_ascii).filter(|key| is_key(key));
        let key = key.ok_or_else(|| {
            malformed("`Sec-WebSocket-Key` must be there once and hold 16 bytes in base64.")
        })?;
        Ok(Handshake {
            accept: accept(key),
            protocol: protocol(fields),
            is_page: fields.contains(&header::ORIGIN),
            is_beta: marker::is_marked(fields),
            offers_deflate: deflate::is_offered(fields),
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
    pub(super) fn switch<T>(&self, body: T) -> Answer<T> {
        let mut answer = Answer::new(StatusCode::SWITCHING_PROTOCOLS, body);
        let lines = [
            (header::CONNECTION, HeaderValue::from_static("Upgrade")),
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (header::SEC_WEBSOCKET_ACCEPT, self.accept.clone()),
        ];
        answer.fields.extend(lines);
        if let Some(protocol) = &self.protocol {
            answer
                .fields
                .append(&header::SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        answer
    }
}

fn malformed(reason: &'static str) -> Refusal {
    Refusal::new(Kind::Malformed, reason)
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
fn protocol(fields: &Fields) -> Option<HeaderValue> {
    let offered = || {
        fields::items(fields, &header::SEC_WEBSOCKET_PROTOCOL)
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
    use bytes::Bytes;
    use http::HeaderName;

    use super::*;
    use crate::wire::Target;

    fn lines(pairs: &[(&str, &str)]) -> Fields {
        let pairs = pairs.iter().map(|(name, value)| {
            let name: HeaderName = name.parse().expect("a name");
            (name, HeaderValue::from_str(value).expect("a value"))
        });
        pairs.collect()
    }

    const VERSION: (&str, &str) = ("sec-websocket-version", "13");
    const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");

    fn request(fields: Fields, body: &'static str) -> Request<String> {
        Request {
            method: Method::GET,
            target: Target::new(Bytes::from_static(b"/")),
            version: Version::HTTP_11,
            authority: None,
            fields,
            body: body.to_owned(),
        }
    }

    fn read(pairs: &[(&str, &str)]) -> Result<Handshake, Refusal> {
        Handshake::read(&request(lines(pairs), ""))
    }

    fn echoed(list: &str) -> Option<String> {
        let handshake = read(&[VERSION, KEY, ("sec-websocket-protocol", list)]);
        let answer = handshake.expect("a handshake").switch(());
        let value = answer.fields.text(&header::SEC_WEBSOCKET_PROTOCOL);
        value.map(str::to_owned)
    }

    #[test]
    fn the_answer_to_the_key_is_the_one_of_the_rfc() {
        let answer = read(&[VERSION, KEY]).expect("a handshake").switch(());
        assert_eq!(
            answer.fields.text(&header::SEC_WEBSOCKET_ACCEPT),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
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
        assert!(read(&[VERSION, KEY, KEY]).is_err());
        for key in ["", "short", "dGhlIHNhbXBsZSBub25j", "****"] {
            assert!(
                read(&[VERSION, ("sec-websocket-key", key)]).is_err(),
                "{key}"
            );
        }
        let old = read(&[("sec-websocket-version", "8"), KEY]);
        let refusal = old.expect_err("refused");
        assert_eq!(refusal.status(), StatusCode::UPGRADE_REQUIRED);
        let sound = || request(lines(&[VERSION, KEY]), "");
        assert!(Handshake::read(&sound()).is_ok());
        let posted = Request {
            method: Method::POST,
            ..sound()
        };
        assert!(Handshake::read(&posted).is_err());
        let ancient = Request {
            version: Version::HTTP_10,
            ..sound()
        };
        assert!(Handshake::read(&ancient).is_err());
        assert!(Handshake::read(&request(lines(&[VERSION, KEY]), "x")).is_err());
    }
}
