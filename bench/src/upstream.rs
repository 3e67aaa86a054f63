//! The upstream: answers at once and from memory, so that the relay is what is measured.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use rustls::ServerConfig;

use crate::channel::Channel;
use crate::clock::{self, Schedule};
use crate::wire::{self, TEXT};

/// Chunks of a burst.
pub const BURST: u64 = 64;
/// Bytes of an answer in JSON.
const JSON: usize = 1100;
/// Bytes of an event of a stream, and of an audio delta on a socket.
const EVENT: usize = 220;
const DELTA: usize = 8192;
/// Where in an event its time stands.
const STAMP: usize = 15;
/// Digits of a time.
const DIGITS: usize = 16;
/// What a flood writes at a time.
const FLOOD: usize = 64 * 1024;

/// What a connection is used for since its last head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Http,
    /// Gets events when the schedule says so.
    Events,
    /// Gets events as long as it takes them.
    Flood,
    /// Sends frames back.
    Echo,
    /// Gets frames when the schedule says so.
    Deltas,
    Idle,
}

struct Peer {
    channel: Channel,
    input: Vec<u8>,
    used: Use,
}

/// A server, driven from outside.
pub struct Upstream {
    listeners: [TcpListener; 2],
    tls: Arc<ServerConfig>,
    peers: Vec<Option<Peer>>,
    free: Vec<usize>,
    /// Those that get events or deltas, in turns.
    fed: Vec<usize>,
    turn: usize,
    schedule: Option<Schedule>,
    json: Vec<u8>,
    event: Vec<u8>,
    delta: Vec<u8>,
}

impl Upstream {
    /// Listens on two free ports: plain, and with TLS.
    pub fn new(tls: Arc<ServerConfig>) -> io::Result<Upstream> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Ok(Upstream {
            listeners: [TcpListener::bind(any)?, TcpListener::bind(any)?],
            tls,
            peers: Vec::new(),
            free: Vec::new(),
            fed: Vec::new(),
            turn: 0,
            schedule: None,
            json: json(),
            event: event(),
            delta: delta(),
        })
    }

    /// Where it listens: plain, or with TLS.
    pub fn address(&self, tls: bool) -> io::Result<SocketAddr> {
        self.listeners[usize::from(tls)].local_addr()
    }

    /// Registers the listeners.
    pub fn register(&mut self, registry: &Registry) -> io::Result<()> {
        for (at, listener) in self.listeners.iter_mut().enumerate() {
            registry.register(listener, Token(at), Interest::READABLE)?;
        }
        Ok(())
    }

    /// Takes new connections; `token` names the listener, `first` where its connections begin.
    pub fn accept(&mut self, registry: &Registry, token: usize, token_of: fn(usize) -> Token) {
        while let Ok((socket, _)) = self.listeners[token].accept() {
            let tls = (token == 1).then_some(&self.tls);
            let Ok(mut channel) = Channel::accepted(socket, tls) else {
                continue;
            };
            let at = self.free.pop().unwrap_or_else(|| {
                self.peers.push(None);
                self.peers.len() - 1
            });
            if channel.register(registry, token_of(at)).is_ok() {
                let (input, used) = (Vec::new(), Use::Http);
                self.peers[at] = Some(Peer {
                    channel,
                    input,
                    used,
                });
            }
        }
    }

    /// Something may be read from, or written to, this connection.
    pub fn ready(&mut self, at: usize, scratch: &mut [u8]) {
        let Some(Some(peer)) = self.peers.get_mut(at) else {
            return;
        };
        peer.channel.flush();
        peer.channel.read(scratch, &mut peer.input);
        self.answer(at);
        if let Some(Some(peer)) = self.peers.get_mut(at) {
            if peer.used == Use::Flood {
                flood(peer, &self.event);
            }
            if peer.channel.has_ended() {
                self.peers[at] = None;
                self.free.push(at);
                self.fed.retain(|fed| *fed != at);
            }
        }
    }

    /// Feeds so many events or deltas a second from now on, or none: then who got some is forgotten, since
    /// a relay may take its time to leave.
    pub fn feed(&mut self, per_second: Option<u64>) {
        if per_second.is_none() {
            self.fed.clear();
        }
        self.schedule = per_second.map(|rate| Schedule::new(clock::now(), rate));
    }

    /// When something is to be sent.
    pub fn due(&self) -> Option<u64> {
        self.schedule.map(|schedule| schedule.next())
    }

    /// Sends what is due.
    pub fn tick(&mut self, now: u64) {
        while let Some(stamp) = self
            .schedule
            .as_mut()
            .and_then(|schedule| schedule.due(now))
        {
            if self.fed.is_empty() {
                continue;
            }
            self.turn = (self.turn + 1) % self.fed.len();
            let Some(Some(peer)) = self.peers.get_mut(self.fed[self.turn]) else {
                continue;
            };
            if peer.used == Use::Deltas {
                write_stamp(&mut self.delta[4..], stamp);
                peer.channel.write(&self.delta);
            } else {
                let start = chunk_start(&self.event);
                write_stamp(&mut self.event[start..], stamp);
                peer.channel.write(&self.event);
            }
        }
    }

    fn answer(&mut self, at: usize) {
        let Some(Some(peer)) = self.peers.get_mut(at) else {
            return;
        };
        if peer.used == Use::Echo {
            return echo(peer);
        }
        if peer.used != Use::Http {
            return peer.input.clear();
        }
        while let Some(length) = wire::head_length(&peer.input) {
            let whole = length + wire::content_length(&peer.input[..length]);
            if peer.input.len() < whole {
                return;
            }
            let head: Vec<u8> = peer.input.drain(..whole).take(length).collect();
            peer.used = respond(&mut peer.channel, &head, &self.json, &self.event);
            if matches!(peer.used, Use::Events | Use::Deltas) {
                self.fed.push(at);
            }
        }
    }
}

