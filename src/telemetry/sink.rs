//! Sink: where lines go. They wait in one buffer, and a thread writes all that wait at once, so
//! that a log which nobody reads stops no traffic, and a busy one costs few writes.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use tracing_subscriber::fmt::MakeWriter;

use super::redact::redact;
use crate::config::Log;

/// Bytes that may wait to be written; past them lines are dropped.
const QUEUE: usize = 4 * 1024 * 1024;
/// Room that stays for the next lines, in bytes.
const KEPT: usize = 256 * 1024;
/// How long lines are gathered after a write, so that a busy relay wakes the thread a hundred times
/// a second and not for each line.
const GATHER: Duration = Duration::from_millis(10);

/// The way to the thread that writes.
#[derive(Clone, Default)]
pub(super) struct Sink(Arc<Queue>);

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// Told of the first line that waits, and of the end.
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    has_ended: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that waits, as soon as there is any; `None` once there will be no more. What was taken
    /// before makes room for what comes next.
    fn take(&self, mut spent: Vec<u8>) -> Option<Vec<u8>> {
        spent.clear();
        spent.shrink_to(KEPT);
        let goes_on = |waiting: &mut Waiting| waiting.lines.is_empty() && !waiting.has_ended;
        let waiting = self.changed.wait_while(self.lock(), goes_on);
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let lines = std::mem::replace(&mut waiting.lines, spent);
        (!lines.is_empty()).then_some(lines)
    }

    fn gather(&self) {
        let goes_on = |waiting: &mut Waiting| !waiting.has_ended;
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), GATHER, goes_on);
        drop(waited);
    }
}

impl Sink {
    /// Queues a line, without its secrets.
    pub(super) fn write(&self, line: &str) {
        self.write_clean(redact(line).as_bytes());
    }

    /// Queues a line that has none.
    pub(super) fn write_clean(&self, line: &[u8]) {
        let mut waiting = self.0.lock();
        if waiting.lines.len() + line.len() > QUEUE {
            return;
        }
        let is_first = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(line);
        drop(waiting);
        if is_first {
            self.0.changed.notify_one();
        }
    }
}

#[cfg(test)]
impl Sink {
    /// What waits.
    pub(super) fn taken(&self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.0.lock().lines)).into_owned()
    }
}

/// The thread that writes. Writes what waits when it is dropped itself.
pub struct LogWriter {
    reopen: Arc<AtomicBool>,
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl LogWriter {
    pub(super) fn start(config: &Log) -> Result<(Sink, LogWriter)> {
        let reopen = Arc::new(AtomicBool::new(false));
        let mut file: Box<dyn Write + Send> = match &config.file {
            None => Box::new(io::stderr()),
            Some(path) => Box::new(LogFile::open(path, Arc::clone(&reopen))?),
        };
        let queue = Arc::new(Queue::default());
        let taken = Arc::clone(&queue);
        let thread = thread::Builder::new().name("log".to_owned());
        let thread = thread.spawn(move || {
            let mut spent = Vec::new();
            while let Some(lines) = taken.take(spent) {
                // A log that cannot be written must not stop the traffic.
                let _ = file.write_all(&lines);
                let _ = file.flush();
                spent = lines;
                taken.gather();
            }
        });
        let writer = LogWriter {
            reopen,
            queue: Arc::clone(&queue),
            thread: Some(thread.context("starting the thread of the log")?),
        };
        Ok((Sink(queue), writer))
    }

    /// Opens `LOG_FILE` anew with the next line, after it was moved away.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Relaxed);
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.queue.lock().has_ended = true;
        self.queue.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The file that `LOG_FILE` names.
struct LogFile {
    path: PathBuf,
    file: File,
    reopen: Arc<AtomicBool>,
}

impl LogFile {
    fn open(path: &Path, reopen: Arc<AtomicBool>) -> Result<LogFile> {
        let file = append_to(path);
        let file = file.with_context(|| format!("LOG_FILE: cannot open {}", path.display()))?;
        Ok(LogFile {
            path: path.to_owned(),
            file,
            reopen,
        })
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.reopen.swap(false, Ordering::Relaxed)
            && let Ok(file) = append_to(&self.path)
        {
            self.file = file;
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            sink: self.clone(),
            text: Vec::with_capacity(512),
        }
    }
}

/// Collects one line of somebody else's making, so that it is redacted and written whole.
pub(super) struct Line {
    sink: Sink,
    text: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text: Cow<'_, str> = String::from_utf8_lossy(&self.text);
        self.sink.write(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_nobody_takes_are_dropped_and_the_first_ones_kept() {
        let sink = Sink(Arc::default());
        let line = "x".repeat(QUEUE / 4 - 1);
        for _ in 0..6 {
            sink.write(&line);
        }
        sink.write("one\n");
        let taken = sink.0.take(Vec::new()).expect("lines");
        assert!(taken.len() == 4 * line.len() + 4 && taken.ends_with(b"xone\n"));
        sink.0.lock().has_ended = true;
        assert!(sink.0.take(Vec::new()).is_none());
    }
}
