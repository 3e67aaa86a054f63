//! Pure but for the clock: a log line as one object in JSON: time, level, what the event says, and
//! who says it. Written straight into one buffer for each thread, because every exchange has one.

use std::cell::RefCell;
use std::fmt::{Debug, Error, Write};
use std::net::IpAddr;

use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::redact::redact;
use super::sink::Sink;

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// A second, and how it is written.
    static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
}

/// Room that a thread's buffer keeps; a longer line is rare.
const KEPT: usize = 4096;

/// Writes events as lines of JSON.
pub(super) struct JsonLines(pub(super) Sink);

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        with_line(|line| {
            let write = |line: &mut Object<'_>| event.record(&mut Members(line));
            write_line(line, *metadata.level(), metadata.target(), write);
            self.0.write(&String::from_utf8_lossy(line));
        });
    }
}

impl JsonLines {
    /// Writes one line. What is in it as text was redacted piece by piece.
    pub(super) fn line(&self, level: Level, target: &str, write: impl FnOnce(&mut Object<'_>)) {
        with_line(|line| {
            write_line(line, level, target, write);
            self.0.write_clean(line);
        });
    }
}

fn with_line(write: impl FnOnce(&mut Vec<u8>)) {
    LINE.with(|line| match line.try_borrow_mut() {
        Ok(mut line) => {
            write(&mut line);
            line.clear();
            line.shrink_to(KEPT);
        }
        // An event within another's field.
        Err(_) => write(&mut Vec::new()),
    });
}

fn write_line(line: &mut Vec<u8>, level: Level, target: &str, write: impl FnOnce(&mut Object<'_>)) {
    line.extend_from_slice(b"{\"timestamp\":\"");
    write_time(line, OffsetDateTime::now_utc());
    line.extend_from_slice(b"\",\"level\":\"");
    line.extend_from_slice(level.as_str().as_bytes());
    line.push(b'"');
    write(&mut Object(line));
    line.extend_from_slice(b",\"target\":\"");
    escape(line, target);
    line.extend_from_slice(b"\"}\n");
}

/// RFC 3339 to the microsecond. All but the fraction is the same for a second.
fn write_time(out: &mut Vec<u8>, now: OffsetDateTime) {
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
        out.extend_from_slice(text.as_bytes());
    });
    out.push(b'.');
    write_digits(out, now.microsecond().into(), 6);
    out.push(b'Z');
}

/// A number, with zeros before it up to a length of at most 20.
fn write_digits(out: &mut Vec<u8>, number: u64, least: usize) {
    let mut digits = [b'0'; 20];
    let (mut count, mut left) = (0, number);
    for digit in digits.iter_mut().rev() {
        if left == 0 && count >= least {
            break;
        }
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
        count += 1;
    }
    out.extend_from_slice(&digits[digits.len() - count..]);
}

/// An object that has a member already, and gets more. Names are the program's own words, as is
/// what comes as a word.
pub(super) struct Object<'a>(&'a mut Vec<u8>);

