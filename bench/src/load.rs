//! What is asked of a relay: requests, event streams, sockets.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use mio::Registry;
use rustls::ClientConfig;

use crate::channel::Channel;
use crate::clock::{self, Schedule};
use crate::engine::{Load, Tally, load_token};
use crate::peers::TOKEN;
use crate::upstream::read_stamp;
use crate::wire::{self, Piece, Place, TEXT};

/// Bytes of what goes to and fro on a socket.
const MESSAGE: usize = 256;
const STATUS_OK: u16 = 200;

/// What each connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// One request for JSON after the other.
    Requests,
    /// Requests for JSON at this rate a second, whatever comes back.
    ScheduledRequests(u64),
    /// A stream without end, fed by the upstream.
    Events,
    /// One short stream after the other, as fast as they come.
    Bursts,
    /// A stream that is asked for and never read.
    Stalls,
    /// Messages to and fro on a socket, one at a time.
    Echoes,
    /// A socket on which sound comes, fed by the upstream.
    Deltas,
    /// A socket that nobody uses.
    Idle,
}

impl Work {
    /// Whether it is done on sockets.
    fn is_socket(self) -> bool {
        matches!(self, Work::Echoes | Work::Deltas | Work::Idle)
    }
}

struct Client {
    channel: Channel,
    input: Vec<u8>,
    place: Place,
    is_open: bool,
    /// When what is under way should have begun.
    since: u64,
    has_first: bool,
    /// Bytes of events that are not whole yet.
    rest: Vec<u8>,
}

/// Connections that all do the same.
pub struct Clients {
    work: Work,
    to: SocketAddr,
    /// There where no relay stands between.
    tls: Option<Arc<ClientConfig>>,
    clients: Vec<Client>,
    request: Vec<u8>,
    message: Vec<u8>,
    schedule: Option<Schedule>,
    /// Connections with nothing to do, and requests that wait for one, by when they were due.
    resting: Vec<usize>,
    waiting: VecDeque<u64>,
    open: usize,
    tally: Tally,
}

impl Clients {
    /// Nobody yet; all will connect to this address.
    pub fn new(work: Work, to: SocketAddr, tls: Option<Arc<ClientConfig>>) -> Clients {
        let mut message = Vec::new();
        wire::write_frame(&mut message, TEXT, &[b'm'; MESSAGE], true);
        Clients {
            work,
            to,
            tls,
            clients: Vec::new(),
            request: request(work, to),
            message,
            schedule: None,
            resting: Vec::new(),
            waiting: VecDeque::new(),
            open: 0,
            tally: Tally::default(),
        }
    }

    /// Connects so many more.
    pub fn connect(&mut self, count: usize, registry: &Registry) -> Result<()> {
        for _ in 0..count {
            let at = self.clients.len();
            let channel = Channel::connect(self.to, self.tls.as_ref());
            let mut channel = channel.context("connecting to a relay")?;
            channel
                .register(registry, load_token(at))
                .context("epoll")?;
            self.clients.push(Client {
                channel,
                input: Vec::new(),
                place: Place::default(),
                is_open: false,
                since: 0,
                has_first: false,
                rest: Vec::new(),
            });
            self.ask(at, clock::now());
        }
        Ok(())
    }

    /// Sends the request, which should have gone at this time.
    fn ask(&mut self, at: usize, since: u64) {
        let client = &mut self.clients[at];
        client.since = since;
        client.has_first = false;
        client.channel.write(&self.request);
    }

    /// What comes after an answer.
    fn next(&mut self, at: usize) {
        match self.work {
            Work::Requests | Work::Bursts => self.ask(at, clock::now()),
            Work::ScheduledRequests(rate) => {
                self.schedule
                    .get_or_insert_with(|| Schedule::new(clock::now(), rate));
                match self.waiting.pop_front() {
                    Some(due) => self.ask(at, due),
                    None => self.resting.push(at),
                }
            }
            _ => {}
        }
    }

    fn done(&mut self, took: u64) {
        self.tally.done += 1;
        self.tally.took.push(took);
    }

    fn opened(&mut self, at: usize) {
        if !std::mem::replace(&mut self.clients[at].is_open, true) {
            self.open += 1;
        }
    }

    fn read_answers(&mut self, at: usize, input: &mut &[u8]) {
        let mut place = self.clients[at].place;
        while let Some(piece) = place.take(input) {
            match piece {
                Piece::Head(status) => {
                    self.opened(at);
                    if status != STATUS_OK {
                        self.tally.failures += 1;
                    }
                }
                Piece::Body(bytes) if matches!(self.work, Work::Events | Work::Bursts) => {
                    self.read_events(at, bytes);
                }
                Piece::Body(_) => {}
                Piece::End => {
                    if matches!(self.work, Work::Requests | Work::ScheduledRequests(_)) {
                        let took = clock::now() - self.clients[at].since;
                        self.done(took);
                    }
                    self.next(at);
                }
            }
        }
        self.clients[at].place = place;
    }

