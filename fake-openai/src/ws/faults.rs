//! What a [`Script`](crate::Script) can do to a WebSocket. The keys `status`, `hang`, `delay`,
//! `garbage`, `cut-head`, `reset-head` and `header` act on the answer to the upgrade; `cut-at`,
//! `reset-at`, `cut-after` (frames), `drip` and `chunk-delay` (pause between the events of a
//! response) act on what follows it. These are for sockets alone:
//!
//! | key | effect |
//! | --- | --- |
//! | `wrong-accept` | proves the wrong key in the 101 |
//! | `subprotocol=x` | selects that one, offered or not |
//! | `extension=x` | accepts that extension, offered or not |
//! | `echo` | sends every frame of a message back as it came, in place of a session |
//! | `flood=100x65536`, `flood-binary=…` | so many messages of so many bytes, then close 1000, in place of a session |
//! | `fragment=100` | sends every message in frames of at most so many bytes |
//! | `interleave` | with a ping between two of them |
//! | `ping=500` | ms between its pings, 0 for none |
//! | `life=2000` | ms until the session's longest life ends |
//! | `speech=5000` | ms of sound in every answer |
//! | `ignore-close` | never answers a close frame |
//! | `after=3` | when the rest happens: after so many messages, 0 (unless told) for at once |
//! | `raw=8105…` | sends these bytes, in hexadecimal |
//! | `bad-frame=rsv1` | sends a frame that breaks a rule; the names are in `nasty` |
//! | `close-code=1012` `close-reason=…` | closes; with code 0 in a close frame that has none |
//! | `fin`, `reset` | ends the connection without a close frame |
//! | `stall` | neither reads nor writes any more |
//! | `half-open` | reads on, and never writes again |

use std::time::Duration;

use super::assembler::{Close, Kind};
use super::nasty;
use super::plain::Flood;
use crate::wire::percent_decode;

/// The keys above; the default changes nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) wrong_accept: bool,
    pub(crate) subprotocol: Option<String>,
    pub(crate) extension: Option<String>,
    pub(crate) echo: bool,
    pub(crate) flood: Option<Flood>,
    pub(crate) fragment: Option<usize>,
    pub(crate) interleave: bool,
    pub(crate) ping: Option<Duration>,
    pub(crate) life: Option<Duration>,
    pub(crate) speech: Option<Duration>,
    pub(crate) ignore_close: bool,
    pub(crate) after: u64,
    pub(crate) raw: Vec<u8>,
    pub(crate) close: Option<Close>,
    pub(crate) then: Option<Then>,
}

/// What becomes of a connection when the time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Closed without a close frame.
    Fin,
    /// Reset.
    Reset,
    /// Neither read nor written any more.
    Stall,
    /// Read and not written any more.
    HalfOpen,
}

impl Faults {
    /// Takes over one pair; `None` where it means nothing.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "wrong-accept" => self.wrong_accept = true,
            "subprotocol" => self.subprotocol = Some(percent_decode(value)),
            "extension" => self.extension = Some(percent_decode(value)),
            "echo" => self.echo = true,
            "flood" => self.flood = Some(flood(Kind::Text, value)?),
            "flood-binary" => self.flood = Some(flood(Kind::Binary, value)?),
            "fragment" => self.fragment = Some(value.parse().ok().filter(|size| *size > 0)?),
            "interleave" => self.interleave = true,
            "ping" => self.ping = Some(milliseconds(value)?),
            "life" => self.life = Some(milliseconds(value)?),
            "speech" => self.speech = Some(milliseconds(value)?),
            "ignore-close" => self.ignore_close = true,
            "after" => self.after = value.parse().ok()?,
            "raw" => self.raw.extend(from_hexadecimal(value)?),
            "bad-frame" => self.raw.extend(nasty::bytes(value)?),
            "close-code" => {
                let code = value.parse().ok()?;
                self.close_mut().code = Some(code).filter(|code| *code != 0);
            }
            "close-reason" => self.close_mut().reason = percent_decode(value),
            "fin" => self.then = Some(Then::Fin),
            "reset" => self.then = Some(Then::Reset),
            "stall" => self.then = Some(Then::Stall),
            "half-open" => self.then = Some(Then::HalfOpen),
            _ => return None,
        }
        Some(())
    }

    fn close_mut(&mut self) -> &mut Close {
        self.close.get_or_insert_with(|| Close::new(1000, ""))
    }
}

fn milliseconds(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_millis)
}

fn flood(kind: Kind, text: &str) -> Option<Flood> {
    let (messages, size) = text.split_once('x')?;
    Some(Flood::new(kind, messages.parse().ok()?, size.parse().ok()?))
}

fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs
        .map(|pair| u8::from_str_radix(pair?, 16).ok())
        .collect()
}
