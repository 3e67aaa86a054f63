//! How a body is delimited, and how its bytes are taken off a buffer.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::chunked::Chunked;

/// How a body is delimited (RFC 9112 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes; 0 is no body.
    Length(u64),
    /// Chunks, and trailers behind them.
    Chunked,
    /// All that comes until the connection closes; answers only.
    UntilClose,
}

/// What a decoder found next.
#[derive(Debug)]
pub enum Piece {
    /// Bytes of the body.
    Data(Bytes),
    /// The fields behind the last chunk; the body ends with them.
    Trailers(HeaderMap),
    /// The body ends here.
    End,
    /// Nothing yet: more bytes are needed.
    Starved,
}

/// Takes one body off a buffer, piece by piece, without a copy.
#[derive(Debug)]
pub struct Decoder {
    state: State,
}

#[derive(Debug)]
enum State {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    Ended,
}

impl Decoder {
    /// A decoder at the start of a body.
    pub fn new(framing: Framing) -> Decoder {
        let state = match framing {
            Framing::Length(0) => State::Ended,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked::new()),
            Framing::UntilClose => State::UntilClose,
        };
        Decoder { state }
    }

    /// A decoder behind the end of one.
    pub fn ended() -> Decoder {
        Decoder {
            state: State::Ended,
        }
    }

    /// Whether all of the body has been taken.
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Bytes that are still to come, where that is known.
    pub fn remaining(&self) -> Option<u64> {
        match &self.state {
            State::Length(left) => Some(*left),
            State::Ended => Some(0),
            State::Chunked(_) | State::UntilClose => None,
        }
    }

    /// The next piece. An error names what is wrong with the chunks.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Piece, &'static str> {
        match &mut self.state {
            State::Ended => Ok(Piece::End),
            _ if buffer.is_empty() => Ok(Piece::Starved),
            State::UntilClose => Ok(Piece::Data(buffer.split().freeze())),
            State::Length(left) => {
                let whole = usize::try_from(*left).unwrap_or(usize::MAX);
                let taken = buffer.split_to(whole.min(buffer.len()));
                *left -= u64::try_from(taken.len()).unwrap_or(u64::MAX);
                if *left == 0 {
                    self.state = State::Ended;
                }
                Ok(Piece::Data(taken.freeze()))
            }
            State::Chunked(chunked) => {
                let piece = chunked.decode(buffer)?;
                if matches!(piece, Piece::End | Piece::Trailers(_)) {
                    self.state = State::Ended;
                }
                Ok(piece)
            }
        }
    }

    /// The stream has ended: whether the body ended with it.
    pub fn end_of_stream(&mut self) -> bool {
        if matches!(self.state, State::UntilClose) {
            self.state = State::Ended;
        }
        self.is_ended()
    }
}
