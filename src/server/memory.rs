//! Measures the process's memory against its budget.

use std::fs;
use std::time::Duration;

use crate::admission::{Level, Pressure};
use crate::config::MemoryBudget;

const EVERY: Duration = Duration::from_millis(200);

/// Keeps the pressure up to date; never ends.
pub(super) async fn watch(budget: MemoryBudget, pressure: &Pressure) {
    let Some(budget) = in_bytes(budget) else {
        return std::future::pending().await;
    };
    pressure.bound(budget);
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        let Some(used) = resident_bytes() else {
            return std::future::pending().await;
        };
        let level = Level::of(used, budget);
        let before = pressure.set(level);
        if before != level {
            tracing::warn!(
                used_mib = used >> 20,
                budget_mib = budget >> 20,
                ?before,
                now = ?level,
                "MEMORY_BUDGET: the level has changed"
            );
        }
    }
}

fn in_bytes(budget: MemoryBudget) -> Option<u64> {
    match budget {
        MemoryBudget::Off => None,
        MemoryBudget::Bytes(bytes) => Some(bytes),
        MemoryBudget::Percent(percent) => Some(available()? / 100 * u64::from(percent)),
    }
}

/// The second number of `statm` counts resident pages (proc(5)).
fn resident_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    Some(pages * page)
}

/// The least of the machine's memory and the limits of the control groups above this process.
fn available() -> Option<u64> {
    let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = group.lines().find_map(|line| line.strip_prefix("0::"));
    let mut files = vec![
        "/sys/fs/cgroup/memory.max".to_owned(),
        "/sys/fs/cgroup/memory/memory.limit_in_bytes".to_owned(),
    ];
    let mut folder = group.unwrap_or_default().trim_end_matches('/');
    while !folder.is_empty() {
        files.push(format!("/sys/fs/cgroup{folder}/memory.max"));
        folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
    }
    let limits = files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
    limits.chain(machine_bytes()).min()
}

fn machine_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_and_this_machine_have_memory() {
        let used = resident_bytes().expect("a process");
        let all = available().expect("a machine");
        assert!(used > 1 << 20 && used < all, "{used} of {all}");
        let half = in_bytes(MemoryBudget::Percent(50)).expect("half");
        assert!(half <= all / 2);
    }
}
