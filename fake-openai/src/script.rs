//! What to do to one exchange instead of, or around, the normal answer.
//!
//! Written as `key=value` pairs between spaces or semicolons, pushed by a test or carried by the
//! request header `X-Fake-Script`, which passes through any SDK and any relay:
//!
//! | key | effect |
//! | --- | --- |
//! | `status=429` | answers that error; with `html` as Cloudflare does |
//! | `type=…` `code=…` | of that error |
//! | `retry-after=1` `retry-after-ms=20` `should-retry=false` | adds the header |
//! | `header=Name:value` | adds a header; `%XX` is decoded |
//! | `key=abc` `times=2` | applies to the first two requests with that key only |
//! | `delay=500` | ms before the head |
//! | `chunk-delay=50` | ms between chunks |
//! | `silence=1000` | ms between the first chunk and the second |
//! | `drip=5` | one byte per so many ms |
//! | `hang=head`, `hang=body`, `hang=accept-body` | falls silent before the head, after the first chunk (or half of what is whole), or before reading the body |
//! | `reset-at=100`, `cut-at=100` | resets or closes after so many body bytes |
//! | `cut-after=3` | closes after so many chunks of a stream |
//! | `reset-head=20`, `cut-head=20` | resets or closes after so many bytes of the head, 0 for none |
//! | `half-close` | closes its side before the head, and goes on reading |
//! | `wrong-length=5` | announces so many bytes more than follow |
//! | `garbage` | answers something that is not HTTP |
//! | `trailers`, `close` | sends trailers, closes afterwards |
//! | `no-request-id`, `no-rate-limits` | leaves those headers out |
//!
//! What it can do to a WebSocket is listed in `ws::faults`.

use std::str::FromStr;
use std::time::Duration;

use crate::wire::percent_decode;
use crate::ws::Faults;

/// One script; the default changes nothing.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub(crate) status: Option<u16>,
    pub(crate) html: bool,
    pub(crate) kind: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) key: Option<String>,
    pub(crate) times: Option<u64>,
    pub(crate) delay: Duration,
    pub(crate) chunk_delay: Option<Duration>,
    pub(crate) silence: Duration,
    pub(crate) drip: Option<Duration>,
    pub(crate) hang: Option<Hang>,
    pub(crate) reset_at: Option<usize>,
    pub(crate) cut_at: Option<usize>,
    pub(crate) cut_after: Option<usize>,
    pub(crate) reset_head: Option<usize>,
    pub(crate) cut_head: Option<usize>,
    pub(crate) half_close: bool,
    pub(crate) wrong_length: Option<i64>,
    pub(crate) garbage: bool,
    pub(crate) trailers: bool,
    pub(crate) close: bool,
    pub(crate) no_request_id: bool,
    pub(crate) no_rate_limits: bool,
    pub(crate) socket: Faults,
}

/// Where an exchange falls silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hang {
    /// The body of the request is never read.
    AcceptBody,
    /// There is never an answer.
    Head,
    /// The answer stops after its first piece.
    Body,
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Script, String> {
        let mut script = Script::default();
        let words = text.split([' ', ';']).filter(|word| !word.is_empty());
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            script
                .set(key, value)
                .ok_or_else(|| format!("X-Fake-Script: `{word}` is not understood"))?;
        }
        Ok(script)
    }
}

impl Script {
    /// Takes over one pair; `None` where it means nothing.
    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "status" => self.status = Some(value.parse().ok()?),
            "html" => self.html = true,
            "type" => self.kind = Some(value.to_owned()),
            "code" => self.code = Some(value.to_owned()),
            "retry-after" | "retry-after-ms" => self.add_header(key, value),
            "should-retry" => self.add_header("x-should-retry", value),
            "header" => {
                let (name, value) = value.split_once(':')?;
                self.add_header(name, value);
            }
            "key" => self.key = Some(value.to_owned()),
            "times" => self.times = Some(value.parse().ok()?),
            "delay" => self.delay = milliseconds(value)?,
            "chunk-delay" => self.chunk_delay = Some(milliseconds(value)?),
            "silence" => self.silence = milliseconds(value)?,
            "drip" => self.drip = Some(milliseconds(value)?),
            "hang" => self.hang = Some(hang(value)?),
            "reset-at" => self.reset_at = Some(value.parse().ok()?),
            "cut-at" => self.cut_at = Some(value.parse().ok()?),
            "cut-after" => self.cut_after = Some(value.parse().ok()?),
            "reset-head" => self.reset_head = Some(value.parse().ok()?),
            "cut-head" => self.cut_head = Some(value.parse().ok()?),
            "half-close" => self.half_close = true,
            "wrong-length" => self.wrong_length = Some(value.parse().ok()?),
            "garbage" => self.garbage = true,
            "trailers" => self.trailers = true,
            "close" => self.close = true,
            "no-request-id" => self.no_request_id = true,
            "no-rate-limits" => self.no_rate_limits = true,
            _ => self.socket.set(key, value)?,
        }
        Some(())
    }

    fn add_header(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), percent_decode(value)));
    }
}

fn milliseconds(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_millis)
}

fn hang(text: &str) -> Option<Hang> {
    match text {
        "accept-body" => Some(Hang::AcceptBody),
        "head" => Some(Hang::Head),
        "body" => Some(Hang::Body),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_from_words_in_any_order() {
        let script: Script = "times=2 key=a;status=429 retry-after-ms=20 header=X-A:b%20c"
            .parse()
            .expect("a script");
        assert_eq!(script.status, Some(429));
        assert_eq!((script.key.as_deref(), script.times), (Some("a"), Some(2)));
        let headers = [("retry-after-ms", "20"), ("X-A", "b c")];
        assert!(
            headers
                .iter()
                .zip(&script.headers)
                .all(|(a, b)| *a == (&*b.0, &*b.1))
        );
    }

    #[test]
    fn what_a_script_does_not_know_is_an_error_that_names_it() {
        for word in ["statsu=429", "status=abc", "hang=never", "delay=1s"] {
            let error = word.parse::<Script>().expect_err("refused");
            assert!(error.contains(word), "{error}");
        }
    }
}
