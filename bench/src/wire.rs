//! Just enough HTTP/1.1 and WebSocket (RFC 6455) to ask and to answer, at the least cost.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::{memchr, memmem};
use sha1::{Digest, Sha1};

/// RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Text frames, and the client's end of a session.
pub const TEXT: u8 = 1;

/// The length of the first head in these bytes, if it is there whole.
pub fn head_length(bytes: &[u8]) -> Option<usize> {
    memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// The value of a field; `name` in lower case.
pub fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    lines.find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The body's length that a head announces.
pub fn content_length(head: &[u8]) -> usize {
    field(head, "content-length")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// What a server answers to this key (RFC 6455 section 4.2.2).
pub fn accept(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID);
    STANDARD.encode(hash.finalize())
}

/// Where in an answer a client stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Before its head.
    #[default]
    Head,
    /// In a body with so many bytes left.
    Length(usize),
    /// Before a chunk.
    Chunk,
}

/// A piece of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Its head, with this status.
    Head(u16),
    /// Bytes of its body.
    Body(&'a [u8]),
    /// Its end.
    End,
}

impl Place {
    /// Takes the next piece off the input; `None` when more is needed. `input` moves on.
    pub fn take<'a>(&mut self, input: &mut &'a [u8]) -> Option<Piece<'a>> {
        match *self {
            Place::Head => {
                let length = head_length(input)?;
                let (head, rest) = input.split_at(length);
                *input = rest;
                let status = std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()?;
                let is_chunked = field(head, "transfer-encoding").is_some();
                *self = match (status, is_chunked) {
                    (101, _) => Place::Head,
                    (_, true) => Place::Chunk,
                    (_, false) => Place::Length(content_length(head)),
                };
                Some(Piece::Head(status))
            }
            Place::Length(0) => {
                *self = Place::Head;
                Some(Piece::End)
            }
            Place::Length(left) => {
                let (body, rest) = input.split_at(left.min(input.len()));
                if body.is_empty() {
                    return None;
                }
                *input = rest;
                *self = Place::Length(left - body.len());
                Some(Piece::Body(body))
            }
            Place::Chunk => {
                let line = memchr(b'\n', input)?;
                let digits = std::str::from_utf8(input.get(..line - 1)?).ok()?;
                let size = usize::from_str_radix(digits, 16).ok()?;
                let whole = line + 1 + size + 2;
                let chunk = input.get(line + 1..whole)?;
                *input = &input[whole..];
                if size == 0 {
                    *self = Place::Head;
                    return Some(Piece::End);
                }
                Some(Piece::Body(&chunk[..size]))
            }
        }
    }
}

/// Appends one unfragmented frame; `masked` with a key of zeros, which changes nothing.
pub fn write_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8], masked: bool) {
    let mask = if masked { 0x80 } else { 0 };
    out.push(0x80 | opcode);
    match payload.len() {
        short @ 0..126 => out.push(mask | u8::try_from(short).unwrap_or(0)),
        long => {
            out.push(mask | 126);
            out.extend_from_slice(&u16::try_from(long).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    if masked {
        out.extend_from_slice(&[0; 4]);
    }
    out.extend_from_slice(payload);
}

/// Takes the next whole frame off the input: its opcode and payload, which costs nothing where it is
/// masked with zeros, as by the load and by relays that leave frames alone. `input` moves on. Frames
/// of 64 KiB and more do not occur here.
pub fn take_frame<'a>(input: &mut &'a [u8]) -> Option<(u8, Cow<'a, [u8]>)> {
    let (first, second) = (*input.first()?, *input.get(1)?);
    let (mut start, length) = match second & 0x7f {
        126 => (
            4,
            usize::from(u16::from_be_bytes([*input.get(2)?, *input.get(3)?])),
        ),
        short => (2, usize::from(short)),
    };
    let mut key = [0; 4];
    if second & 0x80 != 0 {
        key = *input.get(start..)?.first_chunk()?;
        start += 4;
    }
    let mut payload = Cow::Borrowed(input.get(start..start + length)?);
    if key != [0; 4] {
        let keys = key.iter().cycle();
        let bytes = payload.to_mut().iter_mut();
        bytes.zip(keys).for_each(|(byte, key)| *byte ^= key);
    }
    *input = &input[start + length..];
    Some((first & 0x0f, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(bytes: &[u8]) -> Vec<Piece<'_>> {
        let (mut place, mut input) = (Place::default(), bytes);
        std::iter::from_fn(|| place.take(&mut input)).collect()
    }

    #[test]
    fn an_answer_is_the_same_with_a_length_and_in_chunks() {
        let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let whole = [Piece::Head(200), Piece::Body(b"hello"), Piece::End];
        assert_eq!(pieces(sized), whole);
        let chunked =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        assert_eq!(pieces(chunked), whole);
        assert_eq!(pieces(&chunked[..50]), [Piece::Head(200)]);
    }

    #[test]
    fn frames_come_back_as_they_were_written() {
        for (length, masked) in [(0, true), (125, false), (126, true), (8192, false)] {
            let payload = vec![b'x'; length];
            let mut out = Vec::new();
            write_frame(&mut out, TEXT, &payload, masked);
            let mut input = &out[..];
            assert_eq!(take_frame(&mut &out[..out.len() - 1]), None);
            assert_eq!(take_frame(&mut input), Some((TEXT, payload.into())));
            assert!(input.is_empty());
        }
    }

    #[test]
    fn a_frame_of_a_relay_that_masks_it_anew_is_read() {
        // RFC 6455 section 5.7.
        let hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        let taken = take_frame(&mut &hello[..]);
        assert_eq!(taken, Some((TEXT, b"Hello"[..].into())));
    }

    #[test]
    fn a_key_is_answered_as_the_standard_shows() {
        assert_eq!(
            accept("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }
}
