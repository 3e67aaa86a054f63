//! Messages: a direction whose messages are read whole, because somebody has to see or change them.
//! They come with one copy, off the wire; what is not changed goes on from where it lies.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use super::direction::{Direction, PumpEnd};
use super::frame::{Close, Control, Head, Opcode, Violation, apply_mask, protocol, write_head};
use super::interpreter::Interpreter;
use super::leg::{Leg, WriteEnd};
use super::open::Rules;
use super::watchdog::{Side, Watchdog};
use crate::admission::{HELD_FOR_NOTHING, Holding};
use crate::wire::{Output, lately};

/// One whole message.
#[derive(Debug)]
pub(super) struct Message {
    /// Text or binary.
    pub(super) opcode: Opcode,
    /// As its sender meant it: neither masked nor compressed.
    pub(super) payload: Bytes,
}

/// A message that is coming in.
struct Incoming {
    opcode: Opcode,
    is_compressed: bool,
    payload: Vec<u8>,
}

/// A frame whose payload is coming in.
#[derive(Clone, Copy)]
struct Part {
    left: u64,
    mask: Option<[u8; 4]>,
    is_final: bool,
}

/// Moves what one side says to the other, message by message.
pub(super) struct MessagePump {
    source: Side,
    incoming: Option<Incoming>,
    part: Option<Part>,
    output: Output,
    messages: u32,
    bytes: u32,
    close: Option<Box<Close>>,
    is_halting: bool,
    /// For a message that is large, until it has gone on.
    holding: Option<Holding>,
}

impl MessagePump {
    fn begin(&mut self, head: &Head, max_message: u64) -> Result<(), Violation> {
        let announced = usize::try_from(head.payload).unwrap_or(usize::MAX);
        match (&mut self.incoming, head.opcode) {
            (None, Opcode::Continuation) => {
                return Err(protocol("a continuation has nothing to continue"));
            }
            (Some(_), Opcode::Text | Opcode::Binary) => {
                return Err(protocol("a message begins within another"));
            }
            (Some(_), _) if head.is_compressed => {
                return Err(protocol("a reserved bit is set in the middle of a message"));
            }
            (Some(_), _) => {}
            (None, opcode) => {
                self.incoming = Some(Incoming {
                    opcode,
                    is_compressed: head.is_compressed,
                    payload: Vec::new(),
                });
            }
        }
        if let Some(incoming) = &mut self.incoming {
            let length = (incoming.payload.len() as u64).saturating_add(head.payload);
            if length > max_message {
                return Err(Violation::too_large());
            }
            // The rest as it comes, out of what all that is read whole may take together.
            incoming.payload.reserve(announced.min(HELD_FOR_NOTHING));
        }
        self.part = Some(Part {
            left: head.payload,
            mask: head.mask,
            is_final: head.is_final,
        });
        Ok(())
    }

    /// A message has come to its end.
    fn finish(&mut self, interpreter: &mut Interpreter, max_message: u64) -> Result<(), PumpEnd> {
        let Some(incoming) = self.incoming.take() else {
            return Ok(());
        };
        let payload = if incoming.is_compressed {
            let payload = interpreter.inflate(&incoming.payload, max_message)?;
            self.hold(payload.capacity(), interpreter)?;
            payload
        } else {
            incoming.payload
        };
        let message = Message {
            opcode: incoming.opcode,
            payload: Bytes::from(payload),
        };
        let mut outgoing = Outgoing {
            output: &mut self.output,
            destination: self.source.other(),
        };
        match self.source {
            Side::Client => interpreter.carry_up(message, &mut outgoing),
            Side::Upstream => interpreter.carry_down(message, &mut outgoing),
        }
        Ok(())
    }

    /// Holds so many bytes of a message from here on; small ones are held for nothing.
    fn hold(&mut self, bytes: usize, interpreter: &Interpreter) -> Result<(), PumpEnd> {
        if bytes <= HELD_FOR_NOTHING {
            return Ok(());
        }
        let holding = self.holding.get_or_insert_with(|| interpreter.holding());
        let may_hold = holding.grow_to(bytes as u64);
        may_hold.then_some(()).ok_or(PumpEnd::Overloaded)
    }

    fn control(&mut self, opcode: Opcode, payload: Vec<u8>) -> Result<(), Violation> {
        if opcode == Opcode::Pong && super::is_tagged(&payload) {
            return Ok(());
        }
        if opcode == Opcode::Close {
            self.close = Some(Box::new(Close::read(&payload)?));
        }
        let mut outgoing = Outgoing {
            output: &mut self.output,
            destination: self.source.other(),
        };
        outgoing.send(opcode, false, [Bytes::from(payload)]);
        Ok(())
    }
}

impl Direction for MessagePump {
    type Shared = Box<Interpreter>;

