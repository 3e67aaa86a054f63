//! Alarm: when a session has to look at what bounds it.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::task::coop;
use tokio::time::{Instant, Sleep};

/// One timer, moved whenever something else is due first.
pub(super) struct Alarm(Pin<Box<Awaited>>);

pin_project! {
    /// In one block: thousands of sessions idle with one each.
    struct Awaited {
        #[pin]
        sleep: Sleep,
        // Whether it wakes the session's task when it is time.
        is_awaited: bool,
    }
}

impl Alarm {
    /// For this time.
    pub(super) fn at(due: Instant) -> Alarm {
        Alarm(Box::pin(Awaited {
            sleep: tokio::time::sleep_until(due),
            is_awaited: false,
        }))
    }

    /// What it is set for.
    pub(super) fn due(&self) -> Instant {
        self.0.sleep.deadline()
    }

    /// Moves it; it has to be polled again.
    pub(super) fn set(&mut self, due: Instant) {
        let awaited = self.0.as_mut().project();
        awaited.sleep.reset(due);
        *awaited.is_awaited = false;
    }

    /// Whether it will wake the session's task, so that it need not be polled.
    pub(super) fn is_awaited(&self) -> bool {
        self.0.is_awaited && !self.0.sleep.is_elapsed()
    }

    /// Ready when it is time. Always to be called by the same task.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let awaited = self.0.as_mut().project();
        // What bounds a session holds also while both sides keep up with a flood that takes all budget.
        let polled = pin!(coop::unconstrained(awaited.sleep)).poll(cx);
        *awaited.is_awaited = polled.is_pending();
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn an_alarm_need_not_be_polled_before_its_time_once_it_knows_whom_to_wake() {
        let start = Instant::now();
        let mut alarm = Alarm::at(start + SECOND);
        assert!(!alarm.is_awaited());
        assert!(poll_fn(|cx| Poll::Ready(alarm.poll(cx))).await.is_pending());
        assert!(alarm.is_awaited());
        tokio::time::sleep(2 * SECOND).await;
        assert!(!alarm.is_awaited());
        // It has to be told anew.
        alarm.set(start + 3 * SECOND);
        assert!(!alarm.is_awaited());
        poll_fn(|cx| alarm.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_is_heard_by_a_task_without_budget() {
        let mut alarm = Alarm::at(Instant::now());
        tokio::time::advance(SECOND).await;
        poll_fn(|cx| {
            while coop::has_budget_remaining() {
                assert!(pin!(coop::consume_budget()).poll(cx).is_ready());
            }
            assert!(alarm.poll(cx).is_ready());
            Poll::Ready(())
        })
        .await;
    }
}
