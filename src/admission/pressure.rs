//! Pressure: how close the process is to its memory budget, and what it gives up for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Steps of giving up, from none on (those of Envoy's overload manager).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    Calm = 0,
    /// Connections are not kept.
    High = 1,
    /// New work is refused.
    Shedding = 2,
    /// No connection is accepted.
    Full = 3,
}

const LEVELS: [Level; 4] = [Level::Calm, Level::High, Level::Shedding, Level::Full];

impl Level {
    /// The level at which so many bytes of a budget are used.
    pub fn of(used: u64, budget: u64) -> Level {
        let percent = u128::from(used) * 100 / u128::from(budget.max(1));
        match percent {
            0..92 => Level::Calm,
            92..95 => Level::High,
            95..98 => Level::Shedding,
            _ => Level::Full,
        }
    }
}

/// What anything may take of memory without being counted, in bytes: most messages and bodies are this
/// small.
pub const HELD_FOR_NOTHING: usize = 64 * 1024;
/// The part of the budget that all that is read whole may take together.
const WHOLE_SHARE: u64 = 4;

/// Shared by the server, which measures, and all that gives something up.
#[derive(Debug)]
pub struct Pressure {
    level: AtomicU8,
    /// What may be held of messages and bodies that are read whole, and what is, in bytes.
    room: AtomicU64,
    held: AtomicU64,
}

impl Default for Pressure {
    /// Of a process without a budget.
    fn default() -> Self {
        Self {
            level: AtomicU8::new(Level::Calm as u8),
            room: AtomicU64::new(u64::MAX),
            held: AtomicU64::new(0),
        }
    }
}

impl Pressure {
    /// The level now.
    pub fn level(&self) -> Level {
        LEVELS[usize::from(self.level.load(Ordering::Relaxed)) % LEVELS.len()]
    }

    /// Sets the level; returns the one before.
    pub fn set(&self, level: Level) -> Level {
        LEVELS[usize::from(self.level.swap(level as u8, Ordering::Relaxed)) % LEVELS.len()]
    }

    /// Bounds what is held by the budget, in bytes. The level is measured a few times a second, too
    /// late for what can come in between.
    pub fn bound(&self, budget: u64) {
        self.room.store(budget / WHOLE_SHARE, Ordering::Relaxed);
    }

    /// Nothing yet.
    pub fn holding(self: &Arc<Self>) -> Holding {
        Holding {
            pressure: Arc::clone(self),
            bytes: 0,
        }
    }
}

/// What one exchange or session holds of messages and bodies that are read whole; given back when
/// it goes.
#[derive(Debug)]
pub struct Holding {
    pressure: Arc<Pressure>,
    bytes: u64,
}

impl Holding {
    /// Whether so many bytes in all may be held; then they are.
    pub fn grow_to(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let held = self.pressure.held.fetch_add(more, Ordering::Relaxed) + more;
        if held > self.pressure.room.load(Ordering::Relaxed) {
            self.pressure.held.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.bytes += more;
        true
    }

    /// Gives back what is more than this.
    pub fn shrink_to(&mut self, bytes: u64) {
        let less = self.bytes.saturating_sub(bytes);
        self.pressure.held.fetch_sub(less, Ordering::Relaxed);
        self.bytes -= less;
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.pressure.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_its_share_of_the_budget() {
        for (used, level) in [
            (0, Level::Calm),
            (919, Level::Calm),
            (920, Level::High),
            (950, Level::Shedding),
            (980, Level::Full),
            (5000, Level::Full),
        ] {
            assert_eq!(Level::of(used, 1000), level, "{used}");
        }
        let pressure = Pressure::default();
        assert_eq!(pressure.set(Level::Shedding), Level::Calm);
        assert_eq!(pressure.level(), Level::Shedding);
    }

    #[test]
    fn what_is_read_whole_shares_a_quarter_of_the_budget() {
        let pressure = Arc::new(Pressure::default());
        assert!(pressure.holding().grow_to(u64::MAX / 2));
        pressure.bound(400);
        let (mut one, mut other) = (pressure.holding(), pressure.holding());
        assert!(one.grow_to(40) && one.grow_to(60) && other.grow_to(40));
        assert!(!other.grow_to(41) && !one.grow_to(61));
        one.shrink_to(70);
        assert!(!other.grow_to(41));
        one.shrink_to(59);
        assert!(other.grow_to(41));
        drop(one);
        assert!(other.grow_to(100) && !pressure.holding().grow_to(1));
    }
}
