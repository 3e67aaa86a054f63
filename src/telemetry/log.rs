//! Log lines: pretty on a terminal, JSON otherwise, and every line through the redaction.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tracing::{info, warn};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::redact::redact;
use crate::config::{Log, LogFormat};

/// The facts of one finished exchange.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// Under which name the caller is counted.
    pub subject: &'a str,
    /// The client's address.
    pub client: IpAddr,
    /// The request's method.
    pub method: &'a str,
    /// The request's path, without the query.
    pub path: &'a str,
    /// The answer's status; `None` where the client left before there was one.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: &'static str,
    /// The relay's own error code, where it made the answer.
    pub code: Option<&'static str>,
    /// The `x-request-id` that the client saw.
    pub request_id: Option<&'a str>,
    /// Body bytes from the client.
    pub bytes_up: u64,
    /// Body bytes to the client.
    pub bytes_down: u64,
    /// From the request's head to the answer's head.
    pub first_byte: Option<Duration>,
    /// From the request's head to the end.
    pub total: Duration,
}

/// Writes the one line of a finished exchange.
pub fn log_exchange(exchange: &Exchange<'_>) {
    // To the microsecond: finer digits are noise.
    let milliseconds = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
    let total_ms = milliseconds(exchange.total);
    let first_byte_ms = exchange.first_byte.map(milliseconds);
    let status = exchange.status.unwrap_or_default();
    macro_rules! line {
        ($level:ident) => {
            $level!(
                target: "openai_relay::access",
                subject = exchange.subject,
                client = %exchange.client,
                method = exchange.method,
                path = exchange.path,
                status = exchange.status,
                outcome = exchange.outcome,
                code = exchange.code,
                request_id = exchange.request_id,
                bytes_up = exchange.bytes_up,
                bytes_down = exchange.bytes_down,
                first_byte_ms,
                total_ms,
                "{} {} {} {}", exchange.method, exchange.path, status, exchange.outcome
            )
        };
    }
    if exchange.outcome == "upstream_failed" {
        line!(warn);
    } else {
        line!(info);
    }
}

/// Installs the process's subscriber. Call once.
pub fn init(config: &Log) -> Result<()> {
    let sink = Sink::open(config)?;
    let is_json = match config.format {
        LogFormat::Json => true,
        LogFormat::Pretty => false,
        LogFormat::Auto => !sink.is_terminal(),
    };
    // Libraries may print what they carry when asked for more: only the relay's own lines follow
    // the level.
    let filter = Targets::new()
        .with_default(LevelFilter::WARN.min(config.level.into()))
        .with_target("openai_relay", config.level);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer();
    let installed = if is_json {
        let json = layer.json().flatten_event(true).with_current_span(false);
        registry
            .with(json.with_span_list(false).with_writer(sink))
            .try_init()
    } else {
        let ansi = sink.is_terminal();
        registry
            .with(layer.with_ansi(ansi).with_writer(sink))
            .try_init()
    };
    installed.context("the log was set up twice")
}

/// Where lines go: standard error, or the file that `LOG_FILE` names.
#[derive(Clone)]
enum Sink {
    Stderr,
    File(Arc<Mutex<std::fs::File>>),
}

impl Sink {
    fn open(config: &Log) -> Result<Sink> {
        let Some(path) = &config.file else {
            return Ok(Sink::Stderr);
        };
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("LOG_FILE: cannot open {}", path.display()))?;
        Ok(Sink::File(Arc::new(Mutex::new(file))))
    }

    fn is_terminal(&self) -> bool {
        matches!(self, Sink::Stderr) && io::stderr().is_terminal()
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

/// Collects one line, so that it is redacted and written whole.
struct Line {
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
        let text = String::from_utf8_lossy(&self.text);
        let line = redact(&text);
        // A log that cannot be written must not stop the traffic.
        let _ = match &self.sink {
            Sink::Stderr => io::stderr().write_all(line.as_bytes()),
            Sink::File(file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.write_all(line.as_bytes())
            }
        };
    }
}
