//! What is left of a limit, as answers tell of it.

use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::Fields;

/// What is left of a limit on requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// How many requests it holds.
    pub limit: u32,
    /// How many would be let in now.
    pub remaining: u32,
    /// When it is whole again.
    pub reset: Duration,
}

impl Allowance {
    /// Tells of it as OpenAI tells of its own (wire.md 1.3), unless that is told already.
    pub fn write(&self, fields: &mut Fields) {
        let is_told = fields.names().any(|name| name.starts_with("x-ratelimit-"));
        if !is_told {
            fields.extend(self.lines());
        }
    }

    /// The lines that tell of it.
    pub fn lines(&self) -> [(HeaderName, HeaderValue); 3] {
        const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
        const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
        const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");
        let reset = HeaderValue::try_from(Span(self.reset).to_string());
        [
            (LIMIT, HeaderValue::from(self.limit)),
            (REMAINING, HeaderValue::from(self.remaining)),
            (RESET, reset.expect("digits and letters")),
        ]
    }
}

/// A time as OpenAI writes it: `120ms`, `1.5s`, `6m0s`.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total_ms = self.0.as_micros().div_ceil(1000);
        if total_ms < 1000 {
            return write!(out, "{total_ms}ms");
        }
        let (total_s, ms) = (total_ms / 1000, total_ms % 1000);
        let (h, m, s) = (total_s / 3600, total_s / 60 % 60, total_s % 60);
        if h > 0 {
            write!(out, "{h}h")?;
        }
        if h > 0 || m > 0 {
            write!(out, "{m}m")?;
        }
        match ms {
            0 => write!(out, "{s}s"),
            ms => write!(out, "{}s", format!("{s}.{ms:03}").trim_end_matches('0')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_told_in_openais_form_unless_the_upstream_told_its_own() {
        let allowance = Allowance {
            limit: 60,
            remaining: 59,
            reset: Duration::from_millis(1500),
        };
        let mut fields = Fields::new();
        allowance.write(&mut fields);
        for (name, value) in [("limit", "60"), ("remaining", "59"), ("reset", "1.5s")] {
            let name = format!("x-ratelimit-{name}-requests").parse();
            assert_eq!(fields.text(&name.expect("a name")), Some(value));
        }
        let tokens = HeaderName::from_static("x-ratelimit-limit-tokens");
        let mut told = Fields::from_iter([(tokens, HeaderValue::from_static("7"))]);
        let before = told.clone();
        allowance.write(&mut told);
        assert_eq!(told, before);
    }

    #[test]
    fn spans_are_written_as_openai_writes_them() {
        for (micros, text) in [
            (0, "0ms"),
            (1, "1ms"),
            (120_000, "120ms"),
            (1_000_000, "1s"),
            (8_640_000, "8.64s"),
            (360_000_000, "6m0s"),
            (90_951_000, "1m30.951s"),
            (3_600_000_000, "1h0m0s"),
        ] {
            assert_eq!(Span(Duration::from_micros(micros)).to_string(), text);
        }
    }
}
