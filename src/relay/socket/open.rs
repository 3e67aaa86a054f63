//! Opening a socket: the upstream is dialled first, so that a client never talks into nothing, and
//! hears of a refusal in the form that it can read.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::{HeaderMap, Response, StatusCode};
use http_body::Body as _;

use super::ending::Codes;
use super::farewell::Farewell;
use super::handshake::{self, Handshake};
use super::session::{Running, Session};
use super::watchdog::Patience;
use crate::admission::Permit;
use crate::error::Refusal;
use crate::relay::Relay;
use crate::relay::body::RelayedBody;
use crate::relay::exchange::Exchange;
use crate::upstream::{Fault, Reply, ReplyBody, SocketAnswer, SocketRequest};
use crate::wire::{Link, Target};

/// The upstream's path of realtime sessions, which the paths that pages use stand for.
const REALTIME_PATH: &str = "/v1/realtime";
/// What of a refusal's body a page gets to see, in bytes.
const MAX_ERROR: usize = 64 * 1024;
/// How long that body may take.
const ERROR_PATIENCE: Duration = Duration::from_secs(5);
/// What of a model's name is logged, in characters.
const LONGEST_MODEL: usize = 64;

/// What bounds sessions.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The silence that conversations with a model may have.
    pub conversation: Arc<Patience>,
    /// The same for all other sockets.
    pub other: Arc<Patience>,
    /// The largest message, in bytes.
    pub max_message: u64,
    /// How long a client may take next to nothing.
    pub client_stall: Duration,
    /// How long the upstream may take next to nothing.
    pub upstream_stall: Duration,
}

/// What a client's connection is used for from its 101 on.
pub enum Socket {
    /// Frames, both ways.
    Session(Box<Session>),
    /// A reason, and a close.
    Farewell(Farewell),
}

/// A socket's way to its end.
// The large variant is the one that lasts; a box would cost every session an allocation.
#[allow(clippy::large_enum_variant)]
pub enum Life {
    /// Of a session.
    Session(Running),
    /// Of a farewell.
    Farewell(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl Future for Life {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.get_mut() {
            Life::Session(running) => Pin::new(running).poll(cx),
            Life::Farewell(farewell) => farewell.as_mut().poll(cx),
        }
    }
}

impl Socket {
    /// Uses it to the end. `head` is the 101, which the client has yet to get.
    pub fn start(self, client: Link, head: Vec<u8>) -> Life {
        match self {
            Socket::Session(session) => Life::Session(session.start(client, head)),
            Socket::Farewell(farewell) => Life::Farewell(Box::pin(farewell.run(client, head))),
        }
    }
}

/// The answer to a request for a socket.
pub enum Opened {
    /// Switched.
    Socket(Response<Socket>),
    /// Refused by the upstream, in its own words.
    Refused(Response<RelayedBody>),
}

impl Relay {
    /// Opens a socket to the upstream for a client.
    pub async fn open(
        &self,
        permit: Permit,
        target: &Target,
        headers: HeaderMap,
        client: &Handshake,
    ) -> Result<Opened, Refusal> {
        let mut exchange = Exchange::new(permit);
        let path = target.path_text();
        let wanted = self.wanted(target);
        let key = handshake::new_key();
        let request = SocketRequest {
            target: &wanted.target,
            headers,
            credential: exchange.credential(),
            may_name_organization: exchange.may_name_organization(),
            accept: handshake::accept(key.as_bytes()),
            key,
            protocol: client.speaks_realtime().then_some(handshake::REALTIME),
        };
        match self.upstream.open(request).await {
            Ok(SocketAnswer::Switched(link, headers)) => {
                let mut response = client.switch(());
                response.headers_mut().extend(headers);
                exchange.answered(response.status(), response.headers_mut());
                let rules = &self.rules;
                let patience = match wanted.is_conversation {
                    true => &rules.conversation,
                    false => &rules.other,
                };
                let session = Session {
                    exchange,
                    upstream: link,
                    rules: Arc::clone(&self.rules),
                    codes: Codes::of(&path),
                    model: wanted.model,
                    patience: Arc::clone(patience),
                };
                let socket = Socket::Session(Box::new(session));
                Ok(Opened::Socket(response.map(|()| socket)))
            }
            Ok(SocketAnswer::Refused(mut reply)) => {
                exchange.answered(reply.status(), reply.headers_mut());
                if client.is_page() {
                    return Ok(explain(reply, exchange, client, &path).await);
                }
                Ok(Opened::Refused(
                    reply.map(|body| RelayedBody::new(body, exchange, None)),
                ))
            }
            Err(fault) => Err(exchange.faulted(&fault)),
        }
    }

