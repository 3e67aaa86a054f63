//! Drives one WebSocket: reads and judges, lets the session speak, writes, keeps the record.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::assembler::{Assembler, Close, Incoming};
use super::faults::Then;
use super::frame::{Frame, Opcode, Violation};
use super::output::Output;
use super::registry::Entry;
use super::session::{Outbox, Overheard, Session};
use crate::script::Script;
use crate::wire::Ending;

/// What a message may have, in bytes (wire.md 5.4: an append of 15 MiB in base64 has to fit).
pub(crate) const MESSAGE_LIMIT: u64 = 21 * 1024 * 1024;
/// How many bytes may wait to be written before nothing more is read.
const FULL: usize = 1024 * 1024;
/// Room for bytes of a frame that has begun.
const CHUNK: usize = 64 * 1024;
/// How long a client has to answer a close frame, and to leave after the last one.
const GRACE: Duration = Duration::from_secs(5);

/// The times of a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Between two pings; zero for none.
    pub(crate) ping: Duration,
    /// The session's longest life.
    pub(crate) life: Duration,
    /// Between two things that the session says unasked.
    pub(crate) pause: Duration,
}

/// One open WebSocket.
pub(crate) struct Connection<'a, R, W> {
    reader: &'a mut R,
    out: &'a mut W,
    script: &'a Script,
    entry: Arc<Entry>,
    assembler: Assembler,
    output: Output,
    outbox: Outbox,
    heard: u64,
    has_acted: bool,
    then: Option<Then>,
    /// Whether the client's frames are looked at.
    is_listening: bool,
    pings: u32,
    beat: Option<Interval>,
    deadline: Instant,
    turn: Instant,
    pause: Duration,
}

enum Event {
    Came,
    Left,
    Wrote(Option<Ending>),
    Beat,
    Late,
    Turn,
    Overheard(Overheard),
}

