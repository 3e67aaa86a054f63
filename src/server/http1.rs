//! One client connection over HTTP/1.1: request after request, each with its own ending.
//!
//! All of an exchange runs in the connection's own task, the way to the upstream included: nothing
//! is handed between tasks, and dropping the task drops everything.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Method, Version, header};
use tokio::time::{Instant, Sleep};

use super::answer::{Answering, Ending, Switched};
use super::serve::Client;
use crate::admission::{Closing, Drain, Level, Pressure};
use crate::config::Limits;
use crate::edge::{Body, Edge};
use crate::error::{Kind, Refusal};
use crate::fields;
use crate::wire::{
    Answer, ClientBody, Decoder, Framing, HeadError, HeadScan, Inbound, Link, Pace, Request,
    RequestHead, Timer, lately, parse_request,
};

/// Read ahead of an exchange that has not ended, in bytes.
const READ_AHEAD: usize = 16 * 1024;
/// How often the kernel is asked about a client whose bytes nobody wants yet.
const WATCH_EVERY: Duration = Duration::from_millis(250);
/// How long a connection may stay silent that gets one answer at the most.
const ONE_ANSWER: Duration = Duration::from_secs(1);
/// How long and how far a refused upload is read, so that its client gets to see the refusal.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// A connection that speaks HTTP/1.1.
pub(super) struct Connection<'a> {
    pub(super) inbound: Arc<Mutex<Inbound>>,
    pub(super) limits: &'a Limits,
    drain: &'a Drain,
    closing: Closing,
    edge: &'a Edge,
    peer: SocketAddr,
    watch: Option<Pin<Box<Sleep>>>,
    timer: Timer,
    pressure: &'a Pressure,
    /// Began while the relay refused new work: it gets one answer, so that `/health` has one to the end.
    is_late: bool,
    /// Sits past the last seat: only its questions about the relay's health are answered.
    is_spare: bool,
}

/// What came instead of a head.
enum NoHead {
    /// Nothing that wants an answer.
    Silence,
    /// Something that is none.
    Refused(Refusal),
}

impl<'a> Connection<'a> {
    pub(super) fn new(link: Link, client: &'a Client) -> Connection<'a> {
        Connection {
            inbound: Inbound::new(link),
            limits: &client.limits,
            drain: &client.drain,
            closing: client.drain.closing(),
            edge: &client.edge,
            peer: client.peer,
            watch: None,
            timer: Timer::default(),
            pressure: &client.pressure,
            is_late: client.drain.is_refusing(),
            is_spare: client.seat.is_spare(),
        }
    }

    /// Serves to the end, or until the connection becomes a socket.
    pub(super) async fn serve(mut self) -> Option<(Link, Switched)> {
        let mut patience = if self.is_late || self.is_spare {
            ONE_ANSWER
        } else {
            self.limits.header_timeout
        };
        loop {
            let ending = match self.head(patience).await {
                Ok(head) if self.is_spare && !asks_for_health(&head) => {
                    self.refuse(overloaded()).await
                }
                Ok(head) => self.exchange(head).await,
                Err(NoHead::Refused(refusal)) => self.refuse(refusal).await,
                Err(NoHead::Silence) => return None,
            };
            match ending {
                Ending::Kept => patience = self.limits.keep_alive_timeout,
                Ending::Closed => {
                    self.linger().await;
                    return None;
                }
                Ending::Cut => {
                    Inbound::lock(&self.inbound).link.reset_on_close();
                    return None;
                }
                Ending::Gone => return None,
                Ending::Switched(switched) => {
                    let inbound = Arc::into_inner(self.inbound)?;
                    let inbound = inbound.into_inner().unwrap_or_else(PoisonError::into_inner);
                    return Some((inbound.link, switched));
                }
            }
        }
    }

    /// The next head. Its first byte may take `patience`, the rest the time that heads have.
    async fn head(&mut self, patience: Duration) -> Result<RequestHead, NoHead> {
        let mut scan = HeadScan::default();
        let mut deadline = lately() + patience;
        let mut has_begun = false;
        poll_fn(|cx| {
            let came = {
                let mut inbound = Inbound::lock(&self.inbound);
                poll_request(&mut inbound.link, cx, &mut scan)
            };
            if let Poll::Ready(came) = came {
                return Poll::Ready(came);
            }
            if !has_begun && !Inbound::lock(&self.inbound).link.input.is_empty() {
                has_begun = true;
                deadline = lately() + self.limits.header_timeout;
            }
            let may_go = !has_begun && !self.is_late;
            if may_go && Pin::new(&mut self.closing).poll(cx).is_ready() {
                return Poll::Ready(Err(NoHead::Silence));
            }
            ready!(self.timer.poll(cx, deadline));
            Poll::Ready(Err(match has_begun {
                true => NoHead::Refused(Refusal::new(
                    Kind::HeadTimeout,
                    "The head of the request did not arrive in time.",
                )),
                false => NoHead::Silence,
            }))
        })
        .await
    }

    /// Reads; whether anything came.
    async fn more(&self) -> bool {
        let filled = poll_fn(|cx| Inbound::lock(&self.inbound).link.poll_fill(cx)).await;
        filled.unwrap_or(false)
    }

    /// From the head of a request to the last byte of its answer.
    async fn exchange(&mut self, head: RequestHead) -> Ending {
        let wishes = Wishes::of(&head);
        let expects = head.version == Version::HTTP_11
            && fields::lists(&head.fields, &header::EXPECT, "100-continue");
        let has_body = head.framing != Framing::Length(0);
        Inbound::lock(&self.inbound).begin(Decoder::new(head.framing), expects && has_body);
        let pace = Pace::of_progress(self.limits.body_timeout);
        let body = ClientBody::http1(&self.inbound, pace, self.limits.max_body_bytes);
        let request = Box::new(Request {
            method: head.method,
            target: head.target,
            version: head.version,
            authority: None,
            fields: head.fields,
            body,
        });
        let edge = self.edge;
        let mut answering = Box::pin(edge.dispatch(self.peer.ip(), request));
        let answer = poll_fn(|cx| {
            let polled = catch_unwind(AssertUnwindSafe(|| answering.as_mut().poll(cx)));
            match polled {
                Ok(Poll::Ready(answer)) => Poll::Ready(Some(answer)),
                Ok(Poll::Pending) => self.poll_gone(cx).map(|()| None),
                Err(_) => Poll::Ready(Some(edge.refuse(self.peer.ip(), Refusal::panicked()))),
            }
        })
        .await;
        drop(answering);
        match answer {
            Some(answer) => self.answer(answer, wishes).await,
            None => Ending::Gone,
        }
    }

    async fn refuse(&mut self, refusal: Refusal) -> Ending {
        let answer = self.edge.refuse(self.peer.ip(), refusal);
        self.answer(answer, Wishes::none()).await
    }

    async fn answer(&mut self, answer: Answer<Body>, wishes: Wishes) -> Ending {
        let answer = match answer.body {
            Body::Socket(socket) => {
                return Ending::Switched(Switched::new(socket, answer.status, &answer.fields));
            }
            _ => answer,
        };
        let mut answering = Answering::new(self, answer, wishes);
        poll_fn(|cx| answering.poll(self, cx)).await
    }

    /// Whether this answer is the connection's last.
    pub(super) fn is_closing(&self) -> bool {
        self.drain.is_refusing() || self.is_spare || self.pressure.level() >= Level::High
    }

    /// Ready when the client has left. Reads ahead to find out, within bounds.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inbound = Inbound::lock(&self.inbound);
        while inbound.link.input.len() < READ_AHEAD {
            match ready!(inbound.link.poll_fill(cx)) {
                Ok(true) => {}
                Ok(false) | Err(_) => return Poll::Ready(()),
            }
        }
        // Behind bytes that nobody reads yet only the kernel sees the end.
        let watch = self
            .watch
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(WATCH_EVERY)));
        while watch.as_mut().poll(cx).is_ready() {
            if inbound.link.is_closed() {
                return Poll::Ready(());
            }
            watch.as_mut().reset(Instant::now() + WATCH_EVERY);
        }
        Poll::Pending
    }

    /// Closes without tearing the answer out of the client's hands: a close with bytes unread is
    /// a reset, which may overtake what was written (RFC 9112 section 9.6).
    async fn linger(self) {
        let draining = async {
            let is_done = poll_fn(|cx| {
                let mut inbound = Inbound::lock(&self.inbound);
                Pin::new(inbound.link.io()).poll_shutdown(cx)
            });
            if is_done.await.is_err() {
                return;
            }
            let mut left = LINGER_BYTES;
            while self.more().await {
                let mut inbound = Inbound::lock(&self.inbound);
                left = left.saturating_sub(inbound.link.input.len());
                inbound.link.input.clear();
                if left == 0 {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, draining).await;
    }
}

/// What a client can take, and wants after its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wishes {
    pub(super) is_head: bool,
    pub(super) version: Version,
    pub(super) keep_alive: bool,
    pub(super) trailers: bool,
}

