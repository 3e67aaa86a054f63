//! What speaks on a WebSocket, free of sockets and clocks.

use std::collections::VecDeque;

use bytes::Bytes;

use super::assembler::{Close, Kind, Message};
use super::frame::{Frame, Opcode};

/// One side of a conversation: it hears messages and puts what it says into an [`Outbox`].
pub(crate) trait Session: Send {
    /// The socket is open.
    fn open(&mut self, _: &mut Outbox) {}

    /// A frame of a message came; the message follows when it is whole.
    fn see(&mut self, _: &Frame, _: &mut Outbox) {}

    /// A whole message came.
    fn hear(&mut self, message: &Message, out: &mut Outbox);

    /// Whether it has more to say without being asked.
    fn speaks(&self) -> bool {
        false
    }

    /// Says the next of it; called whenever everything before has been written.
    fn speak(&mut self, _: &mut Outbox) {}

    /// The session's longest life has passed.
    fn expire(&mut self, out: &mut Outbox) {
        out.close(1001, "");
    }
}

/// What a session says, in order.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(super) said: VecDeque<Said>,
}

/// One thing said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A whole message.
    Message(Message),
    /// A frame, just so.
    Frame(Frame),
    /// The end.
    Close(Close),
}

impl Outbox {
    /// Says a message.
    pub(crate) fn message(&mut self, kind: Kind, payload: impl Into<Bytes>) {
        let payload = payload.into();
        self.said
            .push_back(Said::Message(Message { kind, payload }));
    }

    /// Says a frame that repeats another's payload and place in its message.
    pub(super) fn frame(&mut self, fin: bool, opcode: Opcode, payload: Bytes) {
        self.said
            .push_back(Said::Frame(Frame::new(fin, opcode, payload)));
    }

    /// Ends the socket after what was said before.
    pub(crate) fn close(&mut self, code: u16, reason: &str) {
        self.said.push_back(Said::Close(Close::new(code, reason)));
    }
}
