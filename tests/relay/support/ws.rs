//! A WebSocket client that sends exactly the frames it is given, and shows those that come.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::raw::{Answer, Connection};

/// Opcodes (RFC 6455 section 5.2).
pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// FIN, the reserved bits and the opcode.
    pub first: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    /// A message of its own, or a control frame.
    pub fn whole(opcode: u8, payload: impl Into<Vec<u8>>) -> Frame {
        Frame {
            first: 0x80 | opcode,
            payload: payload.into(),
        }
    }

    pub fn close(code: u16, reason: &str) -> Frame {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(reason.as_bytes());
        Frame::whole(CLOSE, payload)
    }

    pub fn opcode(&self) -> u8 {
        self.first & 0x0F
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }

    /// Code and reason of a close frame; 1005 where it has none.
    pub fn closes_with(&self) -> (u16, String) {
        assert_eq!(self.opcode(), CLOSE, "{self:?}");
        match self.payload.as_slice() {
            [a, b, reason @ ..] => (
                u16::from_be_bytes([*a, *b]),
                String::from_utf8_lossy(reason).into_owned(),
            ),
            _ => (1005, String::new()),
        }
    }

    /// The bytes that a client sends.
    pub fn masked(&self, key: [u8; 4]) -> Vec<u8> {
        let mut bytes = vec![self.first];
        let length = self.payload.len();
        match length {
            0..=125 => bytes.push(0x80 | u8::try_from(length).expect("short")),
            126..=0xFFFF => {
                bytes.push(0x80 | 126);
                bytes.extend(u16::try_from(length).expect("medium").to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(key);
        let masked = self.payload.iter().zip(key.iter().cycle());
        bytes.extend(masked.map(|(byte, key)| byte ^ key));
        bytes
    }
}

/// An open WebSocket.
pub struct Socket {
    pub connection: Connection,
    /// The 101.
    pub answer: Answer,
    input: Vec<u8>,
}

/// What asks for a WebSocket, beside the headers that are given.
pub fn upgrade(target: &str, headers: &[&str]) -> String {
    let mut text = format!(
        "GET {target} HTTP/1.1\r\nHost: relay.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text + "\r\n"
}

impl Socket {
    /// Asks for a WebSocket; the answer where it is refused.
    pub async fn open(
        address: SocketAddr,
        target: &str,
        headers: &[&str],
    ) -> Result<Socket, Answer> {
        Socket::over(Connection::open(address).await, target, headers).await
    }

    /// The same over a connection that is there already.
    pub async fn over(
        mut connection: Connection,
        target: &str,
        headers: &[&str],
    ) -> Result<Socket, Answer> {
        connection.write(upgrade(target, headers).as_bytes()).await;
        let answer = connection.answer_or_switch().await.expect("an answer");
        if answer.status != 101 {
            return Err(answer);
        }
        Ok(Socket {
            connection,
            answer,
            input: Vec::new(),
        })
    }

    /// Sends one frame.
    pub async fn send(&mut self, frame: &Frame) {
        self.connection.write(&frame.masked(*b"mask")).await;
    }

    /// Sends one text.
    pub async fn say(&mut self, text: &str) {
        self.send(&Frame::whole(TEXT, text)).await;
    }

    /// The next frame; `None` when the connection ends.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, length)) = parse(&self.input) {
                self.input.drain(..length);
                return Some(frame);
            }
            self.input.extend(self.connection.more().await?);
        }
    }

    /// The next frame that is neither ping nor pong.
    pub async fn message(&mut self) -> Frame {
        loop {
            let frame = self.next().await.expect("a frame");
            if !matches!(frame.opcode(), PING | PONG) {
                return frame;
            }
        }
    }

    /// The next message as JSON.
    pub async fn event(&mut self) -> Value {
        let frame = self.message().await;
        assert_eq!(frame.opcode(), TEXT, "{frame:?}");
        serde_json::from_slice(&frame.payload).expect("JSON")
    }

    /// Whether nothing but the end of the connection comes.
    pub async fn has_ended(&mut self) -> bool {
        self.next().await.is_none() && self.input.is_empty()
    }

    /// Both directions apart: frames that come, and bytes that go.
    pub fn into_halves(self) -> (Frames, OwnedWriteHalf) {
        let (stream, mut ahead) = self.connection.into_parts();
        let (reader, writer) = stream.into_split();
        let mut input = self.input;
        input.append(&mut ahead);
        (Frames { reader, input }, writer)
    }

    /// Bytes of a frame that has not come to its end.
    pub fn rest(&self) -> usize {
        self.input.len()
    }
}

/// The frames that come.
pub struct Frames {
    reader: OwnedReadHalf,
    input: Vec<u8>,
}

impl Frames {
    /// The next frame; `None` when the connection ends.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, length)) = parse(&self.input) {
                self.input.drain(..length);
                return Some(frame);
            }
            if self.reader.read_buf(&mut self.input).await.ok()? == 0 {
                return None;
            }
        }
    }
}

fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let second = *bytes.get(1)?;
    assert_eq!(second & 0x80, 0, "servers do not mask");
    let (length, at) = match second & 0x7F {
        126 => (
            u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
            4,
        ),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
        short => (u64::from(short), 2),
    };
    let end = at + usize::try_from(length).expect("a length");
    let payload = bytes.get(at..end)?.to_vec();
    let first = bytes[0];
    Some((Frame { first, payload }, end))
}
