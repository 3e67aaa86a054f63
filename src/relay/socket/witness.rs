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
    /// Data frames of the upstream's, as far as they have yet to end.
    heard: Vec<u8>,
    /// How much it has heard in all.
    length: usize,
}

impl Witness {
    pub(super) fn new(noter: Noter) -> Witness {
        Witness {
            noter: Some(noter),
            heard: Vec::new(),
            length: 0,
        }
    }

    /// Data frames went down, or parts of them.
    pub(super) fn frames(&mut self, bytes: &[u8]) {
        if self.noter.is_none() {
            return;
        }
        let mut heard = std::mem::take(&mut self.heard);
        heard.extend_from_slice(bytes);
        let mut rest = &heard[..];
        while let Ok(Some(head)) = Head::read(rest, Sender::Server, false) {
            let length = usize::try_from(head.payload).ok();
            let length = length.and_then(|payload| payload.checked_add(head.length));
            let Some((frame, behind)) = length.and_then(|length| rest.split_at_checked(length))
            else {
                break;
            };
            rest = behind;
            // An upstream that splits its first event is not understood; the session goes on.
            if head.is_final && head.opcode == Opcode::Text {
                self.tell(&frame[head.length..]);
            }
        }
        let left = rest.len();
        heard.drain(..heard.len() - left);
        self.heard = heard;
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
            self.heard = Vec::new();
        }
    }
}
