//! What a run ran on.

use std::fs;
use std::process::Command;

/// The day, the machine and the programs, as a list in Markdown.
pub fn facts() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = value(&cpuinfo, "model name").unwrap_or("unknown processor");
    let cores = cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = value(&meminfo, "MemTotal")
        .and_then(|text| text.trim_end_matches(" kB").parse::<u64>().ok());
    let memory = memory.unwrap_or_default() / 1024 / 1024;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "- {}\n- {cores} × {model}, {memory} GiB, Linux {}\n- {}; {}\n",
        said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        kernel.trim(),
        said("/usr/sbin/nginx", &["-v"]),
        said("/usr/sbin/haproxy", &["-v"]),
    )
}

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

/// The first line that a command says, on either of its outputs.
fn said(command: &str, words: &[&str]) -> String {
    let Ok(output) = Command::new(command).args(words).output() else {
        return String::new();
    };
    let both = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&both);
    text.lines().next().unwrap_or_default().trim().to_owned()
}
