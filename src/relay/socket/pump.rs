//! Pump: one direction of a session, by the byte. Bytes go on as they were read; only where frames end is
//! watched, and the answers to the relay's own pings are taken out.

use std::marker::PhantomData;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;

use super::direction::{Direction, PumpEnd};
use super::frame::{Close, Control, Opcode};
use super::leg::{Leg, WriteEnd};
use super::open::Rules;
use super::scan::{Scan, Scanner, Then};
use super::watchdog::{Side, Watchdog};
use super::witness::Witness;
use crate::wire::lately;

/// Hears what goes through a pump.
pub(super) trait Ear {
    /// Data frames of the upstream's go down, or parts of them.
    fn frames(&mut self, bytes: &[u8]);
}

/// Nobody hears: this costs nothing.
impl Ear for () {
    fn frames(&mut self, _: &[u8]) {}
}

impl Ear for Box<Witness> {
    fn frames(&mut self, bytes: &[u8]) {
        (**self).frames(bytes);
    }
}

/// Moves what one side sends to the other.
pub(super) struct Pump<E = ()> {
    source: Side,
    scanner: Scanner,
    /// What may go, counted from the start of what was read and has not gone, a few reads at the most; how
    /// much of it ends with a frame, and with a message.
    ready: u32,
    frame_end: u32,
    message_end: u32,
    /// Whether what has gone ends with a frame, and with a message.
    is_at_frame_end: bool,
    is_at_message_end: bool,
    close: Option<Box<Close>>,
    is_halting: bool,
    ear: PhantomData<E>,
}

impl<E: Ear> Direction for Pump<E> {
    type Shared = E;

    fn new(source: Side) -> Pump<E> {
        Pump {
            source,
            scanner: Scanner::new(source.sender()),
            ready: 0,
            frame_end: 0,
            message_end: 0,
            is_at_frame_end: true,
            is_at_message_end: true,
            close: None,
            is_halting: false,
            ear: PhantomData,
        }
    }

    fn take_counts(&mut self) -> (u32, u32) {
        self.scanner.take_counts()
    }

    fn close(&self) -> Option<&Close> {
        self.close.as_deref()
    }

    fn is_at_frame_end(&self) -> bool {
        self.is_at_frame_end
    }

    fn is_at_message_end(&self) -> bool {
        self.is_at_message_end
    }

    fn is_blocked(&self) -> bool {
        self.ready > 0
    }

    fn halt(&mut self) {
        self.is_halting = true;
    }

    fn has_halted(&self) -> bool {
        self.is_halting && self.is_at_message_end
    }

    fn source(&self) -> Side {
        self.source
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Leg,
        to: &mut Leg,
        dog: &mut Watchdog,
        stall: Duration,
    ) -> Poll<Result<(), WriteEnd>> {
        loop {
            if to.has_own() && self.is_at_frame_end {
                ready!(to.poll_own(cx, stall))?;
                dog.pinged(self.source.other(), lately());
            }
            // A close frame goes through all the same.
            if self.has_halted() && self.close.is_none() {
                return to.poll_flush(cx, stall);
            }
            let length = if self.is_halting && self.message_end > 0 {
                self.message_end
            } else if to.has_own() && self.frame_end > 0 {
                self.frame_end
            } else {
                self.ready
            };
            if length == 0 {
                return to.poll_flush(cx, stall);
            }
            let next = &from.link.input[..length as usize];
            let written = ready!(to.poll_write(cx, next, stall))?;
            from.link.input.advance(written);
            self.went(written);
        }
    }

    fn is_clear(&self, from: &Leg, to: &Leg) -> bool {
        let is_moving = !self.is_halting && self.close.is_none();
        is_moving && self.ready == 0 && from.link.input.is_empty() && !to.has_own() && !to.is_held()
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Leg,
        to: &mut Leg,
        dog: &mut Watchdog,
        rules: &Rules,
        ear: &mut E,
    ) -> Poll<Result<bool, PumpEnd>> {
        let stall = rules.stall(self.source.other());
        let (mut has_data, mut end) = (false, None);
        let read = ready!(from.link.poll_pass(cx, |cx, bytes| {
            let scan = self.scanner.scan(bytes, rules.max_message);
            has_data = self.note_data(&scan, bytes, ear);
            // What the relay itself has to say, and where it has to stop, is looked at in `poll_write`.
            if !has_data || to.has_own() || self.is_halting {
                return 0;
            }
            match to.poll_write(cx, &bytes[..scan.data], stall) {
                Poll::Ready(Ok(written)) => {
                    self.went(written);
                    written
                }
                Poll::Ready(Err(error)) => {
                    end = Some(PumpEnd::Unwritable(error));
                    0
                }
                Poll::Pending => 0,
            }
        }));
        let is_open = read.map_err(PumpEnd::Unreadable)?;
        if is_open {
            dog.heard(self.source, lately());
        }
        if has_data {
            dog.message(self.source);
        }
        Poll::Ready(end.map_or(Ok(is_open), Err))
    }

    fn take(
        &mut self,
        from: &mut Leg,
        dog: &mut Watchdog,
        max_message: u64,
        ear: &mut E,
    ) -> Result<bool, PumpEnd> {
        let input = &mut from.link.input;
        if input.is_empty() {
            return Ok(false);
        }
        let scan = self.scanner.scan(input, max_message);
        if self.note_data(&scan, input, ear) {
            dog.message(self.source);
            return Ok(true);
        }
        match scan.then {
            Then::More => Ok(false),
            Then::Violation(violation) => Err(violation.into()),
            Then::Control(control) => {
                if self.is_own_pong(&control, input) {
                    input.advance(control.length);
                    return Ok(true);
                }
                if control.opcode == Opcode::Close {
                    self.close = Some(Box::new(Close::read(&control.payload(input))?));
                }
                self.ready = short(control.length);
                self.frame_end = self.ready;
                self.message_end = match self.scanner.is_between_messages() {
                    true => self.ready,
                    false => 0,
                };
                Ok(true)
            }
        }
    }
}

