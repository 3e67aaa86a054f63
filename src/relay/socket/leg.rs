//! Leg: one side's connection, with the few bytes that the relay itself has to say on it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;

use super::frame::{self, Opcode, Sender};
use crate::wire::{Link, Pace};

/// Why nothing more can be written to a side.
#[derive(Debug)]
pub(super) enum WriteEnd {
    /// Its connection is broken.
    Broken(io::Error),
    /// It took next to nothing for too long.
    Stalled,
}

/// A connection to one side of a session.
pub(super) struct Leg {
    pub(super) link: Link,
    /// Frames of the relay's own that wait for a frame boundary.
    own: Vec<u8>,
    /// How many of their bytes have been written.
    own_written: usize,
    /// What the relay is when it writes here.
    role: Sender,
    pace: Pace,
}

impl Leg {
    /// `role`: as what the relay writes to this side; `stall`: how long the side may take nothing.
    pub(super) fn new(link: Link, role: Sender, stall: Duration) -> Leg {
        Leg {
            link,
            own: Vec::new(),
            own_written: 0,
            role,
            pace: Pace::of_progress(stall),
        }
    }

    /// Whether a frame of the relay's own waits, or has been written in part.
    pub(super) fn has_own(&self) -> bool {
        !self.own.is_empty()
    }

    /// Queues what comes before all frames.
    pub(super) fn begin(&mut self, head: Vec<u8>) {
        self.own = head;
    }

    /// Queues a frame of the relay's own.
    pub(super) fn say(&mut self, opcode: Opcode, payload: &[u8]) {
        let mask = match self.role {
            Sender::Client => Some(super::entropy::<4>()),
            Sender::Server => None,
        };
        frame::write_frame(&mut self.own, opcode, payload, mask);
    }

    /// Writes the relay's own frames. Call at a frame boundary only, and until it is done.
    pub(super) fn poll_own(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WriteEnd>> {
        while self.own_written < self.own.len() {
            let rest = &self.own[self.own_written..];
            let written = Pin::new(self.link.io()).poll_write(cx, rest);
            self.own_written += ready!(self.note(written, cx))?;
        }
        // Nothing is held for a session that idles.
        self.own = Vec::new();
        self.own_written = 0;
        self.pace.rest();
        Poll::Ready(Ok(()))
    }

    /// Passes on the first `length` bytes that the other side sent; how many went.
    pub(super) fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Link,
        length: usize,
    ) -> Poll<Result<usize, WriteEnd>> {
        let written = Pin::new(self.link.io()).poll_write(cx, &from.input[..length]);
        let written = ready!(self.note(written, cx))?;
        from.input.advance(written);
        if written == length {
            self.pace.rest();
        }
        Poll::Ready(Ok(written))
    }

    fn note(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, WriteEnd>> {
        match written {
            Poll::Ready(Ok(0)) => {
                let closed = io::Error::from(io::ErrorKind::WriteZero);
                Poll::Ready(Err(WriteEnd::Broken(closed)))
            }
            Poll::Ready(Ok(written)) => {
                self.pace.came(written);
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(WriteEnd::Broken(error))),
            Poll::Pending => {
                let too_slow = self.pace.poll_too_slow(cx);
                too_slow.map(|()| Err(WriteEnd::Stalled))
            }
        }
    }

    /// Ends the relay's side of the connection.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.link.io()).poll_shutdown(cx)
    }
}
