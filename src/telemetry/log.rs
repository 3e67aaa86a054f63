//! Log lines: pretty on a terminal, JSON otherwise, and every line through the redaction.

use std::io::{self, IsTerminal};

use anyhow::{Context, Result};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::access;
use super::json::JsonLines;
use super::pretty::{Facts, Second};
use super::sink::LogWriter;
use crate::config::{Log, LogFormat};

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
        let installed = registry.with(JsonLines(sink.clone())).try_init();
        if installed.is_ok() {
            access::write_straight(JsonLines(sink), config.level);
        }
        installed
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
