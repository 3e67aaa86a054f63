//! Log lines for people: what the message says already is not said again.

use std::fmt::{self, Debug};

use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// Fields that the message of an exchange's line repeats.
const SAID: [&str; 4] = ["method", "path", "status", "outcome"];

/// The time to the second, in UTC (RFC 3339).
pub(super) struct Second;

impl FormatTime for Second {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        let now = OffsetDateTime::now_utc();
        let (hour, minute, second) = now.time().as_hms();
        write!(out, "{}T{hour:02}:{minute:02}:{second:02}Z", now.date())
    }
}

/// The message, and `name=value` for each field that it does not hold.
pub(super) struct Facts;

impl<'w> FormatFields<'w> for Facts {
    fn format_fields<R: RecordFields>(&self, out: Writer<'w>, fields: R) -> fmt::Result {
        let mut words = Words {
            out,
            is_first: true,
            written: Ok(()),
        };
        fields.record(&mut words);
        words.written
    }
}

struct Words<'w> {
    out: Writer<'w>,
    is_first: bool,
    written: fmt::Result,
}

impl Words<'_> {
    fn word(&mut self, field: &Field, value: fmt::Arguments<'_>) -> fmt::Result {
        let name = field.name();
        if SAID.contains(&name) {
            return Ok(());
        }
        if !std::mem::replace(&mut self.is_first, false) {
            self.out.write_char(' ')?;
        }
        match (name, self.out.has_ansi_escapes()) {
            ("message", _) => self.out.write_fmt(value),
            (_, true) => write!(self.out, "\x1b[2m{name}=\x1b[0m{value}"),
            (_, false) => write!(self.out, "{name}={value}"),
        }
    }
}

impl Visit for Words<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.written = self
            .written
            .and_then(|()| self.word(field, format_args!("{value}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"';
        let written = if !value.is_empty() && value.bytes().all(is_plain) {
            self.written
                .and_then(|()| self.word(field, format_args!("{value}")))
        } else {
            self.written
                .and_then(|()| self.word(field, format_args!("{value:?}")))
        };
        self.written = written;
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.written = self
            .written
            .and_then(|()| self.word(field, format_args!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("a lock").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_says_everything_once_and_quotes_what_could_be_misread() {
        let lines = Lines::default();
        let written = lines.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_target(false)
            .with_timer(Second)
            .fmt_fields(Facts)
            .with_writer(move || written.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(
                method = "GET",
                path = "/v1/models",
                status = 200,
                outcome = "completed",
                subject = "relay token",
                client = %"127.0.0.1",
                total_ms = 1.25,
                code = "",
                "GET /v1/models 200 completed"
            );
        });
        let text = String::from_utf8(lines.0.lock().expect("a lock").clone()).expect("text");
        let (time, line) = text.split_once("  INFO ").expect("a time and a level");
        assert_eq!(time.len(), "2026-11-21T16:15:37Z".len());
        let expected = "GET /v1/models 200 completed subject=\"relay token\" client=127.0.0.1 total_ms=1.25 code=\"\"\n";
        assert_eq!(line, expected);
    }
}
