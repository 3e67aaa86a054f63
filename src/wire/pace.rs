//! Time limits on a peer from whom bytes are expected. One timer each, set only while waiting.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::clock::lately;

/// Bytes that count as progress: who sends less in all of the time allowed wants to hold a
/// connection, not to send a body.
const ENOUGH: usize = 1024;

/// A timer that is moved only when it fires: mostly what is waited for comes before, and the next
/// wait ends later.
#[derive(Debug, Default)]
pub struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ready at this time.
    pub fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let new = || Box::pin(tokio::time::sleep_until(deadline));
        let timer = self.0.get_or_insert_with(new);
        loop {
            if timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}

/// Bounds how long may be waited for a peer without enough of its bytes coming. The time in which
/// nobody waits, because what came is still on its way elsewhere, does not count.
#[derive(Debug)]
pub struct Pace {
    limit: Duration,
    enough: usize,
    /// Waited in vain so far, while these bytes came.
    waited: Duration,
    came: usize,
    since: Option<Instant>,
    timer: Timer,
}

impl Pace {
    /// At least 1 KiB in each `limit` of waiting.
    pub fn of_progress(limit: Duration) -> Pace {
        Pace::new(limit, ENOUGH)
    }

    /// Any byte at all in each `limit` of waiting.
    pub fn of_silence(limit: Duration) -> Pace {
        Pace::new(limit, 1)
    }

    fn new(limit: Duration, enough: usize) -> Pace {
        Pace {
            limit,
            enough,
            waited: Duration::ZERO,
            came: 0,
            since: None,
            timer: Timer::default(),
        }
    }

    /// The same with a timer that has served before.
    #[must_use]
    pub fn with_timer(mut self, timer: Timer) -> Pace {
        self.timer = timer;
        self
    }

    /// The timer, for the next.
    pub fn into_timer(self) -> Timer {
        self.timer
    }

    /// Bytes have come.
    pub fn came(&mut self, bytes: usize) {
        self.came += bytes;
        if self.came >= self.enough {
            self.came = 0;
            self.waited = Duration::ZERO;
            self.since = None;
        } else {
            self.pause();
        }
    }

    /// Nobody waits for a while, because what came before has yet to go on.
    pub fn pause(&mut self) {
        if let Some(since) = self.since.take() {
            self.waited += lately().saturating_duration_since(since);
        }
    }

    /// Nothing is being waited for any more: the next wait begins anew.
    pub fn rest(&mut self) {
        self.came(self.enough);
    }

    /// Called while waiting; ready when it has been too long.
    pub fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(lately);
        let deadline = since + self.limit.saturating_sub(self.waited);
        self.timer.poll(cx, deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_too_slow(pace: &mut Pace) {
        std::future::poll_fn(|cx| pace.poll_too_slow(cx)).await;
    }

    async fn waits(pace: &mut Pace, wait: Duration) -> bool {
        tokio::time::timeout(wait, is_too_slow(pace)).await.is_ok()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn one_byte_ends_a_silence() {
        let mut pace = Pace::of_silence(10 * SECOND);
        for _ in 0..5 {
            assert!(!waits(&mut pace, 9 * SECOND).await);
            pace.came(1);
        }
        assert!(waits(&mut pace, 11 * SECOND).await);
    }

    #[tokio::test(start_paused = true)]
    async fn dribbled_bytes_are_no_progress() {
        let mut pace = Pace::of_progress(30 * SECOND);
        let start = Instant::now();
        while !waits(&mut pace, 10 * SECOND).await {
            pace.came(1);
        }
        assert_eq!(start.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_waits_does_not_count() {
        let mut pace = Pace::of_progress(30 * SECOND);
        for _ in 0..5 {
            assert!(!waits(&mut pace, 5 * SECOND).await);
            pace.pause();
            tokio::time::sleep(100 * SECOND).await;
            pace.came(1);
        }
        assert!(waits(&mut pace, 6 * SECOND).await);
    }

    #[tokio::test(start_paused = true)]
    async fn enough_progress_starts_the_time_anew() {
        let mut pace = Pace::of_progress(30 * SECOND);
        for _ in 0..10 {
            assert!(!waits(&mut pace, 25 * SECOND).await);
            pace.came(ENOUGH);
        }
        assert!(waits(&mut pace, 31 * SECOND).await);
    }
}
