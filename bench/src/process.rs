//! A relay's process: started on a core of its own, and what the kernel knows of it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a relay may take until it answers: some load half a gigabyte first.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it may take to end. What was counted for a build is written then, and sockets whose upstream
/// does not answer their close take two seconds.
const GRACE: Duration = Duration::from_secs(5);

/// A running relay; killed when dropped.
pub struct Process {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// From the start to the first whole answer.
    pub ready: Duration,
}

/// A port that is free now.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("a free port")?;
    Ok(listener.local_addr()?.port())
}

impl Process {
    /// Starts this command on this core and waits for the answer to `probe`.
    pub fn start(
        command: &Command,
        core: usize,
        address: SocketAddr,
        probe: &str,
    ) -> Result<Process> {
        let mut pinned = Command::new("taskset");
        pinned
            .args(["--cpu-list", &core.to_string()])
            .arg(command.get_program())
            .args(command.get_args());
        pinned.env_clear();
        for (name, value) in command.get_envs() {
            pinned.env(name, value.unwrap_or_default());
        }
        if let Some(folder) = command.get_current_dir() {
            pinned.current_dir(folder);
        }
        pinned
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let began = Instant::now();
        let child = pinned
            .spawn()
            .with_context(|| format!("starting {:?}", command.get_program()))?;
        let mut process = Process {
            child,
            address,
            ready: Duration::ZERO,
        };
        while !answers(address, probe) {
            if let Some(status) = process.child.try_wait().context("waiting")? {
                bail!("{:?} ended with {status}", command.get_program());
            }
            if began.elapsed() > PATIENCE {
                bail!("{:?} does not answer", command.get_program());
            }
            std::thread::yield_now();
        }
        process.ready = began.elapsed();
        Ok(process)
    }

    /// Processor time of all its threads and children so far, in nanoseconds.
    pub fn cpu(&self) -> u64 {
        self.threads().filter_map(|thread| run_time(&thread)).sum()
    }

    /// Memory of its own and its children's, in bytes: pages that several hold are divided.
    pub fn memory(&self) -> u64 {
        self.processes()
            .into_iter()
            .filter_map(proportional_set)
            .sum()
    }

    fn processes(&self) -> Vec<u32> {
        let mut found = vec![self.child.id()];
        let mut at = 0;
        while let Some(pid) = found.get(at).copied() {
            at += 1;
            let path = format!("/proc/{pid}/task/{pid}/children");
            let text = fs::read_to_string(path).unwrap_or_default();
            found.extend(
                text.split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
        found
    }

    /// Their folders below /proc.
    fn threads(&self) -> impl Iterator<Item = std::path::PathBuf> {
        let folders = self.processes().into_iter();
        let tasks = folders.filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok());
        tasks.flatten().filter_map(|entry| Some(entry.ok()?.path()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // nginx's worker ends with its master only if that is told to stop.
        // The shell's own: not every machine has the program.
        let _ = Command::new("sh")
            .args(["-c", "kill -TERM \"$0\"", &self.child.id().to_string()])
            .status();
        let began = Instant::now();
        while began.elapsed() < GRACE {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::yield_now();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a request gets a whole head back.
fn answers(address: SocketAddr, probe: &str) -> bool {
    let asked = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        stream.write_all(probe.as_bytes())?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(head.starts_with(b"HTTP/1.1 ") && !head.ends_with(b"502") && !head.ends_with(b"503"))
    };
    // A byte copy has nothing to say of its own.
    if probe.is_empty() {
        return TcpStream::connect(address).is_ok();
    }
    asked().unwrap_or(false)
}

/// The first number of `schedstat`: nanoseconds on a processor.
fn run_time(thread: &std::path::Path) -> Option<u64> {
    let text = fs::read_to_string(thread.join("schedstat")).ok()?;
    text.split(' ').next()?.parse().ok()
}

/// The proportional set size (proc(5)).
fn proportional_set(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().ok()?;
    Some(kib * 1024)
}