impl Wishes {
    fn of(head: &RequestHead) -> Wishes {
        Wishes {
            is_head: head.method == Method::HEAD,
            version: head.version,
            keep_alive: head.keep_alive,
            trailers: fields::lists(&head.fields, &header::TE, "trailers"),
        }
    }

    /// Of a client whose head could not be read.
    fn none() -> Wishes {
        Wishes {
            is_head: false,
            version: Version::HTTP_11,
            keep_alive: false,
            trailers: false,
        }
    }
}

/// Reads until there is a whole head.
fn poll_request(
    link: &mut Link,
    cx: &mut Context<'_>,
    scan: &mut HeadScan,
) -> Poll<Result<RequestHead, NoHead>> {
    loop {
        if !link.input.is_empty() {
            match parse_request(&mut link.input, scan) {
                Ok(Some(head)) => return Poll::Ready(Ok(head)),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(NoHead::Refused(explain(error)))),
            }
        }
        match ready!(link.poll_fill(cx)) {
            Ok(true) => {}
            Ok(false) | Err(_) => return Poll::Ready(Err(NoHead::Silence)),
        }
    }
}

fn asks_for_health(head: &RequestHead) -> bool {
    matches!(head.target.as_bytes(), b"/health" | b"/ready" | b"/stats")
}

fn overloaded() -> Refusal {
    Refusal::new(
        Kind::Overloaded,
        "This relay has all the connections that it can take (MAX_CLIENT_CONNECTIONS). Try again shortly.",
    )
    .retry_after(1)
}

fn explain(error: HeadError) -> Refusal {
    match error {
        HeadError::TooLarge => Refusal::new(
            Kind::HeadTooLarge,
            "The head of the request is larger than 64 KiB or has more than 256 fields.",
        ),
        HeadError::Malformed(reason) => Refusal::new(Kind::Malformed, reason),
        HeadError::Version => Refusal::new(
            Kind::Malformed,
            "The relay speaks HTTP/1.1, HTTP/1.0 and HTTP/2.",
        ),
        HeadError::Tls => Refusal::new(
            Kind::Malformed,
            "This port speaks plain HTTP: use http:// and ws:// with it, or give the relay TLS_CERT and TLS_KEY.",
        )
        .because("a client began a TLS handshake on a port without TLS"),
    }
}
