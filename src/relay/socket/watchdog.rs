//! Pure: when a session's silence asks for a ping, and when it has lasted too long. Reads no
//! clock; every call is told the time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::frame::Sender;

/// One side of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Upstream,
}

/// How much silence is allowed; `None` for any.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Of one side, before it is pinged, and again before it is given up.
    pub heartbeat: Option<Duration>,
    /// Of both sides, without a message.
    pub inactivity: Option<Duration>,
    /// Of the whole session, however busy.
    pub session: Option<Duration>,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing before then.
    Wait(Instant),
    /// Nothing at all.
    Rest,
    /// Ask this side whether it is there, and say when the question has left.
    Ping(Side),
    /// This side did not answer.
    Gone(Side),
    /// Nobody has said anything for too long.
    Inactive,
    /// It has lasted long enough.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    No,
    /// A ping waits for its turn to be written.
    Soon,
    /// A ping has left.
    Yes,
}

/// Watches over one session. Thousands of them idle: times are nanoseconds since the start, which
/// last for 584 years.
#[derive(Debug)]
pub(super) struct Watchdog {
    patience: Arc<Patience>,
    start: Instant,
    message: u64,
    /// When each side was heard last; once a ping has left, when that was.
    since: [u64; 2],
    asked: [Asked; 2],
}

impl Side {
    /// As what it sends its frames.
    pub(super) fn sender(self) -> Sender {
        match self {
            Side::Client => Sender::Client,
            Side::Upstream => Sender::Server,
        }
    }

    pub(super) fn other(self) -> Side {
        match self {
            Side::Client => Side::Upstream,
            Side::Upstream => Side::Client,
        }
    }
}

impl Watchdog {
    pub(super) fn new(patience: Arc<Patience>, now: Instant) -> Watchdog {
        Watchdog {
            patience,
            start: now,
            message: 0,
            since: [0; 2],
            asked: [Asked::No; 2],
        }
    }

    /// Bytes came from this side, or nobody listens to it for the moment.
    pub(super) fn heard(&mut self, side: Side, now: Instant) {
        self.note(side, now, Asked::No);
    }

    /// When a side was heard last, or was asked.
    pub(super) fn last(&self) -> Instant {
        self.at(self.since[0].max(self.since[1]))
    }

    /// What was heard last from this side belongs to a message.
    pub(super) fn message(&mut self, side: Side) {
        self.message = self.since[side as usize];
    }

    /// The ping that was asked for has left.
    pub(super) fn pinged(&mut self, side: Side, now: Instant) {
        if self.asked[side as usize] == Asked::Soon {
            self.note(side, now, Asked::Yes);
        }
    }

    /// What to do at this time.
    pub(super) fn judge(&mut self, now: Instant) -> Verdict {
        let mut next = None;
        for (limit, since, verdict) in [
            (self.patience.session, self.start, Verdict::Over),
            (
                self.patience.inactivity,
                self.at(self.message),
                Verdict::Inactive,
            ),
        ] {
            let Some(limit) = limit else { continue };
            let due = since + limit;
            if due <= now {
                return verdict;
            }
            next = earlier(next, due);
        }
        let Some(heartbeat) = self.patience.heartbeat else {
            return wait(next);
        };
        // Neither can be asked in the middle of the other's frame.
        if self.asked == [Asked::Soon; 2] {
            let due = self.last() + 2 * heartbeat;
            if due <= now {
                return Verdict::Gone(Side::Client);
            }
            next = earlier(next, due);
        }
        for side in [Side::Client, Side::Upstream] {
            let verdict = match self.asked[side as usize] {
                Asked::No => Verdict::Ping(side),
                Asked::Soon => continue,
                Asked::Yes => Verdict::Gone(side),
            };
            let due = self.at(self.since[side as usize]) + heartbeat;
            if due <= now {
                if verdict == Verdict::Ping(side) {
                    self.asked[side as usize] = Asked::Soon;
                }
                return verdict;
            }
            next = earlier(next, due);
        }
        wait(next)
    }

    fn note(&mut self, side: Side, now: Instant, asked: Asked) {
        let since = now.saturating_duration_since(self.start);
        let nanos = since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos());
        self.since[side as usize] = nanos;
        self.asked[side as usize] = asked;
    }

    fn at(&self, nanos: u64) -> Instant {
        self.start + Duration::from_nanos(nanos)
    }
}

fn earlier(one: Option<Instant>, other: Instant) -> Option<Instant> {
    Some(one.map_or(other, |one| one.min(other)))
}

