//! One frame as bytes (RFC 6455 section 5.2).

use bytes::{BufMut, Bytes, BytesMut};

/// What a frame carries; the numbers are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message that an earlier frame began.
    Continuation,
    /// The beginning of a text.
    Text,
    /// The beginning of a binary message.
    Binary,
    /// The end of the socket.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Opcode> {
        Some(match bits {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xa => Opcode::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xa,
        }
    }

    /// Whether it may come between the frames of a message.
    pub fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// What stands in front of a frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// Whether the message ends here.
    pub fin: bool,
    /// What the frame carries.
    pub opcode: Opcode,
    /// The key that the payload was masked with, if it was.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload.
    pub length: u64,
}

/// What a peer did that it must not do, and the close code that says so (RFC 6455 section 7.4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) code: u16,
    pub(crate) why: String,
}

impl Violation {
    /// Against the protocol.
    pub(super) fn protocol(why: impl Into<String>) -> Violation {
        Violation {
            code: 1002,
            why: why.into(),
        }
    }

    /// A text that is not one.
    pub(super) fn not_utf8() -> Violation {
        Violation {
            code: 1007,
            why: "a text is not UTF-8".to_owned(),
        }
    }

    /// More than the receiver takes.
    pub(super) fn too_big(limit: u64) -> Violation {
        Violation {
            code: 1009,
            why: format!("a message is larger than {limit} bytes"),
        }
    }
}

impl FrameHead {
    /// Reads a head from the front of `bytes`, with the bytes that it takes; `None` where more of
    /// them are needed. No extension is ever negotiated, so reserved bits are a violation.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(FrameHead, usize)>, Violation> {
        let [first, second, rest @ ..] = bytes else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            return Err(Violation::protocol("a reserved bit is set"));
        }
        let Some(opcode) = Opcode::from_bits(first & 0x0f) else {
            return Err(Violation::protocol("a reserved opcode"));
        };
        let fin = first & 0x80 != 0;
        let short = second & 0x7f;
        if opcode.is_control() && (!fin || short > 125) {
            let why = "a control frame is fragmented or longer than 125 bytes";
            return Err(Violation::protocol(why));
        }
        let (length, width) = match (short, rest) {
            (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 2),
            (127, [a, b, c, d, e, f, g, h, ..]) => {
                (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 8)
            }
            (126 | 127, _) => return Ok(None),
            (short, _) => (u64::from(short), 0),
        };
        let shortest = match length {
            0..=125 => 0,
            126..=0xffff => 2,
            _ => 8,
        };
        if width != shortest || length > i64::MAX as u64 {
            return Err(Violation::protocol("a length is not written the one way"));
        }
        let (mask, masked) = match (second & 0x80 != 0, rest.get(width..width + 4)) {
            (false, _) => (None, 0),
            (true, Some(key)) => (key.try_into().ok(), 4),
            (true, None) => return Ok(None),
        };
        let head = FrameHead {
            fin,
            opcode,
            mask,
            length,
        };
        Ok(Some((head, 2 + width + masked)))
    }

    /// Writes the head in the one way that is right.
    pub(crate) fn write(&self, out: &mut BytesMut) {
        out.put_u8(u8::from(self.fin) << 7 | self.opcode.bits());
        let masked = u8::from(self.mask.is_some()) << 7;
        match self.length {
            0..=125 => out.put_u8(masked | self.length as u8),
            126..=0xffff => {
                out.put_u8(masked | 126);
                out.put_u16(self.length as u16);
            }
            _ => {
                out.put_u8(masked | 127);
                out.put_u64(self.length);
            }
        }
        out.put_slice(self.mask.as_ref().map_or(&[][..], |key| key));
    }
}

/// A head and its payload, unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) head: FrameHead,
    pub(crate) payload: Bytes,
}

impl Frame {
    /// A frame as servers send it, without a mask.
    pub(crate) fn new(fin: bool, opcode: Opcode, payload: Bytes) -> Frame {
        let head = FrameHead {
            fin,
            opcode,
            mask: None,
            length: payload.len() as u64,
        };
        Frame { head, payload }
    }

    /// Writes the frame.
    pub(crate) fn write(&self, out: &mut BytesMut) {
        out.reserve(14 + self.payload.len());
        self.head.write(out);
        let start = out.len();
        out.put_slice(&self.payload);
        if let Some(key) = self.head.mask {
            apply_mask(key, &mut out[start..]);
        }
    }
}

/// Masks or unmasks in place (RFC 6455 section 5.3).
pub(crate) fn apply_mask(key: [u8; 4], payload: &mut [u8]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(frame: &Frame) -> Vec<u8> {
        let mut out = BytesMut::new();
        frame.write(&mut out);
        out.to_vec()
    }

    #[test]
    fn the_examples_of_the_rfc_are_read_and_written() {
        // RFC 6455 section 5.7.
        let hello = Bytes::from_static(b"Hello");
        let plain = Frame::new(true, Opcode::Text, hello);
        assert_eq!(written(&plain), b"\x81\x05Hello");
        let mut masked = plain;
        masked.head.mask = Some([0x37, 0xfa, 0x21, 0x3d]);
        let bytes = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        assert_eq!(written(&masked), bytes);
        assert_eq!(FrameHead::parse(bytes), Ok(Some((masked.head, 6))));
    }

    #[test]
    fn every_length_is_read_as_it_was_written() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 40] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let head = FrameHead {
                    fin: true,
                    opcode: Opcode::Binary,
                    mask,
                    length,
                };
                let mut out = BytesMut::new();
                head.write(&mut out);
                let taken = out.len();
                assert_eq!(FrameHead::parse(&out), Ok(Some((head, taken))), "{length}");
                for end in 0..taken {
                    assert_eq!(FrameHead::parse(&out[..end]), Ok(None), "{length}");
                }
            }
        }
    }

    #[test]
    fn heads_that_the_rfc_forbids_are_violations() {
        let bad: [(&str, &[u8]); 10] = [
            ("RSV1", b"\xc1\x00"),
            ("RSV2", b"\xa1\x00"),
            ("RSV3", b"\x91\x00"),
            ("opcode 3", b"\x83\x00"),
            ("opcode 11", b"\x8b\x00"),
            ("a ping in parts", b"\x09\x00"),
            ("a long ping", b"\x89\x7e\x00\x7e"),
            ("125 in two bytes", b"\x82\x7e\x00\x7d"),
            ("65535 in eight bytes", b"\x82\x7f\0\0\0\0\0\0\xff\xff"),
            ("the sign bit", b"\x82\x7f\x80\0\0\0\0\0\0\0"),
        ];
        for (what, bytes) in bad {
            let violation = FrameHead::parse(bytes).expect_err(what);
            assert_eq!(violation.code, 1002, "{what}");
        }
    }
}
