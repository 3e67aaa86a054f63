//! Witness: hears on a Live socket which session it is, so that the session is known to be its maker's.
//! Nothing that it hears is held up or changed.

use super::frame::{Head, Opcode, Sender};
use crate::admission::Noter;
use crate::relay::live::session_id;

/// The session is named in what the upstream says first: how much of that is heard, in bytes.
const MOST: usize = 64 * 1024;

/// Waits for the session's id.
pub(super) struct Witness {
    /// None once it has heard.
    noter: Option<Noter>,
    frames: Frames,
    /// How much it has heard in all.
    length: usize,
}

impl Witness {
    pub(super) fn new(noter: Noter) -> Witness {
        Witness {
            noter: Some(noter),
            frames: Frames::default(),
            length: 0,
        }
    }

    /// Data frames went down, or parts of them.
    pub(super) fn frames(&mut self, bytes: &[u8]) {
        if self.noter.is_none() {
            return;
        }
        let mut frames = std::mem::take(&mut self.frames);
        frames.add(bytes, |text| self.tell(text));
        self.frames = frames;
        self.bound(bytes.len());
    }

    /// A message of text went down.
    pub(super) fn message(&mut self, text: &[u8]) {
        self.tell(text);
        self.bound(text.len());
    }

    fn tell(&mut self, text: &[u8]) {
        if self.noter.is_some()
            && let Some(id) = session_id(text)
            && let Some(noter) = self.noter.take()
        {
            noter.note(&id);
        }
    }

    /// Hears no more once that is enough.
    fn bound(&mut self, more: usize) {
        self.length = self.length.saturating_add(more);
        if self.length > MOST {
            self.noter = None;
        }
        if self.noter.is_none() {
            self.frames = Frames::default();
        }
    }
}

/// Data frames of the upstream's, as far as they have yet to end.
#[derive(Default)]
struct Frames(Vec<u8>);

impl Frames {
    /// More bytes of them; shows each message of text that is one frame. An upstream that splits its
    /// first event is not understood; the session goes on.
    fn add(&mut self, bytes: &[u8], mut text: impl FnMut(&[u8])) {
        self.0.extend_from_slice(bytes);
        let mut rest = &self.0[..];
        while let Ok(Some(head)) = Head::read(rest, Sender::Server, false) {
            let length = usize::try_from(head.payload).ok();
            let length = length.and_then(|payload| payload.checked_add(head.length));
            let Some((frame, behind)) = length.and_then(|length| rest.split_at_checked(length))
            else {
                break;
            };
            rest = behind;
            if head.is_final && head.opcode == Opcode::Text {
                text(&frame[head.length..]);
            }
        }
        let taken = self.0.len() - rest.len();
        self.0.drain(..taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_heard_wherever_what_is_read_ends() {
        let long = "x".repeat(300);
        let mut bytes =
            b"\x81\x02hi\x82\x03\x01\x02\x03\x01\x01a\x80\x01b\x81\x7e\x01\x2c".to_vec();
        bytes.extend_from_slice(long.as_bytes());
        bytes.extend_from_slice(b"\x81\x05la");
        for cut in 0..bytes.len() {
            let (mut frames, mut heard) = (Frames::default(), Vec::new());
            for part in [&bytes[..cut], &bytes[cut..]] {
                frames.add(part, |text| heard.push(text.to_vec()));
            }
            assert_eq!(heard, [b"hi".as_slice(), long.as_bytes()], "cut at {cut}");
            assert_eq!(frames.0, b"\x81\x05la", "what has yet to end");
        }
    }
}
