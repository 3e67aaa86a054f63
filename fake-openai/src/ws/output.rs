//! What waits to be written on a WebSocket, and where the writing is cut.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::assembler::{Close, Kind, Message};
use super::frame::{Frame, Opcode};
use super::record::Traffic;
use super::session::Said;
use crate::script::Script;
use crate::wire::Ending;

/// Bytes per write.
const CHUNK: usize = 64 * 1024;

/// The writing side of a WebSocket.
#[derive(Debug)]
pub(super) struct Output {
    pending: BytesMut,
    /// Frames that are not written to their end yet, with the position of that end.
    frames: VecDeque<(u64, Frame)>,
    queued: u64,
    written: u64,
    cut: Option<(u64, Ending)>,
    cut_after: Option<usize>,
    fragment: Option<usize>,
    interleave: bool,
    drip: Option<(Duration, Instant)>,
    is_unflushed: bool,
    /// Whether nothing is written any more.
    pub(super) is_mute: bool,
    /// Whether a close frame is among what was queued.
    pub(super) has_close: bool,
}

impl Output {
    pub(super) fn new(script: &Script) -> Output {
        let at = |position: usize, ending| (position as u64, ending);
        let reset = script.reset_at.map(|position| at(position, Ending::Reset));
        let cut = script.cut_at.map(|position| at(position, Ending::Close));
        Output {
            pending: BytesMut::new(),
            frames: VecDeque::new(),
            queued: 0,
            written: 0,
            cut: reset.or(cut),
            cut_after: script.cut_after,
            fragment: script.socket.fragment,
            interleave: script.socket.interleave,
            drip: script.drip.map(|pause| (pause, Instant::now())),
            is_unflushed: false,
            is_mute: false,
            has_close: false,
        }
    }

    /// Bytes that wait.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Whether there is something to write or to flush.
    pub(super) fn has_work(&self) -> bool {
        !self.pending.is_empty() || self.is_unflushed
    }

    pub(super) fn say(&mut self, said: Said) {
        match said {
            Said::Message(message) => self.message(&message),
            Said::Frame(frame) => self.frame(frame),
            Said::Close(close) => self.close(&close),
        }
    }

    fn message(&mut self, message: &Message) {
        let mut opcode = match message.kind {
            Kind::Text => Opcode::Text,
            Kind::Binary => Opcode::Binary,
        };
        let mut rest = message.payload.clone();
        loop {
            let size = self.fragment.unwrap_or(usize::MAX).min(rest.len());
            let piece = rest.split_to(size);
            let fin = rest.is_empty();
            self.frame(Frame::new(fin, opcode, piece));
            if fin {
                return;
            }
            opcode = Opcode::Continuation;
            if self.interleave {
                self.frame(Frame::new(
                    true,
                    Opcode::Ping,
                    Bytes::from_static(b"between"),
                ));
            }
        }
    }

    pub(super) fn close(&mut self, close: &Close) {
        self.frame(Frame::new(true, Opcode::Close, close.payload()));
        self.has_close = true;
    }

    pub(super) fn frame(&mut self, frame: Frame) {
        if self.is_mute || self.has_close {
            return;
        }
        let before = self.pending.len();
        frame.write(&mut self.pending);
        self.queued += (self.pending.len() - before) as u64;
        self.frames.push_back((self.queued, frame));
        if let Some(left) = &mut self.cut_after {
            *left = left.saturating_sub(1);
            if *left == 0 && self.cut.is_none() {
                self.cut = Some((self.queued, Ending::Close));
            }
        }
    }

    /// Bytes that need not be a frame.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        self.queued += bytes.len() as u64;
    }

    /// Writes once; the ending where the cut falls there. May be dropped and called again.
    pub(super) async fn write<W: AsyncWrite + Unpin>(
        &mut self,
        out: &mut W,
        note: impl FnOnce(&dyn Fn(&mut Traffic)),
    ) -> io::Result<Option<Ending>> {
        if self.pending.is_empty() {
            out.flush().await?;
            self.is_unflushed = false;
            return Ok(None);
        }
        let room = match self.cut {
            Some((position, ending)) if position <= self.written => return Ok(Some(ending)),
            Some((position, _)) => CHUNK.min((position - self.written) as usize),
            None => CHUNK,
        };
        let mut size = room.min(self.pending.len());
        if let Some((pause, next)) = self.drip {
            tokio::time::sleep_until(next).await;
            self.drip = Some((pause, Instant::now() + pause));
            size = size.min(1);
        }
        let size = out.write(&self.pending[..size]).await?;
        self.written += size as u64;
        self.is_unflushed = true;
        let bytes = self.pending.split_to(size);
        if self.pending.is_empty() {
            self.pending = BytesMut::new();
        }
        let whole = self.frames.partition_point(|(end, _)| *end <= self.written);
        let whole: Vec<Frame> = self.frames.drain(..whole).map(|(_, frame)| frame).collect();
        note(&|traffic| {
            traffic.add_wire(&bytes);
            for frame in &whole {
                traffic.add_frame(frame);
            }
        });
        let reached = self.cut.filter(|(position, _)| *position <= self.written);
        if reached.is_some() {
            out.flush().await?;
        }
        Ok(reached.map(|(_, ending)| ending))
    }
}
