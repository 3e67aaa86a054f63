//! Tells HTTP/2 from HTTP/1.1 by the first bytes (RFC 9113 section 3.4), and gives them back.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose first bytes have been looked at.
#[derive(Debug)]
pub(super) struct Peeked<S> {
    stream: S,
    seen: [u8; PREFACE.len()],
    filled: usize,
    given: usize,
}

impl<S> Peeked<S> {
    /// Nothing looked at yet.
    pub(super) fn new(stream: S) -> Peeked<S> {
        Peeked {
            stream,
            seen: [0; PREFACE.len()],
            filled: 0,
            given: 0,
        }
    }
}

/// Reads no more than it takes to tell.
pub(super) async fn is_http2<S: AsyncRead + Unpin>(peeked: &mut Peeked<S>) -> io::Result<bool> {
    while peeked.filled < PREFACE.len() {
        let room = &mut peeked.seen[peeked.filled..];
        let read = peeked.stream.read(room).await?;
        peeked.filled += read;
        let seen = &peeked.seen[..peeked.filled];
        if read == 0 || !PREFACE.starts_with(seen) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl<S: AsyncRead + Unpin> AsyncRead for Peeked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.given < self.filled {
            let length = buf.remaining().min(self.filled - self.given);
            buf.put_slice(&self.seen[self.given..self.given + length]);
            self.given += length;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Peeked<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(first: &'static [u8]) -> (bool, Vec<u8>) {
        let mut peeked = Peeked::new(first);
        let is_http2 = is_http2(&mut peeked).await.expect("readable");
        let mut all = Vec::new();
        peeked.read_to_end(&mut all).await.expect("readable");
        (is_http2, all)
    }

    #[tokio::test]
    async fn only_the_whole_preface_means_http2_and_no_byte_is_lost() {
        let cases: [(&'static [u8], bool); 5] = [
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrest", true),
            (b"PRI * HTTP/2.0\r\n\r\nXX", false),
            (b"POST /v1/x HTTP/1.1\r\n\r\n", false),
            (b"PR", false),
            (b"", false),
        ];
        for (first, expected) in cases {
            assert_eq!(told(first).await, (expected, first.to_vec()));
        }
    }
}
