//! Pressure: how close the process is to its memory budget, and what it gives up for that.

use std::sync::atomic::{AtomicU8, Ordering};

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

/// Shared by the server, which measures, and all that gives something up.
#[derive(Debug, Default)]
pub struct Pressure(AtomicU8);

impl Pressure {
    /// The level now.
    pub fn level(&self) -> Level {
        LEVELS[usize::from(self.0.load(Ordering::Relaxed)) % LEVELS.len()]
    }

    /// Sets the level; returns the one before.
    pub fn set(&self, level: Level) -> Level {
        LEVELS[usize::from(self.0.swap(level as u8, Ordering::Relaxed)) % LEVELS.len()]
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
}
