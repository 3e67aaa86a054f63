//! Log lines: pretty on a terminal, JSON otherwise, and every line through the redaction.

use std::io::{self, IsTerminal};
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tracing::{error, info, warn};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::json::JsonLines;
use super::outcome::Outcome;
use super::pretty::{Facts, Second};
use super::sink::LogWriter;
use crate::config::{Log, LogFormat};

/// What of a path is logged, in characters.
const LONGEST_PATH: usize = 256;

/// The facts of one finished exchange.
#[derive(Debug)]
pub struct Finished<'a> {
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
    pub outcome: Outcome,
    /// The relay's own error code, where it made the answer.
    pub code: Option<&'static str>,
    /// What was behind it, for the operator alone.
    pub cause: Option<&'a str>,
    /// The `x-request-id` that the client saw.
    pub request_id: Option<&'a str>,
    /// Body bytes from the client.
    pub bytes_up: u64,
    /// Body bytes to the client.
    pub bytes_down: u64,
    /// What went over it, where it was a session.
    pub talk: Option<&'a Talk>,
    /// From the request's head to the answer's head.
    pub first_byte: Option<Duration>,
    /// From the request's head to the end.
    pub total: Duration,
}

/// What went over a session.
#[derive(Debug, Default)]
pub struct Talk {
    /// The model that the client named, or the relay for it.
    pub model: Option<Box<str>>,
    /// Messages from the client.
    pub messages_up: u64,
    /// Messages to the client.
    pub messages_down: u64,
    /// Bytes of their payload.
    pub bytes_up: u64,
    /// Bytes of their payload.
    pub bytes_down: u64,
    /// The close code that the client sent, else the one that it was told.
    pub client_close: Option<u16>,
    /// The close code that the upstream sent, else the one that it was told.
    pub upstream_close: Option<u16>,
}

/// Writes the one line of a finished exchange.
pub fn log_finished(exchange: &Finished<'_>) {
    // To the microsecond: finer digits are noise.
    let milliseconds = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
    let total_ms = milliseconds(exchange.total);
    let first_byte_ms = exchange.first_byte.map(milliseconds);
    let status = exchange.status.unwrap_or_default();
    let path = shorten(exchange.path);
    let talk = exchange.talk;
    macro_rules! line {
        ($level:ident) => {
            $level!(
                target: "openai_relay::access",
                subject = exchange.subject,
                client = %exchange.client,
                method = exchange.method,
                path,
                status = exchange.status,
                outcome = exchange.outcome.label(),
                code = exchange.code,
                cause = exchange.cause,
                request_id = exchange.request_id,
                bytes_up = exchange.bytes_up,
                bytes_down = exchange.bytes_down,
                first_byte_ms,
                total_ms,
                model = talk.and_then(|talk| talk.model.as_deref()),
                messages_up = talk.map(|talk| talk.messages_up),
                messages_down = talk.map(|talk| talk.messages_down),
                client_close = talk.and_then(|talk| talk.client_close),
                upstream_close = talk.and_then(|talk| talk.upstream_close),
                "{} {} {} {}", exchange.method, path, status, exchange.outcome.label()
            )
        };
    }
    match exchange.outcome {
        Outcome::Panicked => line!(error),
        Outcome::UpstreamFailed | Outcome::Drained => line!(warn),
        // Something to look at although nothing broke, such as a key that OpenAI refuses.
        Outcome::Completed if exchange.cause.is_some() => line!(warn),
        _ => line!(info),
    }
}

/// A path may be 32 KiB long; its start says enough.
fn shorten(path: &str) -> &str {
    let end = path.char_indices().nth(LONGEST_PATH).map(|(at, _)| at);
    &path[..end.unwrap_or(path.len())]
}

/// Installs the process's subscriber. Call once, and keep what it returns to the end.
pub fn init(config: &Log) -> Result<LogWriter> {
    let (sink, writer) = LogWriter::start(config)?;
    let is_terminal = config.file.is_none() && io::stderr().is_terminal();
    let is_json = match config.format {
        LogFormat::Json => true,
        LogFormat::Pretty => false,
        LogFormat::Auto => !is_terminal,
    };
    // Libraries may print what they carry when asked for more: only the relay's own lines follow
    // the level.
    let filter = Targets::new()
        .with_default(LevelFilter::WARN.min(config.level.into()))
        .with_target("openai_relay", config.level);
    let registry = tracing_subscriber::registry().with(filter);
    let installed = if is_json {
        registry.with(JsonLines(sink)).try_init()
    } else {
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(is_terminal)
            .with_target(false)
            .with_timer(Second)
            .fmt_fields(Facts);
        registry.with(layer.with_writer(sink)).try_init()
    };
    installed.context("the log was set up twice")?;
    Ok(writer)
}
