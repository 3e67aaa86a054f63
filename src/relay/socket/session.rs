//! Session: one client's WebSocket and its upstream's, from the 101 to the last close.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::ending::{Codes, Ending, Words};
use super::farewell::LAST_WORDS;
use super::frame::{Opcode, Sender};
use super::group::grouped;
use super::interpreter::Interpreter;
use super::leg::{Leg, WriteEnd};
use super::messages::MessagePump;
use super::open::{Lived, Rules};
use super::pump::{Direction, Pump, PumpEnd};
use super::watchdog::{Patience, Side, Verdict, Watchdog};
use super::witness::Witness;
use crate::admission::{Departure, Revocation};
use crate::relay::exchange::Exchange;
use crate::telemetry::{Talk, Traffic};
use crate::wire::Link;

/// How long the second close frame may follow the first (RFC 6455 section 7.1.1 sets none).
const CLOSE_WAIT: Duration = Duration::from_secs(5);
/// How long nothing is looked at where nothing has a limit.
const REST: Duration = Duration::from_secs(3600);

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

/// By when what has to happen in the end.
#[derive(Clone, Copy, Default)]
struct Parting {
    /// When the session leaves of itself, once the relay shuts down.
    leave: Option<Instant>,
    /// When it is cut.
    deadline: Option<Instant>,
    /// When a close frame must have been answered.
    close_by: Option<Instant>,
}

/// Both directions, and what bounds them.
struct Relaying<D: Direction> {
    client: Leg,
    upstream: Leg,
    up: D,
    down: D,
    shared: D::Shared,
    rules: Arc<Rules>,
    dog: Watchdog,
    timer: Pin<Box<Sleep>>,
    /// Tells when the relay shuts down.
    departure: Option<Departure>,
    /// There once the session has to end.
    parting: Option<Box<Parting>>,
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
            timer: Box::pin(tokio::time::sleep_until(now)),
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
            let moved = [self.poll_up(cx), self.poll_down(cx)];
            self.count(exchange);
            let mut has_moved = false;
            for (side, polled) in [Side::Client, Side::Upstream].into_iter().zip(moved) {
                if let Poll::Ready(end) = polled {
                    if let Some(ending) = self.pump_ended(side, end) {
                        return Poll::Ready(ending);
                    }
                    has_moved = true;
                }
            }
            self.poll_departure(cx);
            match self.poll_timer(cx) {
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
                self.timer.as_mut().reset(due);
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

    /// Learns when to leave once the relay shuts down.
    fn poll_departure(&mut self, cx: &mut Context<'_>) {
        if let Some(departure) = &mut self.departure
            && let Poll::Ready((at, deadline)) = departure.poll(cx)
        {
            self.departure = None;
            let parting = self.part();
            (parting.leave, parting.deadline) = (Some(at), Some(deadline));
            let due = at.min(self.timer.deadline());
            self.timer.as_mut().reset(due);
        }
    }

    /// Ready without an ending when there is something new to move.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ending>> {
        // Set for the earliest of all; mostly something is heard before, and it is moved then.
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let parting = self.parting.as_deref().copied().unwrap_or_default();
            if parting.deadline.is_some_and(|deadline| deadline <= now) {
                return Poll::Ready(Some(Ending::Cut));
            }
            if let Some(by) = parting.close_by {
                if by <= now {
                    return Poll::Ready(Some(Ending::Closed));
                }
                // It leaves already.
                self.part().leave = None;
                let due = self.no_later(by);
                self.timer.as_mut().reset(due);
                continue;
            }
            if parting.leave.is_some_and(|at| at <= now) {
                self.part().leave = None;
                self.up.halt();
                self.down.halt();
                self.timer.as_mut().reset(now);
                return Poll::Ready(None);
            }
            for (side, is_blocked) in [
                (Side::Client, self.up.is_blocked()),
                (Side::Upstream, self.down.is_blocked()),
            ] {
                if is_blocked {
                    if self.leg(side).link.is_closed() {
                        return Poll::Ready(Some(Ending::Gone(side)));
                    }
                    self.dog.heard(side, now);
                }
            }
            let due = match self.dog.judge(now) {
                Verdict::Ping(side) => {
                    let role = side.other().sender();
                    self.leg(side)
                        .say(role, Opcode::Ping, super::ping_payload());
                    self.timer.as_mut().reset(now);
                    return Poll::Ready(None);
                }
                Verdict::Gone(side) => return Poll::Ready(Some(Ending::Silent(side))),
                Verdict::Inactive => return Poll::Ready(Some(Ending::Inactive)),
                Verdict::Over => return Poll::Ready(Some(Ending::Over)),
                Verdict::Wait(due) => due,
                Verdict::Rest => now + REST,
            };
            let due = self.no_later(grouped(due, now));
            self.timer.as_mut().reset(due);
        }
        Poll::Pending
    }

    fn part(&mut self) -> &mut Parting {
        self.parting.get_or_insert_default()
    }

    /// A time to look again, or an earlier one that the relay's shutdown sets.
    fn no_later(&self, due: Instant) -> Instant {
        let parting = self.parting.as_deref().copied().unwrap_or_default();
        [parting.leave, parting.deadline]
            .into_iter()
            .flatten()
            .fold(due, Instant::min)
    }

    fn leg(&mut self, side: Side) -> &mut Leg {
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
