//! Interpreter: what becomes of a session's messages where they do not simply go on: the retired
//! beta is translated, rules are held against what clients send, and the client's leg may be compressed.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::deflate;
use super::frame::{Opcode, Violation};
use super::messages::{Message, Outgoing};
use super::witness::Witness;
use crate::admission::{Holding, Pressure};
use crate::relay::beta::{Notes, Translated, Translator};
use crate::relay::judge::{self, Judge};
use crate::relay::log_successor;

/// The most refusals that wait to be told.
const MOST_REFUSALS: usize = 64;

/// Sees every message of one session.
pub(super) struct Interpreter {
    beta: Option<Translator>,
    /// Holds what the client sends against the rules of its credential.
    bench: Option<Bench>,
    deflates: bool,
    pressure: Arc<Pressure>,
    /// There where the session's id is yet to be heard.
    witness: Option<Box<Witness>>,
    has_noted: bool,
}

/// Where a client's messages are judged.
pub(super) struct Bench {
    judge: Judge,
    /// The model of the session.
    model: Option<String>,
    /// What the client has yet to hear of messages that were refused.
    refusals: VecDeque<String>,
}

impl Bench {
    pub(super) fn new(judge: Judge, model: Option<String>) -> Bench {
        Bench {
            judge,
            model,
            refusals: VecDeque::new(),
        }
    }

    /// Whether a message goes up; if not, the client hears why.
    fn passes(&mut self, opcode: Opcode, payload: &[u8]) -> bool {
        let judged = match opcode {
            Opcode::Text => self.judge.message(payload, self.model.as_deref()),
            _ => Err(judge::unseen("it is binary")),
        };
        let Err(refusal) = judged else {
            return true;
        };
        if self.refusals.len() < MOST_REFUSALS {
            self.refusals.push_back(refusal.to_socket_event());
        }
        false
    }
}

impl Interpreter {
    /// `deflates`: whether the client's leg is compressed.
    pub(super) fn new(
        beta: Option<Translator>,
        bench: Option<Bench>,
        deflates: bool,
        pressure: Arc<Pressure>,
        witness: Option<Box<Witness>>,
    ) -> Interpreter {
        Interpreter {
            beta,
            bench,
            deflates,
            pressure,
            witness,
            has_noted: false,
        }
    }

    /// For what is held of a message.
    pub(super) fn holding(&self) -> Holding {
        self.pressure.holding()
    }

    /// Whether the client may send compressed messages.
    pub(super) fn inflates(&self) -> bool {
        self.deflates
    }

    /// Decompresses a message of the client's.
    pub(super) fn inflate(&mut self, payload: &[u8], max: u64) -> Result<Vec<u8>, Violation> {
        deflate::inflate(payload, max)
    }

    /// A message of the client's, on its way up.
    pub(super) fn carry_up(&mut self, message: Message, outgoing: &mut Outgoing<'_>) {
        let Message { opcode, payload } = message;
        let plan = match self.beta.as_mut().filter(|_| opcode == Opcode::Text) {
            Some(beta) => Plan::of(beta.client_event(&payload), &payload),
            None => Plan::Unchanged,
        };
        if let Some(bench) = &mut self.bench
            && !plan.passes(bench, opcode, &payload)
        {
            return;
        }
        self.send(plan, opcode, payload, outgoing, false);
    }

    /// Whether the client has yet to hear something from the relay itself.
    pub(super) fn has_to_speak(&self) -> bool {
        let bench = self.bench.as_ref();
        bench.is_some_and(|bench| !bench.refusals.is_empty())
    }

    /// What the client has yet to hear from the relay itself.
    pub(super) fn speak(&mut self, outgoing: &mut Outgoing<'_>) {
        let Some(bench) = &mut self.bench else {
            return;
        };
        for event in bench.refusals.drain(..) {
            send(Opcode::Text, [Bytes::from(event)], outgoing, self.deflates);
        }
    }

