//! A request's head, parsed strictly: what a lax proxy lets through is noticed here.

use crate::record::Received;

/// The method, target and fields of a request, and the bytes they came in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) version: u8,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) raw: Vec<u8>,
}

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Sized(u64),
    Chunked,
}

const MAX_FIELDS: usize = 512;

impl Head {
    /// Parses bytes that end in an empty line; says what is wrong otherwise.
    pub(crate) fn parse(raw: &[u8]) -> Result<Head, String> {
        if has_bare_line_feed(raw) {
            return Err("a line of the head ends in a bare line feed".to_owned());
        }
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(raw) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err("the head is not complete".to_owned()),
            Err(error) => return Err(format!("the head is not HTTP: {error}")),
        }
        let headers = request.headers.iter();
        Ok(Head {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            version: request.version.unwrap_or_default(),
            headers: headers
                .map(|field| (field.name.to_owned(), field.value.to_vec()))
                .collect(),
            raw: raw.to_vec(),
        })
    }

    /// All values of a field.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers
            .iter()
            .filter(move |(have, _)| have.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }

    /// The first value of a field, as text.
    pub(crate) fn get<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name)
            .next()
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The target without its query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A value of the query, percent-decoded.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then(|| percent_decode(value))
        })
    }

    /// How the body is framed.
    pub(crate) fn framing(&self) -> Result<Framing, String> {
        let lengths: Vec<&[u8]> = self.all("content-length").collect();
        let codings: Vec<&[u8]> = self.all("transfer-encoding").collect();
        match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => Ok(Framing::None),
            ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            ([], _) => Err("Transfer-Encoding is not exactly `chunked`".to_owned()),
            ([length], []) => std::str::from_utf8(length)
                .ok()
                .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|text| text.parse().ok())
                .map(Framing::Sized)
                .ok_or_else(|| "Content-Length is not a number".to_owned()),
            (_, []) => Err("more than one Content-Length".to_owned()),
            _ => Err("both Content-Length and Transfer-Encoding".to_owned()),
        }
    }

    /// Whether the client waits for a 100 before it sends the body.
    pub(crate) fn expects_continue(&self) -> bool {
        self.get("expect")
            .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    }

    /// Whether the connection may serve another request afterwards.
    pub(crate) fn keeps_alive(&self) -> bool {
        let says = |word: &str| {
            self.all("connection").any(|value| {
                String::from_utf8_lossy(value)
                    .split(',')
                    .any(|token| token.trim().eq_ignore_ascii_case(word))
            })
        };
        if self.version == 0 {
            says("keep-alive")
        } else {
            !says("close")
        }
    }

    /// The beginning of a record of this request.
    pub(crate) fn record(&self, connection: usize) -> Received {
        Received {
            method: self.method.clone(),
            target: self.target.clone(),
            version: self.version,
            headers: self.headers.clone(),
            raw_head: self.raw.clone(),
            connection,
            ..Received::default()
        }
    }
}

fn has_bare_line_feed(raw: &[u8]) -> bool {
    raw.iter()
        .enumerate()
        .any(|(at, byte)| *byte == b'\n' && (at == 0 || raw[at - 1] != b'\r'))
}

/// Decodes `%XX`; anything else stays as it is.
pub(crate) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                decoded.push(byte);
                at += 3;
            }
            _ => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(fields: &str) -> Result<Framing, String> {
        let raw = format!("POST /v1/x HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        Head::parse(raw.as_bytes()).and_then(|head| head.framing())
    }

    #[test]
    fn only_one_clear_framing_is_taken() {
        assert_eq!(framing(""), Ok(Framing::None));
        assert_eq!(framing("Content-Length: 5\r\n"), Ok(Framing::Sized(5)));
        assert_eq!(
            framing("Transfer-Encoding: chunked\r\n"),
            Ok(Framing::Chunked)
        );
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: \r\n",
            "Transfer-Encoding: identity, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ] {
            assert!(framing(fields).is_err(), "{fields}");
        }
    }

    #[test]
    fn a_bare_line_feed_is_noticed() {
        assert!(Head::parse(b"GET / HTTP/1.1\nHost: a\r\n\r\n").is_err());
        assert!(Head::parse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_ok());
    }
}
