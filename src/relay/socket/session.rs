//! Session: one client's WebSocket and its upstream's, from the 101 to the last close.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::alarm::Alarm;
use super::bounds::Parting;
use super::direction::{Direction, PumpEnd};
use super::ending::{Codes, Ending, Words};
use super::farewell::LAST_WORDS;
use super::frame::Sender;
use super::interpreter::Interpreter;
use super::leg::{Leg, WriteEnd};
use super::messages::MessagePump;
use super::open::{Lived, Rules};
use super::pump::Pump;
use super::watchdog::{Patience, Side, Watchdog};
use super::witness::Witness;
use crate::admission::{Departure, Revocation};
use crate::relay::exchange::Exchange;
use crate::telemetry::{Talk, Traffic};
use crate::wire::Link;

/// How long the second close frame may follow the first (RFC 6455 section 7.1.1 sets none).
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// An open session, before its first byte.
pub struct Session {
    pub(super) exchange: Exchange,
    pub(super) upstream: Link,
    pub(super) rules: Arc<Rules>,
    pub(super) codes: Codes,
    /// What the query names.
    pub(super) model: Option<Box<str>>,
    pub(super) patience: Arc<Patience>,
    /// There where messages are read whole.
    pub(super) interpreter: Option<Box<Interpreter>>,
    /// There where the session's id is yet to be heard, and messages are not read whole.
    pub(super) witness: Option<Box<Witness>>,
}

impl Session {
    /// Everything that it needs from here on, in one place. `head` is the 101, which the client has
    /// yet to get.
    pub(super) fn start(mut self, client: Link, head: Vec<u8>) -> Lived {
        match self.interpreter.take() {
            None => match self.witness.take() {
                None => Lived::Bytes(self.run::<Pump>(client, head, ())),
                Some(witness) => {
                    let running = self.run::<Pump<Box<Witness>>>(client, head, witness);
                    Lived::Heard(Box::new(running))
                }
            },
            Some(interpreter) => {
                let running = self.run::<MessagePump>(client, head, interpreter);
                Lived::Messages(Box::new(running))
            }
        }
    }

    fn run<D: Direction>(self, client: Link, head: Vec<u8>, shared: D::Shared) -> Running<D> {
        let mut relaying = Relaying::new(
            client,
            self.upstream,
            self.rules,
            self.patience,
            self.codes,
            shared,
        );
        relaying.client.begin(head);
        relaying.departure = Some(self.exchange.departure());
        Running {
            phase: Phase::Relaying(relaying),
            revocation: self.exchange.revocation(),
            exchange: self.exchange,
            model: self.model,
        }
    }
}

/// A session that runs: moves frames to the end. Thousands of them idle, and what each holds is
/// counted in bytes: hence a future written out.
pub(super) struct Running<D: Direction> {
    phase: Phase<D>,
    revocation: Revocation,
    exchange: Exchange,
    model: Option<Box<str>>,
}

// The large variant is the one that lasts; a box would cost every session an allocation.
#[allow(clippy::large_enum_variant)]
enum Phase<D: Direction> {
    Relaying(Relaying<D>),
    /// Both sides are told of the end.
    Ending(Pin<Box<dyn Future<Output = ()> + Send>>),
    Ended,
}

impl<D> Future for Running<D>
where
    D: Direction + Send + Unpin + 'static,
    D::Shared: Send + Unpin,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let running = self.get_mut();
        if let Phase::Relaying(relaying) = &mut running.phase {
            let ending = match running.revocation.poll(cx) {
                Poll::Ready(()) => Ending::Revoked,
                Poll::Pending => ready!(relaying.poll(cx, &running.exchange)),
            };
            running.end(ending);
        }
        match &mut running.phase {
            Phase::Ending(last_words) => last_words.as_mut().poll(cx),
            Phase::Relaying(_) | Phase::Ended => Poll::Ready(()),
        }
    }
}

impl<D> Running<D>
where
    D: Direction + Send + Unpin + 'static,
    D::Shared: Send + Unpin,
{
    fn end(&mut self, ending: Ending) {
        let Phase::Relaying(relaying) = std::mem::replace(&mut self.phase, Phase::Ended) else {
            return;
        };
        let talk = relaying.talk(&ending, self.model.take());
        let exchange = &mut self.exchange;
        exchange.talked(ending.outcome(), ending.cause(), talk);
        self.phase = Phase::Ending(Box::pin(relaying.end(ending)));
    }
}

/// Both directions, and what bounds them.
pub(super) struct Relaying<D: Direction> {
    client: Leg,
    upstream: Leg,
    pub(super) up: D,
    pub(super) down: D,
    shared: D::Shared,
    rules: Arc<Rules>,
    pub(super) dog: Watchdog,
    pub(super) alarm: Alarm,
    /// Tells when the relay shuts down.
    pub(super) departure: Option<Departure>,
    /// There once the session has to end.
    pub(super) parting: Option<Box<Parting>>,
    codes: Codes,
    has_up_ended: bool,
    has_down_ended: bool,
    has_halted: bool,
    /// What has gone over it.
    traffic: Traffic,
}

