//! Pure: how steadily a server is reached. What it says decides how soon it is tried again, and what
//! of it is told: a server that comes and goes is no news each time.

use std::time::Duration;

use tokio::time::Instant;

/// How long a link must last to count as steady.
pub(super) const LASTING: Duration = Duration::from_secs(10);
/// How often a server that is gone is tried again.
const RETRY: Duration = Duration::from_millis(250);
/// The same for one that comes and goes, at the most.
const MAX_RETRY: Duration = Duration::from_secs(30);
/// So many short links in a row may happen to a good server: it is restarted, moved, and restarted.
const FORGIVEN: u32 = 3;

/// What is known of one server.
#[derive(Debug, Default)]
pub(super) struct Steadiness {
    /// Since when there is a link.
    since: Option<Instant>,
    /// How many links in a row did not last.
    short: u32,
    /// What was told last: whether it is reached.
    told: Option<bool>,
}

impl Steadiness {
    /// There is a link now; true if that is news.
    pub(super) fn came(&mut self, now: Instant) -> bool {
        self.since = Some(now);
        self.short < FORGIVEN && self.tell(true)
    }

    /// The link has lasted; true if that is news.
    pub(super) fn lasted(&mut self) -> bool {
        self.short = 0;
        self.tell(true)
    }

    /// The link is gone, or there still is none; true if that is news.
    pub(super) fn went(&mut self, now: Instant) -> bool {
        if let Some(since) = self.since.take() {
            let is_short = now.duration_since(since) < LASTING;
            self.short = if is_short {
                self.short.saturating_add(1)
            } else {
                0
            };
        }
        self.tell(false)
    }

    /// How long to wait before the next try. `dice` is anything from 0 to 1: relays that lost a server
    /// together do not come back together.
    pub(super) fn pause(&self, dice: f64) -> Duration {
        let doublings = self.short.saturating_sub(FORGIVEN - 1).min(16);
        let pause = (RETRY * (1 << doublings)).min(MAX_RETRY);
        pause.mul_f64(1.0 + dice.clamp(0.0, 1.0) / 4.0)
    }

    fn tell(&mut self, is_reached: bool) -> bool {
        self.told.replace(is_reached) != Some(is_reached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn what_stays_is_told_once() {
        let start = Instant::now();
        let mut server = Steadiness::default();
        assert!(server.went(start) && !server.went(start));
        assert!(server.came(start) && !server.lasted());
        assert!(server.went(seconds(start, 60)) && !server.went(seconds(start, 60)));
        assert!(server.came(seconds(start, 61)));
        assert_eq!(server.pause(0.0), RETRY);
        assert!((RETRY..RETRY * 2).contains(&server.pause(1.0)));
    }

    #[test]
    fn what_comes_and_goes_is_tried_ever_less_often_and_told_no_more_until_it_lasts() {
        let start = Instant::now();
        let mut server = Steadiness::default();
        let (mut told, mut last) = (0, Duration::ZERO);
        for round in 0..1000 {
            let at = seconds(start, round * 60);
            told += u32::from(server.came(at));
            told += u32::from(server.went(at + LASTING / 2));
            assert!(server.pause(0.0) >= last && server.pause(0.0) <= MAX_RETRY);
            last = server.pause(0.0);
        }
        assert_eq!((told, last), (2 * FORGIVEN, MAX_RETRY));
        assert!(!server.came(start), "it has to last first");
        assert!(server.lasted() && !server.lasted());
        assert!(server.went(start + LASTING));
        assert_eq!(server.pause(0.0), RETRY);
    }
}
