//! Leg: one side's connection, with the few bytes that the relay itself has to say on it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::frame::{self, Opcode, Sender};
use crate::wire::{Link, Output, Pace};

/// Why nothing more can be written to a side.
#[derive(Debug)]
pub(super) enum WriteEnd {
    /// Its connection is broken.
    Broken(io::Error),
    /// It took next to nothing for too long.
    Stalled,
}

/// Frames of the relay's own that wait for a frame boundary.
#[derive(Default)]
struct Own {
    bytes: Vec<u8>,
    written: usize,
}

/// A connection to one side of a session.
pub(super) struct Leg {
    pub(super) link: Link,
    /// There while the relay has something of its own to say.
    own: Option<Box<Own>>,
    /// There while the side does not take what it is given.
    pace: Option<Box<Pace>>,
}

impl Leg {
    /// With nothing to say so far.
    pub(super) fn new(link: Link) -> Leg {
        Leg {
            link,
            own: None,
            pace: None,
        }
    }

    /// Whether a frame of the relay's own waits, or has been written in part.
    pub(super) fn has_own(&self) -> bool {
        self.own.is_some()
    }

    /// Queues what comes before all frames.
    pub(super) fn begin(&mut self, head: Vec<u8>) {
        self.own.get_or_insert_default().bytes = head;
    }

    /// Queues a frame of the relay's own; `role`: as what it writes to this side.
    pub(super) fn say(&mut self, role: Sender, opcode: Opcode, payload: &[u8]) {
        let mask = match role {
            Sender::Client => Some(super::entropy::<4>()),
            Sender::Server => None,
        };
        let own = self.own.get_or_insert_default();
        frame::write_frame(&mut own.bytes, opcode, payload, mask);
    }

    /// Writes the relay's own frames. Call at a frame boundary only, and until it is done. `stall`:
    /// how long the side may take nothing.
    pub(super) fn poll_own(
        &mut self,
        cx: &mut Context<'_>,
        stall: Duration,
    ) -> Poll<Result<(), WriteEnd>> {
        while let Some(own) = &mut self.own {
            let rest = &own.bytes[own.written..];
            if rest.is_empty() {
                ready!(self.poll_flush(cx, stall))?;
                // No room is kept for a session that idles.
                self.own = None;
                break;
            }
            let written = self.link.poll_write(cx, rest);
            let written = ready!(self.note(written, cx, stall))?;
            if let Some(own) = &mut self.own {
                own.written += written;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes some of these bytes, which came from the other side; how many.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        stall: Duration,
    ) -> Poll<Result<usize, WriteEnd>> {
        let written = self.link.poll_write(cx, bytes);
        let written = ready!(self.note(written, cx, stall))?;
        if written == bytes.len() && !self.is_held() {
            self.pace = None;
        }
        Poll::Ready(Ok(written))
    }

    /// Whether the end of what was written has yet to go.
    pub(super) fn is_held(&self) -> bool {
        self.link.is_held()
    }

    /// Lets go the end of what was written. `stall`: how long the side may take nothing.
    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        stall: Duration,
    ) -> Poll<Result<(), WriteEnd>> {
        let flushed = self.link.poll_flush(cx).map_ok(|()| 0);
        ready!(self.note(flushed, cx, stall))?;
        self.pace = None;
        Poll::Ready(Ok(()))
    }

    /// Writes some of what is queued for this side. `stall`: how long the side may take nothing.
    pub(super) fn poll_output(
        &mut self,
        cx: &mut Context<'_>,
        output: &mut Output,
        stall: Duration,
    ) -> Poll<Result<(), WriteEnd>> {
        let written = output.poll_write(cx, self.link.io());
        ready!(self.note(written, cx, stall))?;
        if output.is_empty() {
            self.pace = None;
        }
        Poll::Ready(Ok(()))
    }

    fn note(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
        stall: Duration,
    ) -> Poll<Result<usize, WriteEnd>> {
        match written {
            Poll::Ready(Ok(written)) => {
                if let Some(pace) = &mut self.pace {
                    pace.came(written);
                }
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(WriteEnd::Broken(error))),
            Poll::Pending => {
                let pace = || Box::new(Pace::of_progress(stall));
                let too_slow = self.pace.get_or_insert_with(pace).poll_too_slow(cx);
                too_slow.map(|()| Err(WriteEnd::Stalled))
            }
        }
    }

    /// Ends the relay's side of the connection.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.link.io()).poll_shutdown(cx)
    }
}
