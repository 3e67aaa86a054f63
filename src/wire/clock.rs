//! Clock: the time for what is bounded in seconds, read where each event would read it.

use tokio::time::Instant;

/// The time when the kernel's clock ticked last: some milliseconds ago at the most, and ahead by no more
/// than that. A fourth of what the exact time costs.
pub fn lately() -> Instant {
    // Unit tests move the time.
    if cfg!(test) { Instant::now() } else { ticked() }
}

#[cfg(target_os = "linux")]
fn ticked() -> Instant {
    use std::sync::LazyLock;
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    /// The longest that Linux has.
    const TICK: Duration = Duration::from_millis(10);

    fn tick() -> Duration {
        let tick = clock_gettime(ClockId::MonotonicCoarse);
        tick.try_into().unwrap_or_default()
    }
    static START: LazyLock<(Instant, Duration)> = LazyLock::new(|| {
        loop {
            let (tick_before, now) = (tick(), Instant::now());
            // Nothing came between the two. Where this clock is exact too, as in gVisor, it never stands still.
            if tick().saturating_sub(tick_before) <= TICK {
                return (now, tick_before);
            }
        }
    });
    let (start, first) = *START;
    start + tick().saturating_sub(first)
}

#[cfg(not(target_os = "linux"))]
fn ticked() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_last_tick_moves_with_the_time() {
        let (start, first) = (Instant::now(), ticked());
        let last =
            std::iter::repeat_with(ticked).find(|tick| *tick > first + Duration::from_millis(50));
        let (ticks, time) = (last.expect("a later one") - first, start.elapsed());
        // A machine that is busy elsewhere adds to the one or the other.
        assert!(
            ticks.abs_diff(time) < Duration::from_secs(1),
            "{ticks:?} in {time:?}"
        );
        assert!(
            first.duration_since(start).max(start.duration_since(first)) < Duration::from_secs(1)
        );
    }
}
