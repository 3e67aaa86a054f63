//! What bounds a session in time: silence, its limits, a close that is not answered, and the relay's
//! own end.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::direction::Direction;
use super::ending::Ending;
use super::frame::Opcode;
use super::group::grouped;
use super::session::Relaying;
use super::watchdog::{Side, Verdict};

/// How long nothing is looked at where nothing has a limit.
const REST: Duration = Duration::from_secs(3600);

/// By when what has to happen in the end.
#[derive(Clone, Copy, Default)]
pub(super) struct Parting {
    /// When the session leaves of itself, once the relay shuts down.
    leave: Option<Instant>,
    /// When it is cut.
    deadline: Option<Instant>,
    /// When a close frame must have been answered.
    pub(super) close_by: Option<Instant>,
}

impl<D: Direction> Relaying<D> {
    /// Learns when to leave once the relay shuts down.
    pub(super) fn poll_departure(&mut self, cx: &mut Context<'_>) {
        if let Some(departure) = &mut self.departure
            && let Poll::Ready((at, deadline)) = departure.poll(cx)
        {
            self.departure = None;
            let parting = self.part();
            (parting.leave, parting.deadline) = (Some(at), Some(deadline));
            let due = at.min(self.alarm.due());
            self.alarm.set(due);
        }
    }

    /// Ready without an ending when there is something new to move.
    pub(super) fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ending>> {
        if self.alarm.is_awaited() {
            return Poll::Pending;
        }
        // Set for the earliest of all; mostly something is heard before, and it is moved then.
        while self.alarm.poll(cx).is_ready() {
            let now = Instant::now();
            let parting = self.parting.as_deref().copied().unwrap_or_default();
            if parting.deadline.is_some_and(|deadline| deadline <= now) {
                return Poll::Ready(Some(Ending::Cut));
            }
            if let Some(by) = parting.close_by {
                if by <= now {
                    return Poll::Ready(Some(Ending::Closed));
                }
                // It leaves already.
                self.part().leave = None;
                let due = self.no_later(by);
                self.alarm.set(due);
                continue;
            }
            if parting.leave.is_some_and(|at| at <= now) {
                self.part().leave = None;
                self.up.halt();
                self.down.halt();
                self.alarm.set(now);
                return Poll::Ready(None);
            }
            for (side, is_blocked) in [
                (
                    Side::Client,
                    self.up.is_blocked() || self.leg(Side::Upstream).is_held(),
                ),
                (
                    Side::Upstream,
                    self.down.is_blocked() || self.leg(Side::Client).is_held(),
                ),
            ] {
                if is_blocked {
                    if self.leg(side).link.is_closed() {
                        return Poll::Ready(Some(Ending::Gone(side)));
                    }
                    self.dog.heard(side, now);
                }
            }
            let due = match self.judge(now) {
                Ok(due) => self.no_later(grouped(due, now)),
                Err(ended) => return Poll::Ready(ended),
            };
            self.alarm.set(due);
        }
        Poll::Pending
    }

    /// When to look again, or else an ending, or nothing where there is something new to move.
    fn judge(&mut self, now: Instant) -> Result<Instant, Option<Ending>> {
        let ending = match self.dog.judge(now) {
            Verdict::Wait(due) => return Ok(due),
            Verdict::Rest => return Ok(now + REST),
            Verdict::Ping(side) => {
                let role = side.other().sender();
                self.leg(side)
                    .say(role, Opcode::Ping, super::ping_payload());
                self.alarm.set(now);
                return Err(None);
            }
            Verdict::Gone(side) => Ending::Silent(side),
            Verdict::Inactive => Ending::Inactive,
            Verdict::Over => Ending::Over,
        };
        Err(Some(ending))
    }

    /// By when what has to happen, from now on.
    pub(super) fn part(&mut self) -> &mut Parting {
        self.parting.get_or_insert_default()
    }

    /// A time to look again, or an earlier one that the relay's shutdown sets.
    pub(super) fn no_later(&self, due: Instant) -> Instant {
        let parting = self.parting.as_deref().copied().unwrap_or_default();
        [parting.leave, parting.deadline]
            .into_iter()
            .flatten()
            .fold(due, Instant::min)
    }
}
