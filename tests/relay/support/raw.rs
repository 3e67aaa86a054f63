//! A client that sends the bytes it is given, and reads HTTP/1.1 answers without interpreting more
//! than their framing.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::relay::SOON;

/// One HTTP/1.1 answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub reason: String,
    /// In order, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Fields behind the last chunk.
    pub trailers: Vec<(String, String)>,
    /// Whether the body ended as its framing announced.
    pub is_complete: bool,
}

impl Answer {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(have, _)| have == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The `code` of the error object.
    pub fn code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A kept connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Connection {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("nodelay");
        Connection::over(stream)
    }

    /// Over a stream that is there already.
    pub fn over(stream: TcpStream) -> Connection {
        Connection {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Sends bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) {
        // The peer may have refused and closed already: the answer tells.
        let _ = self.stream.write_all(bytes).await;
    }

    /// The stream, and what was read ahead.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.buffer)
    }

    /// Closes the sending side.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next answer; `head` says whether it answers a HEAD request.
    pub async fn answer(&mut self, is_head: bool) -> Option<Answer> {
        let read = self.read_answer(is_head);
        tokio::time::timeout(SOON, read)
            .await
            .expect("an answer in time")
    }

    /// Reads until the head and this many bytes of the body have come.
    pub async fn head(&mut self) -> Option<Answer> {
        loop {
            let (mut answer, length) = self.read_head().await?;
            self.buffer.drain(..length);
            if answer.status >= 200 || answer.status == 101 {
                answer.is_complete = false;
                return Some(answer);
            }
        }
    }

    /// The next answer, or the head of a 101: what follows that is no HTTP.
    pub async fn answer_or_switch(&mut self) -> Option<Answer> {
        let read = async {
            let (answer, length) = self.read_head().await?;
            if answer.status != 101 {
                return self.read_answer(false).await;
            }
            self.buffer.drain(..length);
            Some(answer)
        };
        tokio::time::timeout(SOON, read)
            .await
            .expect("an answer in time")
    }

    /// More raw bytes; `None` at the end of the stream.
    pub async fn more(&mut self) -> Option<Vec<u8>> {
        if !self.buffer.is_empty() {
            return Some(std::mem::take(&mut self.buffer));
        }
        let read = tokio::time::timeout(SOON, self.fill())
            .await
            .expect("bytes in time");
        read.then(|| std::mem::take(&mut self.buffer))
    }

    /// Whether the peer closes within the time for an answer.
    pub async fn is_closed(&mut self) -> bool {
        while self.more().await.is_some() {}
        true
    }

    async fn fill(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk).await {
            Ok(0) | Err(_) => false,
            Ok(read) => {
                self.buffer.extend_from_slice(&chunk[..read]);
                true
            }
        }
    }

    async fn read_head(&mut self) -> Option<(Answer, usize)> {
        loop {
            if let Some(found) = parse_head(&self.buffer) {
                return Some(found);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    async fn read_answer(&mut self, is_head: bool) -> Option<Answer> {
        let mut answer = self.head().await?;
        let is_bodyless = is_head || matches!(answer.status, 204 | 304 | 101);
        let is_chunked = answer.header("transfer-encoding") == Some("chunked");
        let length = answer
            .header("content-length")
            .and_then(|text| text.parse().ok());
        answer.is_complete = match (is_bodyless, is_chunked, length) {
            (true, _, _) => true,
            (_, true, _) => self.read_chunks(&mut answer).await,
            (_, _, Some(length)) => self.read_sized(&mut answer, length).await,
            (_, _, None) => {
                while self.fill().await {}
                answer.body = std::mem::take(&mut self.buffer);
                true
            }
        };
        Some(answer)
    }

    async fn read_sized(&mut self, answer: &mut Answer, length: usize) -> bool {
        while self.buffer.len() < length {
            if !self.fill().await {
                answer.body = std::mem::take(&mut self.buffer);
                return false;
            }
        }
        answer.body = self.buffer.drain(..length).collect();
        true
    }

    async fn read_chunks(&mut self, answer: &mut Answer) -> bool {
        loop {
            let Some(line) = self.read_line().await else {
                return false;
            };
            let size = line.split(';').next().unwrap_or_default().trim();
            let Ok(size) = usize::from_str_radix(size, 16) else {
                return false;
            };
            if size == 0 {
                return self.read_trailers(answer).await;
            }
            while self.buffer.len() < size + 2 {
                if !self.fill().await {
                    return false;
                }
            }
            answer.body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
        }
    }

    async fn read_trailers(&mut self, answer: &mut Answer) -> bool {
        while let Some(line) = self.read_line().await {
            if line.is_empty() {
                return true;
            }
            if let Some((name, value)) = line.split_once(':') {
                answer
                    .trailers
                    .push((name.to_lowercase(), value.trim().to_owned()));
            }
        }
        false
    }

    async fn read_line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !self.fill().await {
                return None;
            }
        }
    }
}

fn parse_head(buffer: &[u8]) -> Option<(Answer, usize)> {
    let end = buffer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.splitn(3, ' ');
    assert_eq!(first.next(), Some("HTTP/1.1"), "{text}");
    let status = first.next()?.parse().expect("a status");
    let reason = first.next().unwrap_or_default().to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let answer = Answer {
        status,
        reason,
        headers,
        body: Vec::new(),
        trailers: Vec::new(),
        is_complete: false,
    };
    Some((answer, end + 4))
}

/// Sends one raw request on a connection of its own; `None` if the peer closed without an answer.
pub async fn send(address: SocketAddr, request: impl AsRef<[u8]>) -> Option<Answer> {
    let request = request.as_ref();
    let mut connection = Connection::open(address).await;
    connection.write(request).await;
    connection.answer(request.starts_with(b"HEAD ")).await
}

/// A request head (and body) with a host, these header lines, and `Connection: close`.
pub fn request(method: &str, target: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut text =
        format!("{method} {target} HTTP/1.1\r\nHost: relay.test\r\nConnection: close\r\n");
    for line in headers {
        text.push_str(line);
        text.push_str("\r\n");
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A GET with these header lines.
pub async fn get(address: SocketAddr, target: &str, headers: &[&str]) -> Answer {
    send(address, request("GET", target, headers, b""))
        .await
        .expect("an answer")
}

/// A POST of JSON with these header lines.
pub async fn post(address: SocketAddr, target: &str, headers: &[&str], body: &str) -> Answer {
    let mut lines = vec!["Content-Type: application/json"];
    lines.extend_from_slice(headers);
    send(address, request("POST", target, &lines, body.as_bytes()))
        .await
        .expect("an answer")
}