    fn read_events(&mut self, at: usize, bytes: &[u8]) {
        let now = clock::now();
        let mut rest = std::mem::take(&mut self.clients[at].rest);
        rest.extend_from_slice(bytes);
        let mut events = &rest[..];
        while let Some(end) = memchr::memmem::find(events, b"\n\n") {
            let event = &events[..end];
            events = &events[end + 2..];
            if !std::mem::replace(&mut self.clients[at].has_first, true) {
                self.tally.first.push(now - self.clients[at].since);
            }
            match read_stamp(event) {
                // Of a burst nothing but the number counts.
                Some(0) => self.tally.done += 1,
                Some(time) => self.done(now.saturating_sub(time)),
                None => self.tally.failures += 1,
            }
        }
        let used = rest.len() - events.len();
        rest.drain(..used);
        self.clients[at].rest = rest;
    }

    fn read_frames(&mut self, at: usize, input: &mut &[u8]) {
        if !self.clients[at].is_open {
            match self.clients[at].place.take(input) {
                None => return,
                Some(Piece::Head(101)) => {
                    self.opened(at);
                    let now = clock::now();
                    self.tally.first.push(now - self.clients[at].since);
                    self.say(at, now);
                }
                Some(_) => self.tally.failures += 1,
            }
        }
        while let Some((opcode, payload)) = wire::take_frame(input) {
            if opcode != TEXT {
                continue;
            }
            let now = clock::now();
            let since = match self.work {
                Work::Deltas => read_stamp(&payload).unwrap_or(now),
                _ => self.clients[at].since,
            };
            self.done(now.saturating_sub(since));
            self.say(at, now);
        }
    }

    fn say(&mut self, at: usize, now: u64) {
        if self.work == Work::Echoes {
            let client = &mut self.clients[at];
            client.since = now;
            client.channel.write(&self.message);
        }
    }
}

impl Load for Clients {
    fn ready(&mut self, at: usize, scratch: &mut [u8]) {
        let Some(client) = self.clients.get_mut(at) else {
            return;
        };
        client.channel.flush();
        if self.work == Work::Stalls {
            return self.opened(at);
        }
        let mut input = std::mem::take(&mut client.input);
        client.channel.read(scratch, &mut input);
        if client.channel.has_ended() {
            self.tally.failures += 1;
        }
        let mut rest = &input[..];
        if self.work.is_socket() {
            self.read_frames(at, &mut rest);
        } else {
            self.read_answers(at, &mut rest);
        }
        let used = input.len() - rest.len();
        input.drain(..used);
        self.clients[at].input = input;
    }

    fn due(&self) -> Option<u64> {
        self.schedule.map(|schedule| schedule.next())
    }

    fn tick(&mut self, now: u64) {
        while let Some(due) = self
            .schedule
            .as_mut()
            .and_then(|schedule| schedule.due(now))
        {
            match self.resting.pop() {
                Some(at) => self.ask(at, due),
                None => self.waiting.push_back(due),
            }
        }
    }

    fn take(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    fn is_under_way(&self) -> bool {
        self.open == self.clients.len()
    }
}

/// What a client of OpenAI's library sends.
fn request(work: Work, to: SocketAddr) -> Vec<u8> {
    let model = match work {
        Work::Echoes => "echo",
        Work::Deltas => "deltas",
        _ => "idle",
    };
    if work.is_socket() {
        return format!(
            "GET /v1/realtime?model={model} HTTP/1.1\r\nHost: {to}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .into_bytes();
    }
    let path = match work {
        Work::Events => "bench/events",
        Work::Bursts => "bench/burst",
        Work::Stalls => "bench/flood",
        _ => "chat/completions",
    };
    let body = r#"{"model":"gpt-5-mini","messages":[{"role":"system","content":"You are a helpful assistant who answers in one short sentence."},{"role":"user","content":"What is the capital of the country that lies between France and Portugal, and how far is it from the sea?"}],"temperature":0.2}"#;
    format!(
        "POST /v1/{path} HTTP/1.1\r\nHost: {to}\r\nAccept: application/json\r\nAccept-Encoding: gzip, deflate\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python 2.8.0\r\nX-Stainless-Arch: x64\r\nX-Stainless-Async: false\r\nX-Stainless-Lang: python\r\nX-Stainless-OS: Linux\r\nX-Stainless-Package-Version: 2.8.0\r\nX-Stainless-Retry-Count: 0\r\nX-Stainless-Runtime: CPython\r\nX-Stainless-Runtime-Version: 3.12.1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
