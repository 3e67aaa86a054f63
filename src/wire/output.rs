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
}

impl Output {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
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

    /// Writes until nothing waits; the bytes of one write, or 0 when there was nothing to do.
    pub fn poll_write<W: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut W,
    ) -> Poll<io::Result<usize>> {
        if self.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let written = if self.queue.is_empty() {
            ready!(Pin::new(io).poll_write(cx, &self.tail))?
        } else {
            self.close_tail();
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0;
            for (slice, bytes) in slices.iter_mut().zip(&self.queue) {
                *slice = IoSlice::new(bytes);
                count += 1;
            }
            ready!(Pin::new(io).poll_write_vectored(cx, &slices[..count]))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(written);
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
        if self.is_empty() {
            // Nothing is held for a connection that idles.
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