fn wait(next: Option<Instant>) -> Verdict {
    next.map_or(Verdict::Rest, Verdict::Wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const BEAT: Duration = Duration::from_secs(30);

    fn watchdog(heartbeat: bool, inactivity: Option<Duration>) -> (Watchdog, Instant) {
        let patience = Patience {
            heartbeat: heartbeat.then_some(BEAT),
            inactivity,
            session: None,
        };
        let now = Instant::now();
        (Watchdog::new(Arc::new(patience), now), now)
    }

    #[test]
    fn a_silent_side_is_asked_once_and_given_up_one_heartbeat_after_the_question_left() {
        let (mut dog, start) = watchdog(true, None);
        assert_eq!(dog.judge(start), Verdict::Wait(start + BEAT));
        dog.heard(Side::Upstream, start + 29 * SECOND);
        let asked = start + BEAT;
        assert_eq!(dog.judge(asked), Verdict::Ping(Side::Client));
        // While the ping waits for its turn the side is not blamed.
        assert_eq!(
            dog.judge(asked + 10 * SECOND),
            Verdict::Wait(start + 59 * SECOND)
        );
        dog.pinged(Side::Client, asked + 10 * SECOND);
        dog.heard(Side::Upstream, asked + 20 * SECOND);
        assert_eq!(
            dog.judge(asked + 39 * SECOND),
            Verdict::Wait(asked + 40 * SECOND)
        );
        assert_eq!(dog.judge(asked + 40 * SECOND), Verdict::Gone(Side::Client));
    }

    #[test]
    fn any_byte_answers_a_ping() {
        let (mut dog, start) = watchdog(true, None);
        dog.heard(Side::Upstream, start + BEAT);
        assert_eq!(dog.judge(start + BEAT), Verdict::Ping(Side::Client));
        dog.pinged(Side::Client, start + BEAT);
        dog.heard(Side::Client, start + 31 * SECOND);
        dog.heard(Side::Upstream, start + 40 * SECOND);
        assert_eq!(
            dog.judge(start + 60 * SECOND),
            Verdict::Wait(start + 61 * SECOND)
        );
    }

    #[test]
    fn both_sides_are_asked_when_both_are_silent() {
        let (mut dog, start) = watchdog(true, None);
        assert_eq!(dog.judge(start + BEAT), Verdict::Ping(Side::Client));
        assert_eq!(dog.judge(start + BEAT), Verdict::Ping(Side::Upstream));
        let given_up = start + 2 * BEAT;
        assert_eq!(dog.judge(start + BEAT), Verdict::Wait(given_up));
    }

    #[test]
    fn pings_and_pongs_are_no_activity() {
        let (mut dog, start) = watchdog(true, Some(300 * SECOND));
        for beat in 1..10 {
            let now = start + beat * 29 * SECOND;
            dog.heard(Side::Client, now);
            dog.heard(Side::Upstream, now);
        }
        assert_eq!(dog.judge(start + 300 * SECOND), Verdict::Inactive);
        dog.heard(Side::Client, start + 200 * SECOND);
        dog.message(Side::Client);
        dog.heard(Side::Client, start + 300 * SECOND);
        dog.heard(Side::Upstream, start + 300 * SECOND);
        assert_eq!(
            dog.judge(start + 300 * SECOND),
            Verdict::Wait(start + 330 * SECOND)
        );
    }

    #[test]
    fn without_limits_there_is_nothing_to_wait_for() {
        let (mut dog, start) = watchdog(false, None);
        assert_eq!(dog.judge(start + 1_000_000 * SECOND), Verdict::Rest);
    }

    #[test]
    fn a_session_ends_at_its_limit_however_busy_it_is() {
        let (mut dog, start) = watchdog(true, None);
        dog.patience = Arc::new(Patience {
            session: Some(3900 * SECOND),
            ..*dog.patience
        });
        let end = start + 3900 * SECOND;
        dog.heard(Side::Client, end);
        dog.message(Side::Client);
        assert_eq!(dog.judge(end), Verdict::Over);
    }

    #[test]
    fn two_sides_that_stop_in_mid_frame_are_given_up_after_two_heartbeats() {
        let (mut dog, start) = watchdog(true, None);
        dog.heard(Side::Upstream, start + SECOND);
        assert_eq!(dog.judge(start + BEAT), Verdict::Ping(Side::Client));
        let asked = start + BEAT + SECOND;
        assert_eq!(dog.judge(asked), Verdict::Ping(Side::Upstream));
        // Neither ping can leave.
        let due = start + SECOND + 2 * BEAT;
        assert_eq!(dog.judge(asked), Verdict::Wait(due));
        assert_eq!(dog.judge(due), Verdict::Gone(Side::Client));
    }
}
