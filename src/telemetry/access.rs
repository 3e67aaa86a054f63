//! The one line of each exchange. In JSON it is written straight into the log's buffer: through
//! `tracing` it would be a fifth of what an exchange costs.

use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use tracing::{Level, error, info, warn};

use super::json::{JsonLines, Object};
use super::outcome::Outcome;
use super::redact::redact;

/// What says so.
const TARGET: &str = "openai_relay::access";
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

/// Where the lines go without a detour, and the level up to which there are any.
static STRAIGHT: OnceLock<(JsonLines, Level)> = OnceLock::new();

/// From now on lines go straight to the log, up to this level.
pub(super) fn write_straight(lines: JsonLines, level: Level) {
    // A process has one log.
    let _ = STRAIGHT.set((lines, level));
}

/// Writes the one line of a finished exchange.
pub fn log_finished(exchange: &Finished<'_>) {
    match STRAIGHT.get() {
        Some((_, level)) if exchange.level() > *level => {}
        Some((lines, _)) => exchange.write(lines),
        None => exchange.trace(),
    }
}

impl Finished<'_> {
    fn level(&self) -> Level {
        match self.outcome {
            Outcome::Panicked => Level::ERROR,
            Outcome::UpstreamFailed | Outcome::Drained => Level::WARN,
            // Something to look at although nothing broke, such as a key that OpenAI refuses.
            Outcome::Completed if self.cause.is_some() => Level::WARN,
            _ => Level::INFO,
        }
    }

    /// The line as an event.
    fn trace(&self) {
        // Exact for 285 years.
        #[allow(clippy::cast_precision_loss)]
        let milliseconds = |duration: Duration| microseconds(duration) as f64 / 1e3;
        let total_ms = milliseconds(self.total);
        let first_byte_ms = self.first_byte.map(milliseconds);
        let status = self.status.unwrap_or_default();
        let path = shorten(self.path);
        let talk = self.talk;
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    target: TARGET,
                    subject = self.subject,
                    client = %self.client,
                    method = self.method,
                    path,
                    status = self.status,
                    outcome = self.outcome.label(),
                    code = self.code,
                    cause = self.cause,
                    request_id = self.request_id,
                    bytes_up = self.bytes_up,
                    bytes_down = self.bytes_down,
                    first_byte_ms,
                    total_ms,
                    model = talk.and_then(|talk| talk.model.as_deref()),
                    messages_up = talk.map(|talk| talk.messages_up),
                    messages_down = talk.map(|talk| talk.messages_down),
                    client_close = talk.and_then(|talk| talk.client_close),
                    upstream_close = talk.and_then(|talk| talk.upstream_close),
                    "{} {} {} {}", self.method, path, status, self.outcome.label()
                )
            };
        }
        match self.level() {
            Level::ERROR => line!(error),
            Level::WARN => line!(warn),
            _ => line!(info),
        }
    }

    /// The same line in JSON.
    fn write(&self, lines: &JsonLines) {
        lines.line(self.level(), TARGET, |line| self.describe(line));
    }

    fn describe(&self, line: &mut Object<'_>) {
        let (path, method) = (redact(shorten(self.path)), redact(self.method));
        let outcome = self.outcome.label();
        line.message(&method, &path, self.status.unwrap_or_default(), outcome);
        line.text("subject", self.subject);
        line.address("client", self.client);
        line.clean_text("method", &method);
        line.clean_text("path", &path);
        line.number("status", self.status.map(u64::from));
        line.word("outcome", outcome);
        line.word("code", self.code);
        line.text("cause", self.cause);
        line.text("request_id", self.request_id);
        line.number("bytes_up", self.bytes_up);
        line.number("bytes_down", self.bytes_down);
        line.thousandths("first_byte_ms", self.first_byte.map(microseconds));
        line.thousandths("total_ms", microseconds(self.total));
        if let Some(talk) = self.talk {
            line.text("model", talk.model.as_deref());
            line.number("messages_up", talk.messages_up);
            line.number("messages_down", talk.messages_down);
            line.number("client_close", talk.client_close.map(u64::from));
            line.number("upstream_close", talk.upstream_close.map(u64::from));
        }
    }
}

/// Finer digits are noise.
fn microseconds(duration: Duration) -> u64 {
    u64::try_from((duration.as_nanos() + 500) / 1000).unwrap_or(u64::MAX)
}

/// A path may be 32 KiB long; its start says enough.
fn shorten(path: &str) -> &str {
    if path.len() <= LONGEST_PATH {
        return path;
    }
    let end = path.char_indices().nth(LONGEST_PATH).map(|(at, _)| at);
    &path[..end.unwrap_or(path.len())]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::sink::Sink;
    use super::*;

    fn json(line: &str) -> serde_json::Value {
        let mut line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line["timestamp"].take();
        line
    }

    proptest! {
        #[test]
        fn a_line_that_goes_straight_is_the_one_of_the_event(
            path in "/[ -~\u{e4}]{0,20}",
            status in prop::option::of(100..600_u16),
            outcome in prop::sample::select(&Outcome::ALL[..]),
            cause in prop::option::of("\\PC{0,12}|Bearer sk-123456789"),
            client in any::<IpAddr>(),
            bytes in any::<u64>(),
            first_byte in prop::option::of(0..100_000_000_000_u64),
            total in 0..100_000_000_000_u64,
            is_session in any::<bool>(),
        ) {
            let talk = Talk {
                model: Some("m".into()),
                messages_up: bytes,
                client_close: status,
                ..Talk::default()
            };
            let exchange = Finished {
                subject: "s",
                client,
                method: "POST",
                path: &path,
                status,
                outcome,
                code: cause.as_ref().map(|_| "code"),
                cause: cause.as_deref(),
                request_id: Some("req_1"),
                bytes_up: bytes,
                bytes_down: 0,
                talk: is_session.then_some(&talk),
                first_byte: first_byte.map(Duration::from_nanos),
                total: Duration::from_nanos(total),
            };
            let sink = Sink::default();
            exchange.write(&JsonLines(sink.clone()));
            let straight = sink.taken();
            let subscriber = tracing_subscriber::registry().with(JsonLines(sink.clone()));
            tracing::subscriber::with_default(subscriber, || exchange.trace());
            prop_assert_eq!(json(&straight), json(&sink.taken()));
        }
    }
}
