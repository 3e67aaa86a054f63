//! The machine as Linux tells of it: processor, memory, disk. Nulls where it does not.

use std::fs::read_to_string;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

/// The processor, between two looks at it.
pub(super) struct Processor {
    /// Ticks that it worked, and all ticks.
    last: Mutex<(u64, u64)>,
}

impl Processor {
    pub(super) fn new() -> Processor {
        Processor {
            last: Mutex::new(ticks().unwrap_or_default()),
        }
    }

    /// Its load since the last look, in percent of all cores.
    pub(super) fn load(&self) -> Value {
        let Some(now) = ticks() else {
            return json!({ "percent": null, "cores": cores() });
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (worked, all) = (now.0.saturating_sub(last.0), now.1.saturating_sub(last.1));
        *last = now;
        json!({ "percent": percent(worked, all), "cores": cores() })
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// proc(5), the first line of `/proc/stat`: user, nice, system, idle, iowait, …
fn ticks() -> Option<(u64, u64)> {
    let stat = read_to_string("/proc/stat").ok()?;
    let ticks: Vec<u64> = stat
        .lines()
        .next()?
        .split_ascii_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    let all = ticks.iter().take(8).sum::<u64>();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some((all - idle, all))
}

/// The machine's memory and this process', in bytes.
pub(super) fn memory() -> Value {
    let info = read_to_string("/proc/meminfo").unwrap_or_default();
    let total = kibibytes(&info, "MemTotal:");
    let available = kibibytes(&info, "MemAvailable:");
    let used = total
        .zip(available)
        .map(|(total, available)| total.saturating_sub(available));
    let own = read_to_string("/proc/self/status").unwrap_or_default();
    json!({
        "total": total,
        "available": available,
        "percent": used.zip(total).map(|(used, total)| percent(used, total)),
        "process": kibibytes(&own, "VmRSS:"),
    })
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number = line.trim().split(' ').next()?;
    number.parse::<u64>().ok().map(|number| number * 1024)
}

/// What this process uses.
#[derive(Debug)]
pub(super) struct Process {
    /// Processor time, in seconds.
    pub(super) cpu_s: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) open_files: Option<u64>,
    pub(super) max_files: Option<u64>,
}

/// What it uses now.
pub(super) fn process() -> Process {
    let own = read_to_string("/proc/self/status").unwrap_or_default();
    let files = std::fs::read_dir("/proc/self/fd").ok();
    // Less the one that lists them.
    let open = files.map(|files| files.count().saturating_sub(1));
    Process {
        cpu_s: cpu_s(),
        resident_bytes: kibibytes(&own, "VmRSS:"),
        open_files: open.and_then(|open| u64::try_from(open).ok()),
        max_files: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
    }
}

/// proc(5), `/proc/self/stat`: the 12th and 13th field behind the name are its ticks, user and system.
fn cpu_s() -> Option<f64> {
    let stat = read_to_string("/proc/self/stat").ok()?;
    let behind_name = stat.rsplit(") ").next()?;
    let fields = behind_name.split(' ').skip(11).take(2);
    let ticks: Option<u64> = fields.map(|field| field.parse::<u64>().ok()).sum();
    let per_second = rustix::param::clock_ticks_per_second();
    // A double is exact for longer than any process runs.
    #[allow(clippy::cast_precision_loss)]
    ticks.map(|ticks| ticks as f64 / per_second as f64)
}

/// The disk under a folder, in bytes.
pub(super) fn disk(folder: &Path) -> Value {
    let Ok(stat) = rustix::fs::statvfs(folder) else {
        return json!({ "total": null, "free": null, "percent": null });
    };
    let total = stat.f_blocks * stat.f_frsize;
    let free = stat.f_bavail * stat.f_frsize;
    json!({ "total": total, "free": free, "percent": percent(total.saturating_sub(free), total) })
}

/// To one digit behind the point.
fn percent(part: u64, whole: u64) -> f64 {
    let thousandth = u128::from(part) * 1000 / u128::from(whole.max(1));
    u32::try_from(thousandth).map_or(100.0, f64::from) / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_processor_memory_and_a_disk() {
        let load = Processor::new().load();
        let share = |value: &Value| {
            value["percent"]
                .as_f64()
                .is_some_and(|share| share <= 100.0)
        };
        assert!(share(&load), "{load}");
        let memory = memory();
        assert!(
            share(&memory) && memory["process"].as_u64() > Some(0),
            "{memory}"
        );
        let disk = disk(Path::new("/"));
        assert!(share(&disk) && disk["total"].as_u64() > Some(0), "{disk}");
    }
}
