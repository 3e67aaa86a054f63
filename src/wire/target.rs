//! The request target: path and query exactly as they were sent.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};

use bytes::Bytes;

/// Path and query as sent. May hold any byte that a line may hold; nothing is decoded or rebuilt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    sent: Bytes,
    /// Bytes of the path.
    path: usize,
}

impl Target {
    /// Of an absolute target only path and query count (RFC 9112 section 3.2.2); what is neither
    /// that nor a path is kept as it is.
    pub fn new(sent: Bytes) -> Target {
        let Some(at) = end_of_authority(&sent) else {
            return Target::of(sent);
        };
        let rest = sent.slice(at..);
        Target::of(match rest.first() {
            Some(b'/') => rest,
            _ => Bytes::from([b"/", &rest[..]].concat()),
        })
    }

    fn of(sent: Bytes) -> Target {
        // Looked for once: a dozen questions are asked about the path.
        let path = memchr::memchr(b'?', &sent).unwrap_or(sent.len());
        Target { sent, path }
    }

    /// All of it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.sent
    }

    /// Up to the query. A `#` has no meaning in a target and is part of the path.
    pub fn path(&self) -> &[u8] {
        &self.sent[..self.path]
    }

    /// Behind the first `?`; empty where there is none.
    pub fn query(&self) -> &[u8] {
        self.sent.get(self.path + 1..).unwrap_or_default()
    }

    /// The first value of a parameter of the query, as it was sent.
    pub fn parameter(&self, wanted: &str) -> Option<&str> {
        let mut pairs = self
            .query()
            .split(|byte| *byte == b'&')
            .filter_map(|pair| std::str::from_utf8(pair).ok())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| value)
    }

    /// The path as text, for what only looks at it.
    pub fn path_text(&self) -> Cow<'_, str> {
        match std::str::from_utf8(self.path()) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(self.path()),
        }
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.sent))
    }
}

/// Where the path begins in `http://host/path`.
fn end_of_authority(sent: &[u8]) -> Option<usize> {
    let start = ["http://", "https://"].iter().find_map(|scheme| {
        let first = sent.get(..scheme.len())?;
        first
            .eq_ignore_ascii_case(scheme.as_bytes())
            .then_some(scheme.len())
    })?;
    let length = sent[start..]
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    Some(length.map_or(sent.len(), |length| start + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_as_they_were_sent() {
        let target = Target::new(Bytes::from("/v1/x?a&model=m%20?&model=n&b="));
        for (name, value) in [
            ("a", Some("")),
            ("model", Some("m%20?")),
            ("b", Some("")),
            ("c", None),
        ] {
            assert_eq!(target.parameter(name), value, "{name}");
        }
        assert_eq!(Target::new(Bytes::from("/v1/x")).query(), b"");
    }

    #[test]
    fn only_an_absolute_target_loses_what_stands_before_its_path() {
        for (sent, kept, path) in [
            ("/v1/x?a=b", "/v1/x?a=b", "/v1/x"),
            ("/v1/x?u=http://h/p", "/v1/x?u=http://h/p", "/v1/x"),
            ("http://h:1/v1/x?a", "/v1/x?a", "/v1/x"),
            ("HTTPS://h/v1//x", "/v1//x", "/v1//x"),
            ("http://h", "/", "/"),
            ("http://h?a=b", "/?a=b", "/"),
            ("/v1/x#f?a", "/v1/x#f?a", "/v1/x#f"),
            ("*", "*", "*"),
            ("h:443", "h:443", "h:443"),
            ("ftp://h/x", "ftp://h/x", "ftp://h/x"),
        ] {
            let target = Target::new(Bytes::from(sent));
            assert_eq!(target.as_bytes(), kept.as_bytes(), "{sent}");
            assert_eq!(target.path(), path.as_bytes(), "{sent}");
        }
    }
}
