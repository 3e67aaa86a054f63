//! A relay process, as an operator would run it: the real binary, an environment, a folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::wait::eventually_is;

/// How long anything that should happen soon may take on the slowest machine.
pub const SOON: Duration = Duration::from_secs(120);

/// A running relay; killed when dropped.
pub struct Relay {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    lines: watch::Receiver<usize>,
    folder: PathBuf,
}

/// A fresh folder of its own for each relay.
fn folder() -> PathBuf {
    let name = format!("openai-relay-test-{}", uuid::Uuid::new_v4().simple());
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&path).expect("a folder");
    path
}

/// The binary with nothing of the test's own environment.
pub fn command(folder: &Path, variables: &[(&str, &str)]) -> Command {
    wrapped(folder, &[], variables)
}

/// The same, started by another program.
fn wrapped(folder: &Path, wrapper: &[&str], variables: &[(&str, &str)]) -> Command {
    let binary = env!("CARGO_BIN_EXE_openai-relay");
    let mut words = wrapper.iter().copied().chain([binary]);
    let mut command = Command::new(words.next().unwrap_or(binary));
    command.args(words);
    command.env_clear().current_dir(folder).kill_on_drop(true);
    for (name, value) in variables {
        command.env(name, value);
    }
    command
}

impl Relay {
    /// Starts one on a free loopback port and waits until it listens.
    pub async fn start(variables: &[(&str, &str)]) -> Relay {
        Relay::start_in(folder(), variables).await
    }

    /// Starts one whose `.env` holds this text.
    pub async fn start_with_env_file(text: &str, variables: &[(&str, &str)]) -> Relay {
        Relay::start_with_file(".env", text, variables).await
    }

    /// Starts one in a folder with this file.
    pub async fn start_with_file(name: &str, text: &str, variables: &[(&str, &str)]) -> Relay {
        let folder = folder();
        std::fs::write(folder.join(name), text).expect("a file");
        Relay::start_in(folder, variables).await
    }

    /// Starts one that may have so many files open.
    pub async fn start_with_files(files: u64, variables: &[(&str, &str)]) -> Relay {
        let limit = format!("--nofile={files}:{files}");
        Relay::launch(folder(), &["prlimit", &limit], variables).await
    }

    /// Starts one by way of another program.
    pub async fn start_under(wrapper: &[&str], variables: &[(&str, &str)]) -> Relay {
        Relay::launch(folder(), wrapper, variables).await
    }

    async fn start_in(folder: PathBuf, variables: &[(&str, &str)]) -> Relay {
        Relay::launch(folder, &[], variables).await
    }

    async fn launch(folder: PathBuf, wrapper: &[&str], variables: &[(&str, &str)]) -> Relay {
        let mut all = vec![("HOST", "127.0.0.1"), ("PORT", "0"), ("LOG_FORMAT", "json")];
        all.extend_from_slice(variables);
        let mut child = wrapped(&folder, wrapper, &all)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the binary");
        let stderr = child.stderr.take().expect("piped");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (count, lines) = watch::channel(0);
        let kept = Arc::clone(&log);
        tokio::spawn(async move {
            let mut reader = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                kept.lock().unwrap().push(line);
                count.send_modify(|count| *count += 1);
            }
        });
        let mut relay = Relay {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            log,
            lines,
            folder,
        };
        let listening = relay.line(|line| line["message"] == "listening").await;
        let address = listening["address"].as_str().expect("an address");
        relay.address = address.parse().expect("an address");
        relay
    }

    /// Where it listens, as seen from this machine.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.address.port()))
    }

    /// Where it was started.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("running")
    }

    /// The processor time that it has taken.
    pub fn cpu(&self) -> Duration {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("a process");
        let behind_name = stat.rsplit(") ").next().expect("fields");
        let ticks = behind_name.split(' ').skip(11).take(2);
        let ticks: u64 = ticks
            .map(|field| field.parse::<u64>().expect("ticks"))
            .sum();
        // USER_HZ is 100 on Linux (proc(5)).
        Duration::from_millis(ticks * 10)
    }

    /// Its resident memory, in bytes.
    pub fn memory(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.pid()));
        let statm = statm.expect("a process");
        let pages: u64 = statm
            .split(' ')
            .nth(1)
            .expect("pages")
            .parse()
            .expect("a number");
        pages * 4096
    }

    /// The same once it changes no more.
    pub async fn settled_memory(&self) -> u64 {
        const NOISE: u64 = 64 * 1024;
        let mut last = self.memory();
        let mut same = 0;
        while same < 5 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = self.memory();
            same = if now.abs_diff(last) < NOISE {
                same + 1
            } else {
                0
            };
            last = now;
        }
        last
    }

    /// Its open descriptors.
    pub fn descriptors(&self) -> usize {
        let folder = std::fs::read_dir(format!("/proc/{}/fd", self.pid()));
        folder.expect("a process").count()
    }

    /// What was read of the log so far. It is written a moment behind what it tells of.
    pub fn log_text(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Waits until the log says this.
    pub async fn says(&self, text: &str) {
        let is_said = eventually_is(|| self.log_text().contains(text)).await;
        assert!(is_said, "not in the log: {text}\n{}", self.log_text());
    }

    /// What was logged before one more request had its line: all but what tells of an exchange
    /// whose last byte has only just gone.
    pub async fn whole_log(&self) -> String {
        let mark = format!("/marks/{}", uuid::Uuid::new_v4().simple());
        super::get(self.address(), &mark, &[]).await;
        self.says(&mark).await;
        self.log_text()
    }

    /// Forgets what was logged so far: long runs log a lot.
    pub fn forget_log(&self) {
        self.log.lock().unwrap().clear();
    }

    /// The finished exchanges logged so far.
    pub fn exchanges(&self) -> Vec<Value> {
        let log = self.log.lock().unwrap();
        log.iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|line: &Value| !line["outcome"].is_null())
            .collect()
    }

    /// Waits for a log line.
    pub async fn line(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let search = async {
            loop {
                self.lines.borrow_and_update();
                let found = self.log.lock().unwrap().iter().find_map(|line| {
                    let line: Value = serde_json::from_str(line).ok()?;
                    wanted(&line).then_some(line)
                });
                if let Some(line) = found {
                    return Some(line);
                }
                if self.lines.changed().await.is_err() {
                    return None;
                }
            }
        };
        match tokio::time::timeout(SOON, search).await {
            Ok(Some(line)) => line,
            _ => panic!(
                "no such line in the log:\n{}",
                self.log.lock().unwrap().join("\n")
            ),
        }
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let status = std::process::Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()
            .expect("kill");
        assert!(status.success());
    }

    /// Waits for the process to end.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let ended = async {
            let status = self.child.wait().await;
            // Its last lines are written just before, and are read by another task.
            while self.lines.changed().await.is_ok() {}
            status
        };
        let ended = tokio::time::timeout(SOON, ended).await;
        ended.expect("it ends").expect("a status").code()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