    fn new(source: Side) -> MessagePump {
        MessagePump {
            source,
            incoming: None,
            part: None,
            output: Output::default(),
            messages: 0,
            bytes: 0,
            close: None,
            is_halting: false,
            holding: None,
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        _from: &mut Leg,
        to: &mut Leg,
        dog: &mut Watchdog,
        stall: Duration,
    ) -> Poll<Result<(), WriteEnd>> {
        while !self.output.is_empty() {
            ready!(to.poll_output(cx, &mut self.output, stall))?;
        }
        if self.incoming.is_none() {
            self.holding = None;
        }
        if to.has_own() {
            ready!(to.poll_own(cx, stall))?;
            dog.pinged(self.source.other(), lately());
        }
        Poll::Ready(Ok(()))
    }

    fn is_clear(&self, _from: &Leg, _to: &Leg) -> bool {
        false
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Leg,
        _to: &mut Leg,
        dog: &mut Watchdog,
        _rules: &Rules,
        _shared: &mut Box<Interpreter>,
    ) -> Poll<Result<bool, PumpEnd>> {
        let is_open = ready!(from.link.poll_refill(cx)).map_err(PumpEnd::Unreadable)?;
        if is_open {
            dog.heard(self.source, lately());
        }
        Poll::Ready(Ok(is_open))
    }

    fn take(
        &mut self,
        from: &mut Leg,
        dog: &mut Watchdog,
        max_message: u64,
        interpreter: &mut Box<Interpreter>,
    ) -> Result<bool, PumpEnd> {
        if self.source == Side::Upstream && self.close.is_none() && interpreter.has_to_speak() {
            interpreter.speak(&mut Outgoing {
                output: &mut self.output,
                destination: Side::Client,
            });
            return Ok(true);
        }
        let input = &mut from.link.input;
        if let Some(mut part) = self.part {
            let taken = usize::try_from(part.left)
                .unwrap_or(usize::MAX)
                .min(input.len());
            if taken == 0 && part.left > 0 {
                return Ok(false);
            }
            if let Some(incoming) = &mut self.incoming {
                let at = incoming.payload.len();
                incoming.payload.extend_from_slice(&input[..taken]);
                if let Some(mask) = &mut part.mask {
                    apply_mask(&mut incoming.payload[at..], *mask);
                    mask.rotate_left(taken % 4);
                }
                let held = incoming.payload.capacity();
                self.hold(held, interpreter)?;
            }
            input.advance(taken);
            part.left -= taken as u64;
            self.bytes = self
                .bytes
                .saturating_add(u32::try_from(taken).unwrap_or(u32::MAX));
            self.part = (part.left > 0).then_some(part);
            dog.message(self.source);
            if part.left == 0 && part.is_final {
                self.messages += 1;
                self.finish(interpreter, max_message)?;
            }
            return Ok(true);
        }
        let may_compress = self.source == Side::Client && interpreter.inflates();
        let Some(head) = Head::read(input, self.source.sender(), may_compress)? else {
            return Ok(false);
        };
        if head.opcode.is_control() {
            let Some(control) = Control::read(&head, input) else {
                return Ok(false);
            };
            let payload = control.payload(input);
            input.advance(control.length);
            self.control(control.opcode, payload)?;
            return Ok(true);
        }
        input.advance(head.length);
        self.begin(&head, max_message)?;
        Ok(true)
    }

    fn source(&self) -> Side {
        self.source
    }

    fn take_counts(&mut self) -> (u32, u32) {
        (
            std::mem::take(&mut self.messages),
            std::mem::take(&mut self.bytes),
        )
    }

    fn close(&self) -> Option<&Close> {
        self.close.as_deref()
    }

    fn is_at_frame_end(&self) -> bool {
        self.output.is_taken()
    }

    fn is_at_message_end(&self) -> bool {
        self.output.is_taken()
    }

    fn is_blocked(&self) -> bool {
        !self.output.is_empty()
    }

    fn halt(&mut self) {
        self.is_halting = true;
    }

    fn has_halted(&self) -> bool {
        self.is_halting && self.incoming.is_none()
    }
}

/// Where messages go that have been seen.
pub(super) struct Outgoing<'a> {
    output: &'a mut Output,
    destination: Side,
}

impl Outgoing<'_> {
    /// Sends one frame: these pieces, one behind the other.
    pub(super) fn send<const N: usize>(
        &mut self,
        opcode: Opcode,
        is_compressed: bool,
        pieces: [Bytes; N],
    ) {
        let length = pieces.iter().map(Bytes::len).sum();
        let mut key = match self.destination {
            Side::Client => None,
            Side::Upstream => Some(super::entropy::<4>()),
        };
        self.output
            .write(|out| write_head(out, opcode, is_compressed, length, key));
        for piece in pieces {
            let Some(key) = &mut key else {
                self.output.push(piece);
                continue;
            };
            // What nobody else holds is masked where it lies.
            let mut piece = match piece.try_into_mut() {
                Ok(piece) => piece,
                Err(shared) => BytesMut::from(&shared[..]),
            };
            apply_mask(&mut piece, *key);
            key.rotate_left(piece.len() % 4);
            self.output.push(piece.freeze());
        }
    }
}
