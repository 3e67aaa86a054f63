//! What an upgrade has to look like (RFC 6455 section 4.2.1), and what accepts it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::errors;
use crate::wire::{Answer, Body, Head};

/// RFC 6455 section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a client asked for along with the upgrade.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offer {
    key: String,
    /// The subprotocols in order.
    pub(crate) subprotocols: Vec<String>,
    /// The extensions in order, with their parameters.
    pub(crate) extensions: Vec<String>,
}

/// Whether a request asks for a WebSocket, rightly or wrongly.
pub(crate) fn is_asked(head: &Head) -> bool {
    elements(head, "upgrade").any(|name| name.eq_ignore_ascii_case("websocket"))
}

/// What the request offers; the answer that refuses it where it breaks a rule.
pub(crate) fn check(head: &Head) -> Result<Offer, Box<Answer>> {
    let refused = |why: &str| {
        let message = format!("fake-openai refuses the upgrade: {why}");
        Err(Box::new(Answer::from(errors::bad_request(&message))))
    };
    if head.method != "GET" || head.version != 1 {
        return refused("it is not a GET of HTTP/1.1");
    }
    if head
        .all("content-length")
        .chain(head.all("transfer-encoding"))
        .next()
        .is_some()
    {
        return refused("it has a body");
    }
    let upgrades = elements(head, "connection").any(|name| name.eq_ignore_ascii_case("upgrade"));
    if !upgrades {
        return refused("Connection does not name Upgrade");
    }
    let versions: Vec<&[u8]> = head.all("sec-websocket-version").collect();
    if versions != [b"13"] {
        let answer = errors::error(426, "invalid_request_error", None, None, "Upgrade Required");
        return Err(Box::new(
            Answer::from(answer).with("sec-websocket-version", "13"),
        ));
    }
    let key = match head.all("sec-websocket-key").collect::<Vec<_>>()[..] {
        [key] => String::from_utf8_lossy(key).into_owned(),
        _ => return refused("there is not exactly one Sec-WebSocket-Key"),
    };
    if STANDARD.decode(&key).map(|bytes| bytes.len()) != Ok(16) {
        return refused("Sec-WebSocket-Key is not 16 bytes in base64");
    }
    let subprotocols: Vec<String> = elements(head, "sec-websocket-protocol").collect();
    for (at, name) in subprotocols.iter().enumerate() {
        if !is_token(name) || subprotocols[..at].contains(name) {
            return refused("Sec-WebSocket-Protocol is not a list of different tokens");
        }
    }
    Ok(Offer {
        key,
        subprotocols,
        extensions: elements(head, "sec-websocket-extensions").collect(),
    })
}

impl Offer {
    /// Whether permessage-deflate is among the extensions (RFC 7692).
    pub(crate) fn has_deflate(&self) -> bool {
        self.extensions.iter().any(|extension| {
            let name = extension.split(';').next().unwrap_or_default();
            name.trim().eq_ignore_ascii_case("permessage-deflate")
        })
    }

    /// The answer that accepts the upgrade, without extensions. `subprotocol`: the selected one.
    pub(crate) fn accept(&self, subprotocol: Option<&str>, is_wrong: bool) -> Answer {
        let proof = match is_wrong {
            true => proof("somebody else's key"),
            false => proof(&self.key),
        };
        let answer = Answer {
            status: 101,
            headers: Vec::new(),
            body: Body::None,
        };
        let answer = answer
            .with("connection", "Upgrade")
            .with("upgrade", "websocket")
            .with("sec-websocket-accept", proof);
        match subprotocol {
            Some(name) => answer.with("sec-websocket-protocol", name),
            None => answer,
        }
    }
}

fn proof(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}{GUID}")))
}

/// The elements of a list, over all fields of that name; empty ones do not count.
fn elements<'a>(head: &'a Head, name: &'a str) -> impl Iterator<Item = String> + 'a {
    head.all(name).flat_map(|value| {
        let text = String::from_utf8_lossy(value).into_owned();
        let parts: Vec<String> = text
            .split(',')
            .map(|part| part.trim().to_owned())
            .filter(|part| !part.is_empty())
            .collect();
        parts
    })
}

fn is_token(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [&str; 5] = [
        "Host: a",
        "Upgrade: websocket",
        "Connection: keep-alive, Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];

    fn checked(line: &str, fields: &[&str]) -> Result<Offer, u16> {
        let raw = format!("{line}\r\n{}\r\n\r\n", fields.join("\r\n"));
        let head = Head::parse(raw.as_bytes()).expect("a head");
        check(&head).map_err(|answer| answer.status)
    }

    #[test]
    fn the_proof_is_the_one_of_the_rfc() {
        assert_eq!(
            proof("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn an_upgrade_lists_what_it_offers() {
        let offers = [
            "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.sk-a",
            "Sec-WebSocket-Protocol: other",
            "Sec-WebSocket-Extensions: x, permessage-deflate; client_max_window_bits",
        ];
        let fields = [&GOOD[..], &offers].concat();
        let offer = checked("GET /v1/realtime HTTP/1.1", &fields).expect("an offer");
        let names = ["realtime", "openai-insecure-api-key.sk-a", "other"];
        assert_eq!(offer.subprotocols, names);
        assert!(offer.has_deflate());
    }

    #[test]
    fn whatever_is_missing_or_wrong_refuses_the_upgrade() {
        let line = "GET / HTTP/1.1";
        assert!(checked(line, &GOOD).is_ok());
        assert_eq!(checked("POST / HTTP/1.1", &GOOD).err(), Some(400));
        assert_eq!(checked("GET / HTTP/1.0", &GOOD).err(), Some(400));
        let cases = [
            (2, "Connection: keep-alive", 400),
            (3, "Sec-WebSocket-Version: 8", 426),
            (3, "X-Nothing: 1", 426),
            (4, "X-Nothing: 1", 400),
            (4, "Sec-WebSocket-Key: c2hvcnQ=", 400),
            (0, "Content-Length: 3", 400),
            (0, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", 400),
            (0, "Sec-WebSocket-Protocol: a/b", 400),
            (0, "Sec-WebSocket-Protocol: a, b, a", 400),
        ];
        for (at, field, status) in cases {
            let mut fields = GOOD;
            fields[at] = field;
            assert_eq!(checked(line, &fields).err(), Some(status), "{field}");
        }
    }
}
