//! Opening a socket: the upstream is dialled first, so that a client never talks into nothing, and
//! hears of a refusal in the form that it can read.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::{HeaderValue, StatusCode, header};
use http_body::Body as _;
use url::form_urlencoded;

use super::deflate;
use super::ending::Codes;
use super::farewell::Farewell;
use super::handshake::{self, Handshake};
use super::interpreter::{Bench, Interpreter};
use super::messages::MessagePump;
use super::pump::Pump;
use super::session::{Running, Session};
use super::watchdog::{Patience, Side};
use super::witness::Witness;
use crate::admission::{Permit, Pressure};
use crate::config::Beta;
use crate::error::{Kind as Reason, Refusal};
use crate::family::decoded;
use crate::fields::Fields;
use crate::relay::beta::{self, Kind, Translator};
use crate::relay::body::RelayedBody;
use crate::relay::exchange::Exchange;
use crate::relay::judge::{Judge, judge_target};
use crate::relay::live::SESSIONS;
use crate::relay::{Relay, X_RELAY_MODEL};
use crate::upstream::{Fault, Reply, ReplyBody, SocketAnswer, SocketRequest};
use crate::wire::{Answer, Link, Target};

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
    /// What becomes of clients of the retired beta.
    pub beta: Beta,
    /// Whether the client's leg is compressed where it offers that.
    pub compression: bool,
    /// The largest message, in bytes.
    pub max_message: u64,
    /// How long a client may take next to nothing.
    pub client_stall: Duration,
    /// How long the upstream may take next to nothing.
    pub upstream_stall: Duration,
    /// What bounds messages that are read whole, all together.
    pub pressure: Arc<Pressure>,
}

impl Rules {
    /// How long this side may take next to nothing.
    pub(super) fn stall(&self, side: Side) -> Duration {
        match side {
            Side::Client => self.client_stall,
            Side::Upstream => self.upstream_stall,
        }
    }
}

/// What a client's connection is used for from its 101 on.
pub enum Socket {
    /// Frames, both ways.
    Session(Box<Session>),
    /// A reason, and a close.
    Farewell(Farewell),
}

/// A socket's way to its end.
pub struct Life(Lived);

// The large variant is the one that lasts; a box would cost every session an allocation.
#[allow(clippy::large_enum_variant)]
pub(super) enum Lived {
    /// Of a session whose bytes go on as they come.
    Bytes(Running<Pump>),
    /// The same, where the session's id is yet to be heard.
    Heard(Box<Running<Pump<Box<Witness>>>>),
    /// Of one whose messages are read whole.
    Messages(Box<Running<MessagePump>>),
    /// Of a farewell.
    Farewell(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl Future for Life {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.get_mut().0 {
            Lived::Bytes(running) => Pin::new(running).poll(cx),
            Lived::Heard(running) => Pin::new(running).poll(cx),
            Lived::Messages(running) => Pin::new(running).poll(cx),
            Lived::Farewell(farewell) => farewell.as_mut().poll(cx),
        }
    }
}

impl Socket {
    /// Uses it to the end. `head` is the 101, which the client has yet to get.
    pub fn start(self, client: Link, head: Vec<u8>) -> Life {
        Life(match self {
            Socket::Session(session) => session.start(client, head),
            Socket::Farewell(farewell) => Lived::Farewell(Box::pin(farewell.run(client, head))),
        })
    }
}

/// The answer to a request for a socket.
pub enum Opened {
    /// Switched.
    Socket(Answer<Socket>),
    /// Refused by the upstream, in its own words.
    Refused(Answer<RelayedBody>),
}

impl Relay {
    /// Opens a socket to the upstream for a client.
    pub async fn open(
        &self,
        permit: Box<Permit>,
        target: &Target,
        fields: Fields,
        client: &Handshake,
    ) -> Result<Opened, Refusal> {
        let mut exchange = Exchange::new(permit);
        let path = target.path_text();
        let wanted = self.wanted(target, client, exchange.principal().model());
        if client.is_beta() && wanted.is_realtime && self.rules.beta == Beta::Refuse {
            return Err(exchange.refused(Refusal::new(
                Reason::BetaDisabled,
                "The Realtime beta is switched off, and this relay does not translate it (REALTIME_BETA). Use the GA interface.",
            )));
        }
        judge_target(&mut exchange, &wanted.target)?;
        let key = handshake::new_key();
        let request = SocketRequest {
            target: &wanted.target,
            fields,
            credential: exchange.credential(),
            may_name_organization: exchange.may_name_organization(),
            accept: handshake::accept(key.as_bytes()),
            key,
            protocol: client.speaks_realtime().then_some(handshake::REALTIME),
        };
        let mut revocation = exchange.revocation();
        let opened = revocation.unless(pin!(self.upstream.open(request))).await;
        let Some(opened) = opened else {
            return Err(exchange.revoked());
        };
        match opened {
            Ok(SocketAnswer::Switched(link, fields)) => {
                let mut answer = client.switch(());
                answer.fields.adopt(&fields);
                exchange.answered(answer.status, &mut answer.fields);
                let fields = &mut answer.fields;
                let socket = self.session(exchange, link, client, wanted, &path, fields);
                Ok(Opened::Socket(answer.map(|()| socket)))
            }
            Ok(SocketAnswer::Refused(reply)) => {
                let mut reply = *reply;
                exchange.answered(reply.status, &mut reply.fields);
                if client.is_page() {
                    return Ok(explain(reply, exchange, client, &path).await);
                }
                let answer = reply.map(|body| RelayedBody::new(body, exchange, None));
                Ok(Opened::Refused(answer))
            }
            Err(fault) => Err(exchange.faulted(&fault)),
        }
    }