/// Answers a request; what its connection is used for from then on.
fn respond(channel: &mut Channel, head: &[u8], json: &[u8], event: &[u8]) -> Use {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let wants = |word: &str| memchr::memmem::find(line, word.as_bytes()).is_some();
    if let Some(key) = wire::field(head, "sec-websocket-key") {
        let accept = wire::accept(key);
        channel.write(
            format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n")
                .as_bytes(),
        );
        return match (wants("model=echo"), wants("model=deltas")) {
            (true, _) => Use::Echo,
            (_, true) => Use::Deltas,
            _ => Use::Idle,
        };
    }
    if !wants("/bench/") {
        channel.write(json);
        return Use::Http;
    }
    channel.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\nx-request-id: req_0123456789abcdef0123456789abcdef\r\nTransfer-Encoding: chunked\r\n\r\n");
    if wants("/bench/events") {
        return Use::Events;
    }
    if wants("/bench/flood") {
        return Use::Flood;
    }
    for _ in 0..BURST {
        channel.write(event);
    }
    channel.write(b"0\r\n\r\n");
    Use::Http
}

fn echo(peer: &mut Peer) {
    let mut rest = &peer.input[..];
    let mut out = Vec::new();
    while let Some((opcode, payload)) = wire::take_frame(&mut rest) {
        wire::write_frame(&mut out, opcode, &payload, false);
    }
    let used = peer.input.len() - rest.len();
    peer.input.drain(..used);
    if !out.is_empty() {
        peer.channel.write(&out);
    }
}

fn flood(peer: &mut Peer, event: &[u8]) {
    let much = event.repeat(FLOOD / event.len());
    while !peer.channel.is_blocked() && !peer.channel.has_ended() {
        peer.channel.write(&much);
    }
}

/// A chat completion, head included.
fn json() -> Vec<u8> {
    let start = r#"{"id":"chatcmpl-123","object":"chat.completion","created":1694268190,"model":"gpt-5-mini","choices":[{"index":0,"message":{"role":"assistant","content":""#;
    let end = r#"","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29}}"#;
    let text = "x".repeat(JSON - start.len() - end.len());
    let head = format!(
        "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: {JSON}\r\nConnection: keep-alive\r\nopenai-organization: org-bench\r\nopenai-processing-ms: 12\r\nopenai-version: 2020-10-01\r\nx-ratelimit-limit-requests: 10000\r\nx-ratelimit-remaining-requests: 9999\r\nx-request-id: req_0123456789abcdef0123456789abcdef\r\n\r\n"
    );
    [head.as_str(), start, &text, end].concat().into_bytes()
}

/// One event in a chunk of its own; its time is written over zeros.
fn event() -> Vec<u8> {
    let start = r#"data: {"time":"0000000000000000","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":""#;
    let end = "\"},\"finish_reason\":null}]}\n\n";
    let text = "x".repeat(EVENT - start.len() - end.len());
    format!("{EVENT:x}\r\n{start}{text}{end}\r\n").into_bytes()
}

/// One frame with sound; its time is written over zeros.
fn delta() -> Vec<u8> {
    let start =
        r#"      {"time":"0000000000000000","type":"response.output_audio.delta","delta":""#;
    let text = "A".repeat(DELTA - start.len() - 2);
    let mut frame = Vec::new();
    wire::write_frame(
        &mut frame,
        TEXT,
        format!("{start}{text}\"}}").as_bytes(),
        false,
    );
    frame
}

/// Where the event begins in its chunk.
fn chunk_start(chunk: &[u8]) -> usize {
    memchr::memchr(b'\n', chunk).map_or(0, |at| at + 1)
}

/// Writes a time into an event or a delta.
fn write_stamp(event: &mut [u8], time: u64) {
    let mut rest = time;
    for digit in event[STAMP..STAMP + DIGITS].iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
}

/// The time in an event or a delta.
pub fn read_stamp(event: &[u8]) -> Option<u64> {
    let digits = event.get(STAMP..STAMP + DIGITS)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_an_event_and_of_a_delta_can_be_read_again() {
        let mut event = event();
        let start = chunk_start(&event);
        write_stamp(&mut event[start..], 1_234_567);
        assert_eq!(read_stamp(&event[start..]), Some(1_234_567));
        assert_eq!(event.len() - start, EVENT + 2);
        let mut delta = delta();
        write_stamp(&mut delta[4..], 42);
        let (opcode, payload) = wire::take_frame(&mut &delta[..]).expect("a frame");
        assert_eq!((opcode, payload.len()), (TEXT, DELTA));
        assert_eq!(read_stamp(&payload), Some(42));
        let json: Vec<u8> = json();
        let head = wire::head_length(&json).expect("a head");
        assert_eq!(json.len() - head, wire::content_length(&json[..head]));
    }
}