impl Object<'_> {
    #[inline]
    fn name(&mut self, name: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// Text of others, without its secrets, if there is any.
    pub(super) fn text<'t>(&mut self, name: &str, text: impl Into<Option<&'t str>>) {
        if let Some(text) = text.into() {
            self.clean_text(name, &redact(text));
        }
    }

    /// Text of others that has no secrets.
    pub(super) fn clean_text(&mut self, name: &str, text: &str) {
        self.begin_text(name);
        escape(self.0, text);
        self.end_text();
    }

    /// A word of the program's own, if there is one.
    pub(super) fn word(&mut self, name: &str, word: impl Into<Option<&'static str>>) {
        if let Some(word) = word.into() {
            self.begin_text(name);
            self.0.extend_from_slice(word.as_bytes());
            self.end_text();
        }
    }

    /// What an exchange was, in four words of which the first two have no secrets.
    pub(super) fn message(&mut self, method: &str, path: &str, status: u16, outcome: &'static str) {
        self.begin_text("message");
        escape(self.0, method);
        self.0.push(b' ');
        escape(self.0, path);
        self.0.push(b' ');
        write_digits(self.0, status.into(), 1);
        self.0.push(b' ');
        self.0.extend_from_slice(outcome.as_bytes());
        self.end_text();
    }

    /// A number, if there is one.
    pub(super) fn number(&mut self, name: &str, number: impl Into<Option<u64>>) {
        if let Some(number) = number.into() {
            self.name(name);
            write_digits(self.0, number, 1);
        }
    }

    /// A number of thousandths as a fraction, if there is one.
    pub(super) fn thousandths(&mut self, name: &str, number: impl Into<Option<u64>>) {
        let Some(number) = number.into() else {
            return;
        };
        self.number(name, number / 1000);
        if !number.is_multiple_of(1000) {
            self.0.push(b'.');
            write_digits(self.0, number % 1000, 3);
            while self.0.last() == Some(&b'0') {
                self.0.pop();
            }
        }
    }

    /// An address.
    pub(super) fn address(&mut self, name: &str, address: IpAddr) {
        self.begin_text(name);
        match address {
            IpAddr::V4(address) => {
                for (at, octet) in address.octets().into_iter().enumerate() {
                    if at > 0 {
                        self.0.push(b'.');
                    }
                    write_digits(self.0, octet.into(), 1);
                }
            }
            IpAddr::V6(address) => {
                let _ = write!(Escaped(self.0), "{address}");
            }
        }
        self.end_text();
    }

    fn begin_text(&mut self, name: &str) {
        self.name(name);
        self.0.push(b'"');
    }

    fn end_text(&mut self) {
        self.0.push(b'"');
    }
}

/// Fields of an event as members. The line is redacted as a whole.
struct Members<'a, 'b>(&'a mut Object<'b>);

impl Members<'_, '_> {
    fn number(&mut self, field: &Field, value: impl std::fmt::Display) {
        self.0.name(field.name());
        let _ = write!(Escaped(self.0.0), "{value}");
    }
}

impl Visit for Members<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.begin_text(field.name());
        escape(self.0.0, value);
        self.0.end_text();
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.begin_text(field.name());
        let _ = write!(Escaped(self.0.0), "{value:?}");
        self.0.end_text();
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.number(field, value);
        } else {
            self.0.name(field.name());
            self.0.0.extend_from_slice(b"null");
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
struct Escaped<'a>(&'a mut Vec<u8>);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> Result<(), Error> {
        escape(self.0, text);
        Ok(())
    }
}

/// Bytes that cannot stand in a string as they are.
const ESCAPED: [bool; 256] = {
    let mut escaped = [false; 256];
    let mut at = 0;
    while at < 0x20 {
        escaped[at] = true;
        at += 1;
    }
    escaped[b'"' as usize] = true;
    escaped[b'\\' as usize] = true;
    escaped
};

/// RFC 8259 section 7.
fn escape(out: &mut Vec<u8>, text: &str) {
    // Nearly always there is nothing to escape: all bytes are looked at, many at a time.
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    let bytes = text.as_bytes();
    if bytes
        .iter()
        .fold(true, |plain, byte| plain & is_plain(*byte))
    {
        return out.extend_from_slice(bytes);
    }
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| ESCAPED[usize::from(*byte)]) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_comes_back_from_a_line(text in any::<String>()) {
            let mut out = b"\"".to_vec();
            escape(&mut out, &text);
            out.push(b'"');
            prop_assert_eq!(serde_json::from_slice::<String>(&out).expect("JSON"), text);
        }
    }

    #[test]
    fn a_time_is_written_as_in_rfc_3339_and_seconds_are_not_mixed_up() {
        let time = |nanoseconds| {
            let mut out = Vec::new();
            let time = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds);
            write_time(&mut out, time.expect("a time"));
            String::from_utf8(out).expect("text")
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
