//! Direction: what moves from one side of a session to the other, whatever is done with it, and why it ends.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::frame::{Close, Violation};
use super::leg::{Leg, WriteEnd};
use super::open::Rules;
use super::watchdog::{Side, Watchdog};

/// Why a direction moves no more.
#[derive(Debug)]
pub(super) enum PumpEnd {
    /// A close frame went through.
    Closed,
    /// All messages that had begun went through, as was asked.
    Halted,
    /// The source closed its connection without a word.
    Eof,
    /// The source's connection broke.
    Unreadable(std::io::Error),
    /// The source sent something that is no WebSocket.
    Violation(Violation),
    /// The destination takes no more.
    Unwritable(WriteEnd),
    /// There is no memory for a message of its size.
    Overloaded,
}

impl From<Violation> for PumpEnd {
    fn from(violation: Violation) -> PumpEnd {
        PumpEnd::Violation(violation)
    }
}

/// One direction of a session, whatever it does with what it moves.
pub(super) trait Direction {
    /// What both directions of a session share.
    type Shared;

    /// A direction at its start, from this side.
    fn new(source: Side) -> Self;

    /// Moves what can be moved now; ready when there is no more to move.
    fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Leg,
        to: &mut Leg,
        dog: &mut Watchdog,
        rules: &Rules,
        shared: &mut Self::Shared,
    ) -> Poll<PumpEnd> {
        let stall = rules.stall(self.source().other());
        let max_message = rules.max_message;
        loop {
            if !self.is_clear(from, to) {
                if let Err(end) = ready!(self.poll_write(cx, from, to, dog, stall)) {
                    return Poll::Ready(PumpEnd::Unwritable(end));
                }
                if self.close().is_some() {
                    return Poll::Ready(PumpEnd::Closed);
                }
                if self.has_halted() {
                    return Poll::Ready(PumpEnd::Halted);
                }
                match self.take(from, dog, max_message, shared) {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(end) => return Poll::Ready(end),
                }
            }
            match ready!(self.poll_read(cx, from, to, dog, rules, shared)) {
                Ok(true) => {}
                Ok(false) => return Poll::Ready(PumpEnd::Eof),
                Err(end) => return Poll::Ready(end),
            }
        }
    }

    /// Whether there is nothing to do but to read: mostly.
    fn is_clear(&self, from: &Leg, to: &Leg) -> bool;

    /// Reads more, and may let it go on at once; `false` at the end of what the source sends.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Leg,
        to: &mut Leg,
        dog: &mut Watchdog,
        rules: &Rules,
        shared: &mut Self::Shared,
    ) -> Poll<Result<bool, PumpEnd>>;

    /// Writes what may go on, and where frames or messages end what the relay itself has to say.
    /// `stall`: how long the destination may take nothing.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Leg,
        to: &mut Leg,
        dog: &mut Watchdog,
        stall: Duration,
    ) -> Poll<Result<(), WriteEnd>>;

    /// Takes in what was read; whether anything was taken. `max_message`: in bytes of payload.
    fn take(
        &mut self,
        from: &mut Leg,
        dog: &mut Watchdog,
        max_message: u64,
        shared: &mut Self::Shared,
    ) -> Result<bool, PumpEnd>;

    /// The side that it comes from.
    fn source(&self) -> Side;

    /// Messages and bytes of their payload that came since this was called last.
    fn take_counts(&mut self) -> (u32, u32);

    /// What the source's close frame said.
    fn close(&self) -> Option<&Close>;

    /// Whether a frame of the relay's own may follow what has gone.
    fn is_at_frame_end(&self) -> bool;

    /// Whether a message of the relay's own may follow what has gone.
    fn is_at_message_end(&self) -> bool;

    /// Whether the source is not read, because what it sent has yet to go on.
    fn is_blocked(&self) -> bool;

    /// Stops at the end of the message at hand.
    fn halt(&mut self);

    /// Whether it has stopped there.
    fn has_halted(&self) -> bool;
}