impl<D: Direction> Relaying<D> {
    fn new(
        client: Link,
        upstream: Link,
        rules: Arc<Rules>,
        patience: Arc<Patience>,
        codes: Codes,
        shared: D::Shared,
    ) -> Relaying<D> {
        let now = Instant::now();
        Relaying {
            client: Leg::new(client),
            upstream: Leg::new(upstream),
            up: D::new(Side::Client),
            down: D::new(Side::Upstream),
            shared,
            rules,
            dog: Watchdog::new(patience, now),
            alarm: Alarm::at(now),
            departure: None,
            parting: None,
            codes,
            has_up_ended: false,
            has_down_ended: false,
            has_halted: false,
            traffic: Traffic::default(),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, exchange: &Exchange) -> Poll<Ending> {
        loop {
            let up = self.poll_up(cx);
            let down = self.poll_down(cx);
            self.count(exchange);
            let mut has_moved = false;
            for (side, polled) in [(Side::Client, up), (Side::Upstream, down)] {
                if let Poll::Ready(end) = polled {
                    if let Some(ending) = self.pump_ended(side, end) {
                        return Poll::Ready(ending);
                    }
                    has_moved = true;
                }
            }
            self.poll_departure(cx);
            match self.poll_alarm(cx) {
                Poll::Ready(Some(ending)) => return Poll::Ready(ending),
                Poll::Ready(None) => has_moved = true,
                Poll::Pending => {}
            }
            if !has_moved {
                return Poll::Pending;
            }
        }
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<PumpEnd> {
        if self.has_up_ended {
            return Poll::Pending;
        }
        let end = ready!(self.up.poll_move(
            cx,
            &mut self.client,
            &mut self.upstream,
            &mut self.dog,
            &self.rules,
            &mut self.shared,
        ));
        self.has_up_ended = true;
        Poll::Ready(end)
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<PumpEnd> {
        if self.has_down_ended {
            return Poll::Pending;
        }
        let end = ready!(self.down.poll_move(
            cx,
            &mut self.upstream,
            &mut self.client,
            &mut self.dog,
            &self.rules,
            &mut self.shared,
        ));
        self.has_down_ended = true;
        Poll::Ready(end)
    }

    fn count(&mut self, exchange: &Exchange) {
        let traffic = Traffic::of(self.up.take_counts(), self.down.take_counts());
        if traffic != Traffic::default() {
            exchange.relayed(&traffic);
            self.traffic.add(&traffic);
        }
    }

    /// What it means for the session that a direction from this side moves no more.
    fn pump_ended(&mut self, side: Side, end: PumpEnd) -> Option<Ending> {
        let is_closing = self.up.close().is_some() || self.down.close().is_some();
        let other = side.other();
        Some(match end {
            PumpEnd::Closed if self.up.close().is_some() && self.down.close().is_some() => {
                Ending::Closed
            }
            PumpEnd::Closed => {
                let by = Instant::now() + CLOSE_WAIT;
                self.part().close_by = Some(by);
                let due = self.no_later(by);
                self.alarm.set(due);
                return None;
            }
            PumpEnd::Halted if self.has_halted => Ending::Drained,
            PumpEnd::Halted => {
                self.has_halted = true;
                return None;
            }
            PumpEnd::Violation(violation) => Ending::Violated(side, violation),
            PumpEnd::Overloaded => Ending::Overloaded,
            _ if is_closing => Ending::Closed,
            PumpEnd::Eof => Ending::Gone(side),
            PumpEnd::Unreadable(error) => Ending::Broken(side, error),
            PumpEnd::Unwritable(WriteEnd::Broken(error)) => Ending::Broken(other, error),
            PumpEnd::Unwritable(WriteEnd::Stalled) => Ending::Stalled(other),
        })
    }

    pub(super) fn leg(&mut self, side: Side) -> &mut Leg {
        match side {
            Side::Client => &mut self.client,
            Side::Upstream => &mut self.upstream,
        }
    }

    /// What went over it.
    fn talk(&self, ending: &Ending, model: Option<Box<str>>) -> Talk {
        let told = |words: Option<Words>| words.map(|words| words.code);
        Talk {
            model,
            messages_up: self.traffic.messages_up,
            messages_down: self.traffic.messages_down,
            bytes_up: self.traffic.bytes_up,
            bytes_down: self.traffic.bytes_down,
            client_close: close_code(&self.up, told(ending.to_client(self.codes))),
            upstream_close: close_code(&self.down, told(ending.to_upstream())),
        }
    }

    /// Tells both sides, as far as they can be told.
    async fn end(mut self, ending: Ending) {
        if matches!(ending, Ending::Cut) {
            return self.client.link.reset_on_close();
        }
        let to_client = ending.to_client(self.codes);
        let to_upstream = ending.to_upstream();
        if let Some(words) = &to_upstream
            && self.up.is_at_frame_end()
        {
            self.upstream.tell(Sender::Client, words, false);
        }
        match &to_client {
            Some(words) if self.down.is_at_frame_end() => {
                let is_at_end = self.down.is_at_message_end();
                self.client.tell(Sender::Server, words, is_at_end);
            }
            None if matches!(ending, Ending::Closed) => {}
            // In mid-frame only a reset shows that it was cut.
            _ => self.client.link.reset_on_close(),
        }
        let (client, upstream) = (&mut self.client, &mut self.upstream);
        let to_both = async {
            tokio::join!(upstream.finish(), async {
                if to_client.is_some() || matches!(ending, Ending::Closed) {
                    client.finish().await;
                }
            });
        };
        let _ = tokio::time::timeout(LAST_WORDS, to_both).await;
    }
}

/// What the side said that this direction comes from, else what it was told.
fn close_code(pump: &impl Direction, told: Option<u16>) -> Option<u16> {
    match pump.close() {
        // RFC 6455 section 7.1.5: a close frame without a code counts as 1005.
        Some(close) => Some(close.code.unwrap_or(1005)),
        None => told,
    }
}
