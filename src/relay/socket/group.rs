//! Group: sessions that wait long are looked at together.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

/// From this wait on a session may be looked at so much later.
const LONG_WAIT: Duration = Duration::from_secs(5);
const GROUP: Duration = Duration::from_millis(250);

/// The next time to look that this session shares with others: thousands of sessions that idle would
/// wake the relay hundreds of times a second otherwise.
pub(super) fn grouped(due: Instant, now: Instant) -> Instant {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    if due.saturating_duration_since(now) < LONG_WAIT {
        return due;
    }
    let since_first = due.saturating_duration_since(*FIRST).as_nanos();
    let over = since_first % GROUP.as_nanos();
    let missing = u64::try_from(GROUP.as_nanos() - over).unwrap_or_default();
    due + Duration::from_nanos(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_wait_long_are_looked_at_together_a_little_later() {
        let now = Instant::now();
        let at = |milliseconds| now + Duration::from_millis(milliseconds);
        let looks: std::collections::BTreeSet<Instant> = (0..1000)
            .map(|late| grouped(at(30_000 + late), now))
            .collect();
        assert!(looks.len() <= 5, "{looks:?}");
        for wait in [30_000, 30_001, 30_249] {
            let look = grouped(at(wait), now);
            assert!(look > at(wait) && look <= at(wait) + GROUP);
        }
        assert_eq!(grouped(at(4999), now), at(4999));
    }
}