impl<'a, R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Connection<'a, R, W> {
    /// `begun`: bytes that came along with the upgrade.
    pub(crate) fn new(
        (reader, out): (&'a mut R, &'a mut W),
        begun: &[u8],
        script: &'a Script,
        pace: Pace,
        entry: Arc<Entry>,
    ) -> Connection<'a, R, W> {
        let now = Instant::now();
        let beat = (!pace.ping.is_zero()).then(|| {
            let mut beat = tokio::time::interval_at(now + pace.ping, pace.ping);
            beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            beat
        });
        entry.note(|record| record.received.add_wire(begun));
        Connection {
            reader,
            out,
            script,
            entry,
            assembler: Assembler::new(begun, MESSAGE_LIMIT),
            output: Output::new(script),
            outbox: Outbox::default(),
            heard: 0,
            has_acted: false,
            then: None,
            is_listening: true,
            pings: 0,
            beat,
            deadline: now + pace.life,
            turn: now,
            pause: pace.pause,
        }
    }

    /// Serves until the socket has ended.
    pub(crate) async fn run(mut self, session: &mut dyn Session) -> Ending {
        session.open(&mut self.outbox);
        self.act_on_time();
        self.take_in(session);
        loop {
            self.say();
            if !self.output.has_work() {
                if let Some(then) = self.then.take() {
                    match self.end_as_told(then).await {
                        Some(ending) => return ending,
                        None => continue,
                    }
                }
                if !self.is_listening {
                    return self.leave().await;
                }
            }
            match self.next_event(session).await {
                Event::Came => self.take_in(session),
                Event::Left => {
                    self.entry.note(|record| record.left = true);
                    return Ending::Close;
                }
                Event::Wrote(Some(ending)) => return ending,
                Event::Wrote(None) => {}
                Event::Beat => self.ping(),
                Event::Late if self.output.has_close => return Ending::Close,
                Event::Late => {
                    session.expire(&mut self.outbox);
                    self.deadline = Instant::now() + GRACE;
                }
                Event::Overheard(heard) => session.overhear(heard, &mut self.outbox),
                Event::Turn => {
                    session.speak(&mut self.outbox);
                    self.turn = Instant::now() + self.pause;
                }
            }
        }
    }

    async fn next_event(&mut self, session: &mut dyn Session) -> Event {
        let has_room = self.output.pending() < FULL;
        let may_speak = session.speaks() && !self.output.has_work() && !self.output.has_close;
        let entry = &self.entry;
        let note = |change: &dyn Fn(&mut super::record::Traffic)| {
            entry.note(|record| change(&mut record.sent));
        };
        let buffer = &mut self.assembler.buffer;
        buffer.reserve(if buffer.is_empty() { 4096 } else { CHUNK });
        tokio::select! {
            biased;
            came = self.reader.read_buf(buffer), if has_room => match came {
                Ok(0) | Err(_) => Event::Left,
                Ok(size) => {
                    let new = &buffer[buffer.len() - size..];
                    entry.note(|record| record.received.add_wire(new));
                    Event::Came
                }
            },
            wrote = self.output.write(self.out, note), if self.output.has_work() => {
                Event::Wrote(wrote.unwrap_or(Some(Ending::Close)))
            }
            () = tick(&mut self.beat) => Event::Beat,
            () = tokio::time::sleep_until(self.deadline) => Event::Late,
            heard = next_of(session), if has_room && !self.output.has_close => {
                Event::Overheard(heard)
            }
            () = at(self.turn), if may_speak => Event::Turn,
        }
    }

    /// Takes what has come in whole frames.
    fn take_in(&mut self, session: &mut dyn Session) {
        while self.is_listening {
            match self.assembler.next() {
                Ok(None) => return,
                Ok(Some(incoming)) => self.take_frame(&incoming, session),
                Err(violation) => self.object(&violation),
            }
        }
        self.assembler.buffer.clear();
    }

    fn take_frame(&mut self, incoming: &Incoming, session: &mut dyn Session) {
        let frame = &incoming.frame;
        self.entry.note(|record| record.received.add_frame(frame));
        if let Some(close) = &incoming.close {
            self.close_too(close);
            return;
        }
        if frame.head.opcode == Opcode::Ping {
            let pong = Frame::new(true, Opcode::Pong, frame.payload.clone());
            self.output.frame(pong);
        }
        // After its own close a session hears nothing more.
        if self.output.has_close || frame.head.opcode.is_control() {
            return;
        }
        session.see(frame, &mut self.outbox);
        if let Some(message) = &incoming.message {
            session.hear(message, &mut self.outbox);
            self.heard += 1;
            self.act_on_time();
        }
        self.say();
    }

    /// Hands over what the session said.
    fn say(&mut self) {
        let had_close = self.output.has_close;
        for said in self.outbox.take() {
            self.output.say(said);
        }
        if self.output.has_close && !had_close {
            self.deadline = Instant::now() + GRACE;
        }
    }

    /// Does what the script wants, once, as soon as enough was heard.
    fn act_on_time(&mut self) {
        let faults = &self.script.socket;
        if self.has_acted || self.heard < faults.after {
            return;
        }
        self.has_acted = true;
        self.say();
        self.output.raw(&faults.raw);
        if let Some(close) = &faults.close {
            self.close(close);
        }
        self.then = faults.then;
    }

    /// `None`: the socket goes on, in silence.
    async fn end_as_told(&mut self, then: Then) -> Option<Ending> {
        match then {
            Then::Fin => Some(Ending::Close),
            Then::Reset => Some(Ending::Reset),
            Then::Stall => std::future::pending().await,
            Then::HalfOpen => {
                self.output.is_mute = true;
                None
            }
        }
    }

    /// Answers the client's close frame with its own code.
    fn close_too(&mut self, close: &Close) {
        if self.script.socket.ignore_close || self.output.is_mute {
            return;
        }
        if !self.output.has_close {
            let answer = Close {
                code: close.code,
                reason: String::new(),
            };
            self.close(&answer);
        }
        self.is_listening = false;
    }

    fn close(&mut self, close: &Close) {
        self.output.close(close);
        self.deadline = Instant::now() + GRACE;
    }

    fn object(&mut self, violation: &Violation) {
        self.entry
            .note(|record| record.violation = Some(violation.why.clone()));
        self.close(&Close::new(violation.code, violation.why.clone()));
        self.is_listening = false;
    }

    fn ping(&mut self) {
        self.pings += 1;
        let payload = self.pings.to_be_bytes().to_vec().into();
        self.output.frame(Frame::new(true, Opcode::Ping, payload));
    }

    /// Closes its side and waits for the client's, lest a reset destroys what was written last.
    async fn leave(&mut self) -> Ending {
        let _ = self.out.shutdown().await;
        let drain = async {
            let mut rest = [0; 4096];
            while let Ok(1..) = self.reader.read(&mut rest).await {}
        };
        if tokio::time::timeout(GRACE, drain).await.is_ok() {
            self.entry.note(|record| record.left = true);
        }
        Ending::Close
    }
}

async fn next_of(session: &mut dyn Session) -> Overheard {
    match session.ear() {
        Some(ear) => ear.next().await,
        None => std::future::pending().await,
    }
}

async fn tick(beat: &mut Option<Interval>) {
    match beat {
        Some(beat) => {
            beat.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// At once where that moment has passed: a timer would wait for its next tick.
async fn at(moment: Instant) {
    if moment > Instant::now() {
        tokio::time::sleep_until(moment).await;
    }
}
