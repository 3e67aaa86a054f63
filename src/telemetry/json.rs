//! Pure but for the clock: a log line as one object in JSON: time, level, what the event says, and
//! who says it. Written straight into one buffer for each thread, because every exchange has one.

use std::cell::RefCell;
use std::fmt::{Debug, Error, Write};

use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::sink::Sink;

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
    /// A second, and how it is written.
    static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
}

/// Room that a thread's buffer keeps; a longer line is rare.
const KEPT: usize = 4096;

/// Writes events as lines of JSON.
pub(super) struct JsonLines(pub(super) Sink);

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        LINE.with(|line| match line.try_borrow_mut() {
            Ok(mut line) => {
                self.write(&mut line, event);
                line.clear();
                line.shrink_to(KEPT);
            }
            // An event within another's field.
            Err(_) => self.write(&mut String::new(), event),
        });
    }
}

impl JsonLines {
    fn write(&self, line: &mut String, event: &Event<'_>) {
        let metadata = event.metadata();
        line.push_str("{\"timestamp\":\"");
        write_time(line, OffsetDateTime::now_utc());
        line.push_str("\",\"level\":\"");
        line.push_str(metadata.level().as_str());
        line.push('"');
        event.record(&mut Members(line));
        line.push_str(",\"target\":\"");
        escape(line, metadata.target());
        line.push_str("\"}\n");
        self.0.write(line);
    }
}

/// RFC 3339 to the microsecond. All but the fraction is the same for a second.
fn write_time(out: &mut String, now: OffsetDateTime) {
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != now.unix_timestamp() {
            *second = now.unix_timestamp();
            text.clear();
            let (date, time) = (now.date(), now.time());
            let _ = write!(
                text,
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
                date.year(),
                u8::from(date.month()),
                date.day(),
                time.hour(),
                time.minute(),
                time.second()
            );
        }
        out.push_str(text);
    });
    let _ = write!(out, ".{:06}Z", now.microsecond());
}

/// Fields as members of an object that has one already.
struct Members<'a>(&'a mut String);

impl Members<'_> {
    fn name(&mut self, field: &Field) {
        self.0.push_str(",\"");
        // Names are the program's own words.
        self.0.push_str(field.name());
        self.0.push_str("\":");
    }

    fn number(&mut self, field: &Field, value: impl std::fmt::Display) {
        self.name(field);
        let _ = write!(self.0, "{value}");
    }
}

impl Visit for Members<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        self.0.push('"');
        escape(self.0, value);
        self.0.push('"');
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.name(field);
        self.0.push('"');
        let _ = write!(Escaped(self.0), "{value:?}");
        self.0.push('"');
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.number(field, value);
        } else {
            self.name(field);
            self.0.push_str("null");
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.number(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.number(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.number(field, value);
    }
}

/// What is formatted into it stands in a string.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> Result<(), Error> {
        escape(self.0, text);
        Ok(())
    }
}

/// RFC 8259 section 7.
fn escape(out: &mut String, text: &str) {
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
    }
    out.push_str(&text[plain..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_comes_back_from_a_line(text in any::<String>()) {
            let mut out = String::from("\"");
            escape(&mut out, &text);
            out.push('"');
            prop_assert_eq!(serde_json::from_str::<String>(&out).expect("JSON"), text);
        }
    }

    #[test]
    fn a_time_is_written_as_in_rfc_3339_and_seconds_are_not_mixed_up() {
        let time = |nanoseconds| {
            let mut out = String::new();
            let time = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds);
            write_time(&mut out, time.expect("a time"));
            out
        };
        assert_eq!(time(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(
            time(1_700_000_000_012_345_678),
            "2023-11-14T22:13:20.012345Z"
        );
        assert_eq!(
            time(1_700_000_000_999_999_999),
            "2023-11-14T22:13:20.999999Z"
        );
        assert_eq!(
            time(1_700_000_001_000_000_000),
            "2023-11-14T22:13:21.000000Z"
        );
    }

    #[test]
    fn an_event_is_one_object_with_its_fields_as_they_are() {
        use tracing_subscriber::layer::SubscriberExt;
        let sink = Sink::default();
        let subscriber = tracing_subscriber::registry().with(JsonLines(sink.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target: "t", text = "a \"b\"\n", number = -3, share = 0.25, odd = f64::NAN,
                yes = true, none = None::<u64>, shown = %"x\\y", "said {}", "so");
        });
        let line = sink.taken();
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let wanted = serde_json::json!({"timestamp": line["timestamp"], "level": "WARN", "message": "said so",
            "text": "a \"b\"\n", "number": -3, "share": 0.25, "odd": null, "yes": true, "shown": "x\\y", "target": "t"});
        assert_eq!(line, wanted);
    }
}
