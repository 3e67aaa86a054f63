//! Pure: where frames and messages end in borrowed bytes. Payloads are neither unmasked nor copied.

use super::frame::{Control, Head, Opcode, Sender, Violation, protocol};

/// What stands at the start of the scanned bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    /// So many bytes are data frames, or parts of one, and may go on.
    pub(crate) data: usize,
    /// How many of them end with a frame, and with a message.
    pub(crate) frame_end: usize,
    pub(crate) message_end: usize,
    /// What comes behind them.
    pub(crate) then: Then,
}

/// What comes behind data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Not yet enough to tell.
    More,
    /// A control frame.
    Control(Control),
    /// Something that is no frame.
    Violation(Violation),
}

/// Walks over the frames of one direction. Each call takes the bytes behind those that the call
/// before called data, or behind its control frame.
#[derive(Clone, Debug)]
pub(crate) struct Scanner {
    sender: Sender,
    /// Payload of the frame at hand that has yet to come.
    left: u64,
    is_final: bool,
    is_in_frame: bool,
    is_in_message: bool,
    /// Payload of the message at hand so far announced.
    announced: u64,
    /// Whole messages, and payload bytes of messages, since they were last asked for.
    messages: u32,
    bytes: u32,
}

impl Scanner {
    /// A direction at its start.
    pub(crate) fn new(sender: Sender) -> Scanner {
        Scanner {
            sender,
            left: 0,
            is_final: true,
            is_in_frame: false,
            is_in_message: false,
            announced: 0,
            messages: 0,
            bytes: 0,
        }
    }

    /// Whole messages, and payload bytes of messages, since this was called last: of a few reads.
    pub(crate) fn take_counts(&mut self) -> (u32, u32) {
        (
            std::mem::take(&mut self.messages),
            std::mem::take(&mut self.bytes),
        )
    }

    /// Whether all data so far ends with a message.
    pub(crate) fn is_between_messages(&self) -> bool {
        !self.is_in_frame && !self.is_in_message
    }

    /// Finds what may go on. `max_message`: the largest message, in bytes of payload.
    pub(crate) fn scan(&mut self, bytes: &[u8], max_message: u64) -> Scan {
        let mut scan = Scan {
            data: 0,
            frame_end: 0,
            message_end: 0,
            then: Then::More,
        };
        loop {
            if self.is_in_frame {
                scan.data += self.pass(bytes.len() - scan.data);
                if self.left > 0 {
                    return scan;
                }
                self.end_frame();
                scan.frame_end = scan.data;
                if !self.is_in_message {
                    scan.message_end = scan.data;
                }
            }
            let rest = &bytes[scan.data..];
            match Head::read(rest, self.sender, false) {
                Ok(None) => return scan,
                Ok(Some(head)) if head.opcode.is_control() => {
                    scan.then = Control::read(&head, rest).map_or(Then::More, Then::Control);
                    return scan;
                }
                Ok(Some(head)) => match self.begin_frame(&head, max_message) {
                    Ok(()) => scan.data += head.length,
                    Err(violation) => {
                        scan.then = Then::Violation(violation);
                        return scan;
                    }
                },
                Err(violation) => {
                    scan.then = Then::Violation(violation);
                    return scan;
                }
            }
        }
    }

    fn begin_frame(&mut self, head: &Head, max_message: u64) -> Result<(), Violation> {
        let before = match (head.opcode, self.is_in_message) {
            (Opcode::Continuation, true) => self.announced,
            (Opcode::Continuation, false) => {
                return Err(protocol("a continuation has nothing to continue"));
            }
            (_, false) => 0,
            (_, true) => return Err(protocol("a message begins within another")),
        };
        let length = before.saturating_add(head.payload);
        if length > max_message {
            return Err(Violation::too_large());
        }
        (self.is_in_message, self.announced) = (true, length);
        self.left = head.payload;
        self.is_final = head.is_final;
        self.is_in_frame = true;
        Ok(())
    }

    /// Takes payload off the frame at hand; how much.
    fn pass(&mut self, available: usize) -> usize {
        let available = available as u64;
        let passed = self.left.min(available);
        self.left -= passed;
        let counted = u32::try_from(passed).unwrap_or(u32::MAX);
        self.bytes = self.bytes.saturating_add(counted);
        usize::try_from(passed).unwrap_or(usize::MAX)
    }

    fn end_frame(&mut self) {
        self.is_in_frame = false;
        if self.is_final {
            self.is_in_message = false;
            self.messages += 1;
        }
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