    /// A session, and what its 101 says of it.
    fn session(
        &self,
        exchange: Exchange,
        upstream: Link,
        client: &Handshake,
        wanted: Wanted,
        path: &str,
        fields: &mut Fields,
    ) -> Socket {
        let rules = &self.rules;
        let deflates = rules.compression && client.offers_deflate();
        if deflates {
            fields.insert(&header::SEC_WEBSOCKET_EXTENSIONS, &deflate::ANSWER);
        }
        if let Some(model) = wanted.replaced {
            fields.insert(&X_RELAY_MODEL, &model);
        }
        let translated = wanted.translated;
        let beta = translated.then(|| Translator::new(wanted.kind, self.aliases.clone()));
        let judge = Judge::of(exchange.principal()).filter(Judge::sees_messages);
        let bench = judge.map(|judge| Bench::new(judge, wanted.model.clone()));
        let is_seen = beta.is_some() || bench.is_some() || deflates;
        let names_itself = decoded(path).trim_end_matches('/') == SESSIONS;
        let noter = exchange.noter(&self.calls).filter(|_| names_itself);
        let mut witness = noter.map(|noter| Box::new(Witness::new(noter)));
        let patience = match wanted.is_conversation {
            true => &rules.conversation,
            false => &rules.other,
        };
        Socket::Session(Box::new(Session {
            exchange,
            upstream,
            rules: Arc::clone(rules),
            codes: Codes::of(path),
            model: wanted.model.map(String::into_boxed_str),
            patience: Arc::clone(patience),
            interpreter: is_seen.then(|| {
                Box::new(Interpreter::new(
                    beta,
                    bench,
                    deflates,
                    Arc::clone(&rules.pressure),
                    witness.take(),
                ))
            }),
            witness,
        }))
    }

    /// What goes upstream for the client's target. `bound` is the model that its credential is for.
    fn wanted(&self, target: &Target, client: &Handshake, bound: Option<&str>) -> Wanted {
        let model = target.parameter("model");
        if !matches!(target.path(), b"/" | b"/realtime" | b"/v1/realtime") {
            return Wanted {
                target: target.as_bytes().to_vec(),
                model: model.map(shorten),
                replaced: None,
                kind: Kind::Realtime,
                is_conversation: false,
                is_realtime: false,
                translated: false,
            };
        }
        let translated = client.is_beta() && self.rules.beta == Beta::Translate;
        let intent = target.parameter("intent");
        let kind = Kind::of_intent(intent);
        let query = match (translated, kind) {
            (true, Kind::Transcription) => &beta::without_model(target.query()),
            _ => target.query(),
        };
        let is_conversation = intent.is_none() && target.parameter("call_id").is_none();
        let (renewed, replaced) = self.renew(query);
        let mut wanted = Wanted {
            target: REALTIME_PATH.as_bytes().to_vec(),
            model: replaced.or(model).map(shorten),
            replaced: replaced.and_then(|model| HeaderValue::from_str(model).ok()),
            kind,
            is_conversation,
            is_realtime: true,
            translated,
        };
        if !query.is_empty() {
            wanted.target.push(b'?');
            wanted.target.extend_from_slice(&renewed);
        }
        if is_conversation && model.is_none() {
            let mark = if query.is_empty() { b'?' } else { b'&' };
            wanted.target.push(mark);
            let model = bound.unwrap_or(&self.realtime_model);
            wanted.target.extend_from_slice(b"model=");
            let escaped = form_urlencoded::byte_serialize(model.as_bytes());
            wanted.target.extend(escaped.flat_map(str::bytes));
            wanted.model = Some(model.to_owned());
        }
        wanted
    }
}

struct Wanted {
    target: Vec<u8>,
    /// As far as it can be logged.
    model: Option<String>,
    /// The model that stands in the place of the client's.
    replaced: Option<HeaderValue>,
    kind: Kind,
    /// Whether the session is one of a model's, which ends when nobody says anything.
    is_conversation: bool,
    is_realtime: bool,
    /// Whether the client speaks the beta and the upstream is to hear GA.
    translated: bool,
}

/// A model's name as far as it can be logged.
fn shorten(model: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || "-._:%+".contains(*c);
    let plain = model.chars().take_while(is_plain);
    plain.take(LONGEST_MODEL).collect()
}

/// Turns the upstream's refusal into one that a page can read.
async fn explain(reply: Reply, mut exchange: Exchange, client: &Handshake, path: &str) -> Opened {
    let status = reply.status;
    let body = tokio::time::timeout(ERROR_PATIENCE, read_error(reply.body)).await;
    exchange.completed();
    let body = body.ok().and_then(Result::ok).unwrap_or_default();
    let farewell = Farewell::of_answer(client, Codes::of(path), status.as_u16(), &body);
    debug_assert_eq!(farewell.status, StatusCode::SWITCHING_PROTOCOLS, "a page");
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