/// A length within the input. Thousands of sessions idle with six of them each.
fn short(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl<E: Ear> Pump<E> {
    /// Notes how much of these bytes is data, which may go on; whether any is.
    fn note_data(&mut self, scan: &Scan, bytes: &[u8], ear: &mut E) -> bool {
        if scan.data == 0 {
            return false;
        }
        if self.source == Side::Upstream {
            ear.frames(&bytes[..scan.data]);
        }
        self.ready = short(scan.data);
        self.frame_end = short(scan.frame_end);
        self.message_end = short(scan.message_end);
        true
    }

    /// So much has gone on.
    fn went(&mut self, written: usize) {
        let written = short(written);
        self.is_at_message_end = written == self.message_end;
        self.is_at_frame_end = self.is_at_message_end || written == self.frame_end;
        self.ready -= written;
        self.frame_end = self.frame_end.saturating_sub(written);
        self.message_end = self.message_end.saturating_sub(written);
    }

    fn is_own_pong(&self, control: &Control, input: &[u8]) -> bool {
        control.opcode == Opcode::Pong
            && control.length > super::TAG.len()
            && super::is_tagged(&control.payload(input))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::{Instant, advance, timeout};

    use super::super::watchdog::Patience;
    use super::*;
    use crate::config::Beta;
    use crate::wire::{Link, Plain};

    const SECOND: Duration = Duration::from_secs(1);

    /// A pump from a client to the upstream, and all that it needs.
    struct Moving {
        pump: Pump,
        from: Leg,
        to: Leg,
        dog: Watchdog,
        rules: Rules,
    }

    impl Moving {
        /// Also the other ends of its legs.
        async fn start() -> (Moving, TcpStream, TcpStream) {
            let (from, client) = leg().await;
            let (to, upstream) = leg().await;
            let patience = Arc::new(Patience {
                heartbeat: None,
                inactivity: None,
                session: None,
            });
            let moving = Moving {
                pump: Pump::new(Side::Client),
                from,
                to,
                dog: Watchdog::new(Arc::clone(&patience), Instant::now()),
                rules: Rules {
                    conversation: Arc::clone(&patience),
                    other: patience,
                    beta: Beta::Refuse,
                    compression: false,
                    max_message: 1024,
                    client_stall: SECOND,
                    upstream_stall: SECOND,
                    pressure: Arc::default(),
                },
            };
            (moving, client, upstream)
        }

        /// Moves what can be moved until this holds.
        async fn until(&mut self, is_so: impl Fn(&Moving) -> bool) {
            let moved = poll_fn(|cx| {
                let (from, to) = (&mut self.from, &mut self.to);
                let (dog, rules) = (&mut self.dog, &self.rules);
                let polled = self.pump.poll_move(cx, from, to, dog, rules, &mut ());
                assert!(polled.is_pending());
                match is_so(self) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            });
            timeout(3600 * SECOND, moved).await.expect("it moves");
        }
    }

    async fn leg() -> (Leg, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("its address");
        let (peer, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.expect("a connection");
        let link = Link::plain(Plain::new(stream));
        (Leg::new(link), peer.expect("connected"))
    }

    #[tokio::test(start_paused = true)]
    async fn every_byte_is_heard_of_heads_and_control_frames_too() {
        let (mut moving, mut client, mut upstream) = Moving::start().await;
        let ping = [0x89, 0x82, 1, 2, 3, 4, b'h', b'i'];
        for byte in ping {
            advance(SECOND).await;
            client.write_all(&[byte]).await.expect("written");
            let now = Instant::now();
            moving.until(|moving| moving.dog.last() == now).await;
        }
        let mut came = [0; 8];
        upstream.read_exact(&mut came).await.expect("passed on");
        assert_eq!(came, ping);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_tiny_frames_leaves_others_their_turn() {
        let (mut moving, mut client, mut upstream) = Moving::start().await;
        let flood = [0x89, 0x80, 0, 0, 0, 0].repeat(2000);
        client.write_all(&flood).await.expect("written");
        // Each goes by itself: turns that end with some of them left.
        let turns = Cell::new(0);
        moving
            .until(|moving| {
                let is_over = moving.from.link.is_empty();
                turns.set(turns.get() + u32::from(!is_over));
                is_over && turns.get() > 0
            })
            .await;
        assert!(turns.get() > 5, "{} turns", turns.get());
        let mut came = vec![0; flood.len()];
        upstream.read_exact(&mut came).await.expect("passed on");
        assert_eq!(came, flood);
    }

    #[tokio::test(start_paused = true)]
    async fn what_follows_data_in_the_same_read_goes_on_behind_it() {
        let (mut moving, mut client, mut upstream) = Moving::start().await;
        // A text, a ping, and the first byte of the next head.
        let read = [0x81, 0x81, 0, 0, 0, 0, b'x', 0x89, 0x80, 0, 0, 0, 0, 0x81];
        client.write_all(&read).await.expect("written");
        moving
            .until(|moving| moving.from.link.input[..] == read[13..])
            .await;
        client.write_all(&read[1..7]).await.expect("written");
        moving.until(|moving| moving.from.link.is_empty()).await;
        let mut came = [0; 20];
        upstream.read_exact(&mut came).await.expect("passed on");
        assert_eq!(came[..14], read);
        assert_eq!(came[14..], read[1..7]);
        assert_eq!(moving.pump.take_counts(), (2, 2));
    }
}
