//! Sessions without a protocol above the frames: an echo, and a flood.

use bytes::Bytes;

use super::assembler::{Kind, Message};
use super::frame::Frame;
use super::session::{Outbox, Session};
use crate::deterministic_bytes;

/// Sends every frame of every message back as it came, unmasked.
#[derive(Debug)]
pub(crate) struct Echo;

impl Session for Echo {
    fn see(&mut self, frame: &Frame, out: &mut Outbox) {
        let Frame { head, payload } = frame;
        out.frame(head.fin, head.opcode, payload.clone());
    }

    fn hear(&mut self, _: &Message, _: &mut Outbox) {}
}

/// So many messages of one size, as fast as they are taken; then a close with 1000.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flood {
    pub(crate) kind: Kind,
    pub(crate) messages: u64,
    /// Bytes of each.
    pub(crate) size: usize,
    said: u64,
}

impl Flood {
    pub(crate) fn new(kind: Kind, messages: u64, size: usize) -> Flood {
        Flood {
            kind,
            messages,
            size,
            said: 0,
        }
    }
}

impl Session for Flood {
    fn hear(&mut self, _: &Message, _: &mut Outbox) {}

    fn speaks(&self) -> bool {
        self.said <= self.messages
    }

    fn speak(&mut self, out: &mut Outbox) {
        if self.said == self.messages {
            out.close(1000, "");
        } else {
            out.message(self.kind, flood_message(self.kind, self.said, self.size));
        }
        self.said += 1;
    }
}

/// What a flood says as its message number `at`, counted from 0.
pub fn flood_message(kind: Kind, at: u64, size: usize) -> Bytes {
    let mut bytes = deterministic_bytes(at + 1, size);
    if kind == Kind::Text {
        for byte in &mut bytes {
            *byte = b' ' + *byte % 95;
        }
    }
    Bytes::from(bytes)
}
