//! Bytes on their way out: small ones are gathered, large ones are queued without a copy.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use tokio::io::AsyncWrite;

use super::chunked;
use super::spares::Spares;

/// From this size on a piece is queued as it is; below, one copy is cheaper than one more slice.
const LARGE: usize = 4 * 1024;
/// Room that a queue begins with, in bytes: most heads fit, the first piece of a body behind them.
const ROOM: usize = 2 * 1024;
/// Slices per write.
const SLICES: usize = 8;

thread_local! {
    static SPARES: Spares = const { Spares::of(ROOM) };
}

/// A queue of bytes.
#[derive(Debug, Default)]
pub struct Output {
    queue: VecDeque<Bytes>,
    tail: BytesMut,
    length: usize,
    /// Whether the end of what was written waits in the stream: TLS keeps what its socket does not take.
    is_held: bool,
}

impl Output {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing waits, in the stream neither.
    pub fn is_empty(&self) -> bool {
        self.length == 0 && !self.is_held
    }

    /// Whether the stream has taken everything, which it may hold yet.
    pub fn is_taken(&self) -> bool {
        self.length == 0
    }

    /// Appends what this writes.
    pub fn write(&mut self, writing: impl FnOnce(&mut BytesMut)) {
        if self.tail.capacity() == 0 {
            self.tail = SPARES.with(Spares::take);
        }
        let before = self.tail.len();
        writing(&mut self.tail);
        self.length += self.tail.len() - before;
    }

    /// Appends bytes of a body as they are.
    pub fn push(&mut self, bytes: Bytes) {
        if bytes.len() < LARGE {
            return self.write(|tail| tail.extend_from_slice(&bytes));
        }
        self.close_tail();
        self.length += bytes.len();
        self.queue.push_back(bytes);
    }

    /// Appends bytes of a body as a chunk.
    pub fn push_chunk(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            // An empty chunk would be the last one.
            return;
        }
        self.write(|tail| chunked::write_size(tail, bytes.len()));
        self.push(bytes);
        self.write(|tail| tail.extend_from_slice(b"\r\n"));
    }

    /// Appends the last chunk and the trailers.
    pub fn push_last_chunk(&mut self, trailers: Option<&HeaderMap>) {
        self.write(|tail| chunked::write_end(tail, trailers));
    }

    /// Writes some of what waits; how many bytes, 0 where the stream alone held some.
    pub fn poll_write<W: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut W,
    ) -> Poll<io::Result<usize>> {
        if self.length == 0 {
            if self.is_held {
                ready!(Pin::new(io).poll_flush(cx))?;
                self.is_held = false;
            }
            return Poll::Ready(Ok(0));
        }
        let written = if self.queue.is_empty() {
            ready!(Pin::new(&mut *io).poll_write(cx, &self.tail))?
        } else {
            self.close_tail();
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0;
            for (slice, bytes) in slices.iter_mut().zip(&self.queue) {
                *slice = IoSlice::new(bytes);
                count += 1;
            }
            ready!(Pin::new(&mut *io).poll_write_vectored(cx, &slices[..count]))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(written);
        if self.length == 0 {
            self.is_held = Pin::new(io).poll_flush(cx)?.is_pending();
        }
        Poll::Ready(Ok(written))
    }

    fn advance(&mut self, written: usize) {
        self.length -= written;
        let mut left = written;
        while left > 0 {
            let Some(first) = self.queue.front_mut() else {
                self.tail.advance(left);
                break;
            };
            let taken = left.min(first.len());
            first.advance(taken);
            left -= taken;
            if first.is_empty() {
                self.queue.pop_front();
            }
        }
        if self.length == 0 {
            // No room is kept for a connection that idles.
            let emptied = std::mem::take(self);
            SPARES.with(|spares| spares.keep(emptied.tail));
        }
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.queue.push_back(self.tail.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, BufWriter, duplex};

    use super::*;

    #[tokio::test]
    async fn nothing_is_gone_that_the_stream_holds() {
        let (near, mut far) = duplex(16);
        let mut stream = BufWriter::with_capacity(64, near);
        let mut output = Output::default();
        output.push(Bytes::from_static(&[b'x'; 40]));
        let written = poll_fn(|cx| output.poll_write(cx, &mut stream)).await;
        assert_eq!(written.expect("taken"), 40);
        assert!(output.is_taken() && !output.is_empty());

        let mut all = [0; 40];
        let rest = poll_fn(|cx| output.poll_write(cx, &mut stream));
        let (rest, read) = tokio::join!(rest, far.read_exact(&mut all));
        assert_eq!((rest.expect("flushed"), read.expect("read")), (0, 40));
        assert!(output.is_empty());
        assert_eq!(all, [b'x'; 40]);
    }
}
