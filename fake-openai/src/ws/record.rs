//! What went over a WebSocket, each way.

use sha2::{Digest, Sha256};

use super::assembler::{Close, Kind};
use super::frame::{Frame, FrameHead, Opcode};
use crate::record::{Received, hexadecimal};

/// How many bytes, and of how many frames the head, are kept.
const KEPT_BYTES: usize = 64 * 1024;
const KEPT_FRAMES: usize = 16 * 1024;

/// One WebSocket, from its upgrade on.
#[derive(Clone, Debug, Default)]
pub struct SocketRecord {
    /// The request that asked for it.
    pub request: Received,
    /// The subprotocols that were offered, in order.
    pub subprotocols: Vec<String>,
    /// The one that the answer names, if any.
    pub selected: Option<String>,
    /// The extensions that were offered, with their parameters; none is ever accepted.
    pub extensions: Vec<String>,
    /// Whether permessage-deflate is among them.
    pub deflate_offered: bool,
    /// What came from the client.
    pub received: Traffic,
    /// What was given to the client's connection.
    pub sent: Traffic,
    /// Which rule the client broke, if it did.
    pub violation: Option<String>,
    /// Whether the client ended its side of the connection, with or without a close frame.
    pub left: bool,
    /// Whether the stand-in still serves it.
    pub open: bool,
}

/// One direction of a WebSocket.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// All bytes, heads of frames included.
    pub wire_bytes: u64,
    /// The first 64 KiB of them, as they were on the wire.
    pub wire: Vec<u8>,
    /// All frames.
    pub frames: u64,
    /// The heads of the first 16,384 frames.
    pub heads: Vec<FrameHead>,
    /// The texts.
    pub text: Tally,
    /// The binary messages.
    pub binary: Tally,
    /// The first messages, up to 64 KiB together; the last of them may be cut short.
    pub messages: Vec<Vec<u8>>,
    /// The payloads of the first 16,384 pings.
    pub pings: Vec<Vec<u8>>,
    /// The payloads of the first 16,384 pongs.
    pub pongs: Vec<Vec<u8>>,
    /// The close frame, if there was one.
    pub close: Option<Close>,
    /// The kind of the message that has begun and not ended.
    begun: Option<Kind>,
    kept: usize,
}

/// Messages of one kind.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many are complete.
    pub messages: u64,
    /// Bytes of payload, those of an unfinished message included.
    pub bytes: u64,
    digest: Sha256,
}

impl Tally {
    /// SHA-256 of all payloads one after another, in hexadecimal.
    pub fn sha256(&self) -> String {
        hexadecimal(&self.digest.clone().finalize())
    }
}

impl Traffic {
    /// The first messages, as texts.
    pub fn texts(&self) -> Vec<String> {
        let texts = self.messages.iter();
        texts
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .collect()
    }

    /// Counts messages of both kinds.
    pub fn message_count(&self) -> u64 {
        self.text.messages + self.binary.messages
    }

    pub(super) fn add_wire(&mut self, bytes: &[u8]) {
        self.wire_bytes += bytes.len() as u64;
        let room = KEPT_BYTES.saturating_sub(self.wire.len());
        self.wire.extend_from_slice(&bytes[..room.min(bytes.len())]);
    }

    pub(super) fn add_frame(&mut self, frame: &Frame) {
        self.frames += 1;
        keep(&mut self.heads, frame.head);
        match frame.head.opcode {
            Opcode::Ping => keep(&mut self.pings, frame.payload.to_vec()),
            Opcode::Pong => keep(&mut self.pongs, frame.payload.to_vec()),
            Opcode::Close => self.close = Some(Close::read(&frame.payload)),
            Opcode::Text => self.add_data(Kind::Text, frame),
            Opcode::Binary => self.add_data(Kind::Binary, frame),
            Opcode::Continuation => {
                let kind = self.begun.unwrap_or(Kind::Binary);
                self.add_data(kind, frame);
            }
        }
    }

    fn add_data(&mut self, kind: Kind, frame: &Frame) {
        let payload = &frame.payload;
        let room = KEPT_BYTES.saturating_sub(self.kept).min(payload.len());
        self.kept += room;
        match (self.begun, self.messages.last_mut()) {
            (Some(_), Some(last)) => last.extend_from_slice(&payload[..room]),
            _ if room == payload.len() => keep(&mut self.messages, payload.to_vec()),
            _ => {}
        }
        let tally = match kind {
            Kind::Text => &mut self.text,
            Kind::Binary => &mut self.binary,
        };
        tally.bytes += payload.len() as u64;
        tally.digest.update(payload);
        self.begun = Some(kind).filter(|_| !frame.head.fin);
        tally.messages += u64::from(frame.head.fin);
    }
}

fn keep<T>(list: &mut Vec<T>, item: T) {
    if list.len() < KEPT_FRAMES {
        list.push(item);
    }
}