    /// What goes upstream for the client's target.
    fn wanted(&self, target: &Target) -> Wanted {
        let sent = target.as_bytes();
        let query = sent.iter().position(|byte| *byte == b'?');
        let query = query.map_or(&[][..], |at| &sent[at + 1..]);
        let path = target.path();
        let is_realtime = matches!(path, b"/" | b"/realtime" | b"/v1/realtime");
        if !is_realtime {
            return Wanted {
                target: sent.to_vec(),
                model: parameter(query, "model"),
                is_conversation: false,
            };
        }
        let mut wanted = Wanted {
            target: REALTIME_PATH.as_bytes().to_vec(),
            model: parameter(query, "model"),
            is_conversation: true,
        };
        if !query.is_empty() {
            wanted.target.push(b'?');
            wanted.target.extend_from_slice(query);
        }
        let has = |name| names(query).any(|known| known == name);
        if has("call_id") || has("intent") {
            wanted.is_conversation = false;
        } else if !has("model") {
            wanted
                .target
                .push(if query.is_empty() { b'?' } else { b'&' });
            wanted.target.extend_from_slice(b"model=");
            wanted
                .target
                .extend_from_slice(self.realtime_model.as_bytes());
            wanted.model = Some(self.realtime_model.clone());
        }
        wanted
    }
}

struct Wanted {
    target: Vec<u8>,
    model: Option<String>,
    /// Whether the session is one of a model's, which ends when nobody says anything.
    is_conversation: bool,
}

/// The names in a query.
fn names(query: &[u8]) -> impl Iterator<Item = &str> {
    pairs(query).map(|(name, _)| name)
}

fn pairs(query: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    query
        .split(|byte| *byte == b'&')
        .filter_map(|pair| std::str::from_utf8(pair).ok())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// A parameter as far as it can be logged.
fn parameter(query: &[u8], wanted: &str) -> Option<String> {
    let (_, value) = pairs(query).find(|(name, _)| *name == wanted)?;
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || "-._:%+".contains(*c);
    let value = value.chars().take_while(is_plain).take(LONGEST_MODEL);
    Some(value.collect())
}

/// Turns the upstream's refusal into one that a page can read.
async fn explain(reply: Reply, mut exchange: Exchange, client: &Handshake, path: &str) -> Opened {
    let status = reply.status();
    let body = tokio::time::timeout(ERROR_PATIENCE, read_error(reply.into_body())).await;
    exchange.completed();
    let body = body.ok().and_then(Result::ok).unwrap_or_default();
    let farewell = Farewell::of_answer(client, Codes::of(path), status.as_u16(), &body);
    debug_assert_eq!(farewell.status(), StatusCode::SWITCHING_PROTOCOLS, "a page");
    Opened::Socket(farewell.map(Socket::Farewell))
}

async fn read_error(mut body: ReplyBody) -> Result<Vec<u8>, Fault> {
    let mut read = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(bytes) = frame?.into_data() {
            read.extend_from_slice(&bytes);
        }
        if read.len() > MAX_ERROR {
            break;
        }
    }
    Ok(read)
}
