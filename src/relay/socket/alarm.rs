//! Alarm: when a session has to look at what bounds it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::coop;
use tokio::time::{Instant, Sleep};

/// One timer, moved whenever something else is due first.
pub(super) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    /// Whether it wakes the session's task when it is time.
    is_awaited: bool,
}

impl Alarm {
    /// For this time.
    pub(super) fn at(due: Instant) -> Alarm {
        Alarm {
            sleep: Box::pin(tokio::time::sleep_until(due)),
            is_awaited: false,
        }
    }

    /// What it is set for.
    pub(super) fn due(&self) -> Instant {
        self.sleep.deadline()
    }

    pub(super) fn set(&mut self, due: Instant) {
        self.sleep.as_mut().reset(due);
        self.is_awaited = false;
    }

    /// Whether it will wake the session's task later than `now`, so that it need not be polled.
    pub(super) fn is_ahead_of(&self, now: Instant) -> bool {
        self.is_awaited && now < self.due()
    }

    /// Ready when it is time. Always to be called by the same task.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.sleep.as_mut().poll(cx);
        // Without budget the task is woken at once, and not by the timer.
        self.is_awaited = polled.is_pending() && coop::has_budget_remaining();
        polled
    }
}
