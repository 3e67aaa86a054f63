//! What reached the stand-in, byte for byte.

/// How much of a body is kept.
pub(crate) const KEPT: usize = 1024 * 1024;

/// One request as it arrived.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// The method as sent.
    pub method: String,
    /// The request target as sent.
    pub target: String,
    /// The minor version of HTTP/1.
    pub version: u8,
    /// The fields in order, names as sent.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The head's bytes, the empty line included.
    pub raw_head: Vec<u8>,
    /// The first MiB of the body, without its framing.
    pub body: Vec<u8>,
    /// Bytes of the body that arrived.
    pub body_len: u64,
    /// SHA-256 of the body that arrived, in hexadecimal; set when it is complete.
    pub body_sha256: String,
    /// Fields behind the last chunk.
    pub trailers: Vec<(String, Vec<u8>)>,
    /// Whether the body came in chunks.
    pub chunked: bool,
    /// Whether the whole body arrived.
    pub complete: bool,
    /// On which connection, counted from 0.
    pub connection: usize,
}

impl Received {
    /// The first value of a field, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(have, _)| have.eq_ignore_ascii_case(name));
        found.and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// All values of a field, lossily as text.
    pub fn header_all(&self, name: &str) -> Vec<String> {
        self.headers
            .iter()
            .filter(|(have, _)| have.eq_ignore_ascii_case(name))
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            .collect()
    }
}

/// Two digits per byte.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
