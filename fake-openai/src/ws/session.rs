//! What speaks on a WebSocket, free of sockets and clocks.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{broadcast, mpsc};

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

    /// What it listens to besides its socket.
    fn ear(&mut self) -> Option<&mut Ear> {
        None
    }

    /// Something was heard there.
    fn overhear(&mut self, _: Overheard, _: &mut Outbox) {}

    /// The session's longest life has passed.
    fn expire(&mut self, out: &mut Outbox) {
        out.close(1001, "");
    }
}

/// Where something besides the socket is heard.
#[derive(Debug)]
pub(crate) enum Ear {
    /// What another session says.
    Events(broadcast::Receiver<Said>),
    /// What other sockets want of this session.
    Commands(mpsc::Receiver<Message>),
}

/// What was heard there.
#[derive(Clone, Debug)]
pub(crate) enum Overheard {
    /// The other session said this.
    Event(Said),
    /// Another socket wants this.
    Command(Message),
    /// Some of what was said is lost.
    Lost,
    /// There is nobody left to hear.
    End,
}

impl Ear {
    /// Waits for the next. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Overheard {
        match self {
            Ear::Events(events) => match events.recv().await {
                Ok(said) => Overheard::Event(said),
                Err(broadcast::error::RecvError::Lagged(_)) => Overheard::Lost,
                Err(broadcast::error::RecvError::Closed) => Overheard::End,
            },
            Ear::Commands(commands) => commands
                .recv()
                .await
                .map_or(Overheard::End, Overheard::Command),
        }
    }
}

/// What a session says, in order.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    said: VecDeque<Said>,
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
    /// Says an event: one object of JSON in one text.
    pub(crate) fn event(&mut self, event: &Value) {
        self.message(Kind::Text, event.to_string());
    }

    /// Says what another session said.
    pub(crate) fn repeat(&mut self, said: Said) {
        self.said.push_back(said);
    }

    /// What was said, which is then forgotten.
    pub(crate) fn take(&mut self) -> VecDeque<Said> {
        std::mem::take(&mut self.said)
    }

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
