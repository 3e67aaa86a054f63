//! A client that sends exactly the bytes that a test wants, and shows exactly what came.

use std::io;

use fake_openai::FakeOpenAi;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// First bytes of frames (RFC 6455 section 5.2).
pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const TEXT_BEGINS: u8 = 0x01;
pub const CONTINUES: u8 = 0x00;
pub const ENDS: u8 = 0x80;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

const MASK: [u8; 4] = [0xa1, 0xb2, 0xc3, 0xd4];

/// One frame from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub first: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The code and the reason of a close frame.
    pub fn close(&self) -> (u16, String) {
        assert_eq!(self.first, CLOSE, "{self:?}");
        let code = u16::from_be_bytes([self.payload[0], self.payload[1]]);
        let reason = String::from_utf8(self.payload[2..].to_vec());
        (code, reason.expect("a reason"))
    }
}

pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The request of a plain upgrade, with further fields.
pub fn request(path: &str, fields: &[&str]) -> String {
    let more: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

/// Sends a request; gives the answer's status, its head, and the connection behind it.
pub async fn ask(fake: &FakeOpenAi, request: impl AsRef<[u8]>) -> (u16, String, Client) {
    let mut stream = TcpStream::connect(fake.addr()).await.expect("connected");
    stream.write_all(request.as_ref()).await.expect("written");
    let mut client = Client {
        stream,
        buffer: Vec::new(),
    };
    let end = loop {
        if let Some(end) = find(&client.buffer, b"\r\n\r\n") {
            break end + 4;
        }
        assert!(client.fill().await.expect("an answer"), "no answer");
    };
    let head: Vec<u8> = client.buffer.drain(..end).collect();
    let head = String::from_utf8(head).expect("a head");
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
    (status.expect("a status"), head, client)
}

/// Opens a socket with the project key and further fields.
pub async fn open(fake: &FakeOpenAi, path: &str, fields: &[&str]) -> Client {
    let key = format!("Authorization: Bearer {}", fake.server_key());
    let fields = [&[key.as_str()], fields].concat();
    let (status, head, client) = ask(fake, request(path, &fields)).await;
    assert_eq!(status, 101, "{head}");
    client
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// The bytes of a masked frame.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        0..=125 => bytes.push(0x80 | payload.len() as u8),
        126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((payload.len() as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    let hidden = payload.iter().enumerate();
    bytes.extend(hidden.map(|(at, byte)| byte ^ MASK[at % 4]));
    bytes
}

impl Client {
    /// Sends bytes just so.
    pub async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("written");
    }

    /// Sends a masked frame.
    pub async fn send(&mut self, first: u8, payload: &[u8]) {
        self.raw(&masked(first, payload)).await;
    }

    /// Sends an event.
    pub async fn say(&mut self, event: &Value) {
        self.send(TEXT, event.to_string().as_bytes()).await;
    }

    /// The next frame; `None` at the end of the stream, an error where it is reset.
    pub async fn try_frame(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some((start, end)) = extent(&self.buffer) {
                let bytes: Vec<u8> = self.buffer.drain(..end).collect();
                let (first, payload) = (bytes[0], bytes[start..].to_vec());
                return Ok(Some(Frame { first, payload }));
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// The next frame, which has to come.
    pub async fn frame(&mut self) -> Frame {
        let frame = self.try_frame().await.expect("a connection");
        frame.expect("a frame")
    }

    /// The next event; frames that are no text are passed over.
    pub async fn event(&mut self) -> Value {
        loop {
            let frame = self.frame().await;
            if frame.first == TEXT {
                return serde_json::from_slice(&frame.payload).expect("JSON");
            }
            assert_ne!(frame.first, CLOSE, "closed: {:?}", frame.close());
        }
    }

    /// All events up to one of that type, that one included.
    pub async fn events_to(&mut self, kind: &str) -> Vec<Value> {
        let mut list = Vec::new();
        loop {
            let event = self.event().await;
            let is_last = event["type"] == kind;
            list.push(event);
            if is_last {
                return list;
            }
        }
    }

    /// What remains until the server ends its side, whole frames or not.
    pub async fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.fill().await? {}
        Ok(std::mem::take(&mut self.buffer))
    }

    async fn fill(&mut self) -> io::Result<bool> {
        self.buffer.reserve(64 * 1024);
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }
}

/// Where the payload of the first frame starts and ends.
fn extent(bytes: &[u8]) -> Option<(usize, usize)> {
    let (start, length) = match *bytes.get(1)? {
        126 => (
            4,
            usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
        ),
        127 => (
            10,
            u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize,
        ),
        length @ 0..=125 => (2, usize::from(length)),
        masked => panic!("a server's frame is masked: {masked:#x}"),
    };
    (bytes.len() >= start + length).then_some((start, start + length))
}
