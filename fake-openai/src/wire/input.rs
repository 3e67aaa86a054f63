//! Reads requests off a connection, and notes what arrived as it arrives.

use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::head::{Framing, Head};
use crate::record::{KEPT, Received, hexadecimal};

const MAX_HEAD: usize = 256 * 1024;
const CHUNK: usize = 64 * 1024;

/// Why a request could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The client left.
    Gone,
    /// What came is not a request that OpenAI would take.
    Malformed(String),
}

/// The reading side of a connection.
pub(crate) struct Input<R> {
    reader: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Input<R> {
    pub(crate) fn new(reader: R) -> Input<R> {
        Input {
            reader,
            buffer: Vec::new(),
        }
    }

    /// The next request's head; `Gone` where the client closed between requests.
    pub(crate) async fn head(&mut self) -> Result<Head, ReadError> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let raw: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return Head::parse(&raw).map_err(ReadError::Malformed);
            }
            if find(&self.buffer, b"\n\n").is_some() || self.buffer.len() > MAX_HEAD {
                return Err(ReadError::Malformed("the head does not end".to_owned()));
            }
            self.fill().await?;
        }
    }

    /// Reads a body to its end, telling `note` of every step so that partial ones are seen too.
    pub(crate) async fn body(
        &mut self,
        head: &Head,
        note: impl Fn(&dyn Fn(&mut Received)),
    ) -> Result<Vec<u8>, ReadError> {
        let framing = head.framing().map_err(ReadError::Malformed)?;
        let mut body = Vec::new();
        let mut digest = Sha256::new();
        let mut trailers = Vec::new();
        match framing {
            Framing::None => {}
            Framing::Sized(length) => self.take(length, &mut body, &mut digest, &note).await?,
            Framing::Chunked => {
                note(&|record| record.chunked = true);
                loop {
                    let size = self.chunk_size().await?;
                    if size == 0 {
                        break;
                    }
                    self.take(size, &mut body, &mut digest, &note).await?;
                    if self.line().await? != b"" {
                        return Err(malformed("a chunk is longer than it says"));
                    }
                }
                trailers = self.trailers().await?;
            }
        }
        let sha256 = hexadecimal(&digest.finalize());
        note(&|record| {
            record.body_sha256.clone_from(&sha256);
            record.trailers.clone_from(&trailers);
            record.complete = true;
        });
        Ok(body)
    }

    async fn take(
        &mut self,
        length: u64,
        body: &mut Vec<u8>,
        digest: &mut Sha256,
        note: &impl Fn(&dyn Fn(&mut Received)),
    ) -> Result<(), ReadError> {
        let mut left = usize::try_from(length).unwrap_or(usize::MAX);
        while left > 0 {
            if self.buffer.is_empty() {
                self.fill().await?;
            }
            let piece: Vec<u8> = self.buffer.drain(..left.min(self.buffer.len())).collect();
            left -= piece.len();
            digest.update(&piece);
            note(&|record| {
                record.body_len += piece.len() as u64;
                let room = KEPT.saturating_sub(record.body.len());
                record
                    .body
                    .extend_from_slice(&piece[..room.min(piece.len())]);
            });
            body.extend_from_slice(&piece);
        }
        Ok(())
    }

    async fn chunk_size(&mut self) -> Result<u64, ReadError> {
        let line = self.line().await?;
        let text = String::from_utf8_lossy(&line).into_owned();
        let digits = text.split(';').next().unwrap_or_default();
        let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = is_hex
            .then(|| u64::from_str_radix(digits, 16).ok())
            .flatten();
        size.ok_or_else(|| malformed("a chunk's size is not hexadecimal"))
    }

    async fn trailers(&mut self) -> Result<Vec<(String, Vec<u8>)>, ReadError> {
        let mut trailers = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(trailers);
            }
            let text = String::from_utf8_lossy(&line).into_owned();
            let (name, value) = text
                .split_once(':')
                .ok_or_else(|| malformed("a bad trailer"))?;
            trailers.push((name.to_owned(), value.trim().as_bytes().to_vec()));
        }
    }

    /// A line without its CRLF; a bare line feed is malformed.
    async fn line(&mut self) -> Result<Vec<u8>, ReadError> {
        loop {
            if let Some(end) = find(&self.buffer, b"\n") {
                let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
                line.pop();
                return match line.pop() {
                    Some(b'\r') => Ok(line),
                    _ => Err(malformed("a line ends in a bare line feed")),
                };
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(malformed("a line does not end"));
            }
            self.fill().await?;
        }
    }

    /// More bytes, or `Gone`.
    async fn fill(&mut self) -> Result<(), ReadError> {
        self.buffer.reserve(CHUNK);
        match self.reader.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => Err(ReadError::Gone),
            Ok(_) => Ok(()),
        }
    }

    /// The socket itself for another protocol, and what was read of that already.
    pub(crate) fn upgraded(&mut self) -> (&mut R, Vec<u8>) {
        (&mut self.reader, std::mem::take(&mut self.buffer))
    }

    /// Ends when the client closes its side; bytes that come meanwhile are kept for later.
    pub(crate) async fn closed(&mut self) {
        while self.buffer.len() < MAX_HEAD {
            if self.fill().await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}

fn malformed(what: &str) -> ReadError {
    ReadError::Malformed(what.to_owned())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    async fn read(bytes: &[u8]) -> Result<(Vec<u8>, Received), ReadError> {
        let mut input = Input::new(bytes);
        let head = input.head().await?;
        let record = RefCell::new(head.record(0));
        let body = input
            .body(&head, |change| change(&mut record.borrow_mut()))
            .await?;
        Ok((body, record.into_inner()))
    }

    #[tokio::test]
    async fn a_chunked_body_with_trailers_is_read_to_its_end() {
        let request = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
            3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nX-T: 1\r\n\r\n";
        let (body, record) = read(request).await.expect("a request");
        assert_eq!(body, b"abcde");
        assert!(record.complete && record.chunked);
        assert_eq!(record.trailers, vec![("X-T".to_owned(), b"1".to_vec())]);
    }

    #[tokio::test]
    async fn sloppy_chunks_are_refused() {
        for chunks in [
            "3\nabc\r\n0\r\n\r\n",
            "0x3\r\nabc\r\n0\r\n\r\n",
            "2\r\nabc\r\n0\r\n\r\n",
            " 3\r\nabc\r\n0\r\n\r\n",
        ] {
            let request =
                format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
            let error = read(request.as_bytes()).await.expect_err("refused");
            assert!(matches!(error, ReadError::Malformed(_)), "{chunks:?}");
        }
    }

    #[tokio::test]
    async fn a_body_that_stops_early_is_gone_and_not_complete() {
        let request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc";
        assert!(matches!(read(request).await, Err(ReadError::Gone)));
    }
}