    /// A message of the upstream's, on its way down.
    pub(super) fn carry_down(&mut self, message: Message, outgoing: &mut Outgoing<'_>) {
        let Message { opcode, payload } = message;
        if let (Opcode::Text, Some(witness)) = (opcode, &mut self.witness) {
            witness.message(&payload);
        }
        let plan = match self.beta.as_mut().filter(|_| opcode == Opcode::Text) {
            Some(beta) => Plan::of(beta.server_event(&payload), &payload),
            None => Plan::Unchanged,
        };
        self.send(plan, opcode, payload, outgoing, self.deflates);
    }

    fn send(
        &mut self,
        plan: Plan,
        opcode: Opcode,
        payload: Bytes,
        outgoing: &mut Outgoing<'_>,
        deflates: bool,
    ) {
        match plan {
            Plan::Unchanged => send(opcode, [payload], outgoing, deflates),
            Plan::Pieces(pieces) => {
                drop(payload);
                send(opcode, pieces, outgoing, deflates);
            }
            Plan::Texts(texts, notes) => {
                self.note(&notes);
                for text in texts {
                    send(opcode, [Bytes::from(text)], outgoing, deflates);
                }
            }
        }
    }

    /// One line for each session is enough, and one for each model that is replaced.
    fn note(&mut self, notes: &Notes) {
        if let (Some(beta), Some((model, successor))) = (&self.beta, &notes.model) {
            log_successor(beta.aliases(), model, successor);
        }
        if notes.dropped.is_empty() || self.has_noted {
            return;
        }
        self.has_noted = true;
        let dropped = notes.dropped.join(", ");
        tracing::info!(
            dropped,
            "a client of the retired Realtime beta asks for what GA does not take; it is left out"
        );
    }
}

fn send<const N: usize>(
    opcode: Opcode,
    pieces: [Bytes; N],
    outgoing: &mut Outgoing<'_>,
    deflates: bool,
) {
    if deflates {
        let parts: [&[u8]; N] = std::array::from_fn(|at| &pieces[at][..]);
        if let Some(small) = deflate::deflate(&parts) {
            return outgoing.send(opcode, true, [Bytes::from(small)]);
        }
    }
    outgoing.send(opcode, false, pieces);
}

/// What goes in a message's place.
enum Plan {
    Unchanged,
    /// Parts of it, and of what the translator knows.
    Pieces([Bytes; 3]),
    Texts(Vec<Vec<u8>>, Notes),
}

impl Plan {
    /// Whether what goes up may.
    fn passes(&self, bench: &mut Bench, opcode: Opcode, payload: &[u8]) -> bool {
        match self {
            Plan::Unchanged => bench.passes(opcode, payload),
            Plan::Pieces(pieces) => bench.passes(opcode, &pieces.concat()),
            Plan::Texts(texts, _) => texts.iter().all(|text| bench.passes(opcode, text)),
        }
    }

    fn of(translated: Translated<'_>, payload: &Bytes) -> Plan {
        match translated {
            Translated::Unchanged => Plan::Unchanged,
            Translated::Renamed(pieces) => {
                Plan::Pieces(pieces.map(|piece| part_of(payload, piece)))
            }
            Translated::Rewritten(rewritten) => Plan::Texts(vec![rewritten.text], rewritten.notes),
            Translated::Several(texts) => Plan::Texts(texts, Notes::default()),
            Translated::Dropped => Plan::Texts(Vec::new(), Notes::default()),
        }
    }
}

/// A piece without a copy where it lies within the message.
fn part_of(payload: &Bytes, piece: &[u8]) -> Bytes {
    let within = payload.as_ptr_range();
    let range = piece.as_ptr_range();
    if within.start <= range.start && range.end <= within.end {
        payload.slice_ref(piece)
    } else {
        Bytes::copy_from_slice(piece)
    }
}
