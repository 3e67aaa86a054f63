//! Frames out of the bytes of a client, messages out of its frames; strict, and without I/O.

use bytes::{Buf, Bytes, BytesMut};

use super::frame::{Frame, FrameHead, Opcode, Violation, apply_mask};

/// The two kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Anything.
    Binary,
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) payload: Bytes,
}

/// The code and reason of a close frame; no code where its payload is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Close {
    /// The code, if there was one.
    pub code: Option<u16>,
    /// The reason, often empty.
    pub reason: String,
}

impl Close {
    pub(crate) fn new(code: u16, reason: impl Into<String>) -> Close {
        Close {
            code: Some(code),
            reason: reason.into(),
        }
    }

    /// The payload of the frame that says this.
    pub(crate) fn payload(&self) -> Bytes {
        let code = self.code.map(u16::to_be_bytes).unwrap_or_default();
        let code = &code[..if self.code.is_some() { 2 } else { 0 }];
        Bytes::from([code, self.reason.as_bytes()].concat())
    }

    /// What a payload says, whether it may say so or not.
    pub(super) fn read(payload: &[u8]) -> Close {
        match payload {
            [high, low, reason @ ..] => Close::new(
                u16::from_be_bytes([*high, *low]),
                String::from_utf8_lossy(reason),
            ),
            _ => Close::default(),
        }
    }

    fn parse(payload: &[u8]) -> Result<Close, Violation> {
        if payload.len() == 1 {
            return Err(Violation::protocol("a close frame of one byte"));
        }
        let close = Close::read(payload);
        // RFC 6455 section 7.4, and the codes that were registered since.
        match close.code {
            None | Some(1000..=1003 | 1007..=1014 | 3000..=4999) => {}
            Some(code) => {
                let why = format!("the close code {code} must not be sent");
                return Err(Violation::protocol(why));
            }
        }
        match std::str::from_utf8(payload.get(2..).unwrap_or_default()) {
            Ok(_) => Ok(close),
            Err(_) => Err(Violation::not_utf8()),
        }
    }
}

/// A frame, and what it completes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Incoming {
    pub(crate) frame: Frame,
    /// The message that ends with this frame.
    pub(crate) message: Option<Message>,
    /// What a close frame says.
    pub(crate) close: Option<Close>,
}

/// Takes bytes in, gives frames and messages out.
#[derive(Debug)]
pub(crate) struct Assembler {
    /// Bytes that are not part of a whole frame yet.
    pub(crate) buffer: BytesMut,
    unfinished: Option<(Kind, BytesMut)>,
    /// How much of an unfinished text is known to be UTF-8.
    checked: usize,
    /// Bytes that a message may have.
    limit: u64,
}

impl Assembler {
    /// Starts with bytes that came along with the upgrade.
    pub(crate) fn new(begun: &[u8], limit: u64) -> Assembler {
        Assembler {
            buffer: BytesMut::from(begun),
            unfinished: None,
            checked: 0,
            limit,
        }
    }

    /// The next frame, if it is here as a whole.
    pub(crate) fn next(&mut self) -> Result<Option<Incoming>, Violation> {
        let Some((head, width)) = FrameHead::parse(&self.buffer)? else {
            return Ok(None);
        };
        self.judge(&head)?;
        let whole = (head.length as usize).saturating_add(width);
        if self.buffer.len() < whole {
            return Ok(None);
        }
        self.buffer.advance(width);
        let mut payload = self.buffer.split_to(whole - width);
        if self.buffer.is_empty() {
            // An idle socket holds no memory.
            self.buffer = BytesMut::new();
        }
        if let Some(key) = head.mask {
            apply_mask(key, &mut payload);
        }
        let payload = payload.freeze();
        let frame = Frame { head, payload };
        let mut incoming = Incoming {
            frame,
            message: None,
            close: None,
        };
        match head.opcode {
            Opcode::Close => incoming.close = Some(Close::parse(&incoming.frame.payload)?),
            Opcode::Ping | Opcode::Pong => {}
            _ => incoming.message = self.append(&incoming.frame)?,
        }
        Ok(Some(incoming))
    }

    /// What can be refused before the payload has come.
    fn judge(&self, head: &FrameHead) -> Result<(), Violation> {
        if head.mask.is_none() {
            return Err(Violation::protocol("a client's frame is not masked"));
        }
        if head.opcode.is_control() {
            return Ok(());
        }
        match (&self.unfinished, head.opcode) {
            (None, Opcode::Continuation) => {
                return Err(Violation::protocol("a continuation of nothing"));
            }
            (Some(_), Opcode::Text | Opcode::Binary) => {
                return Err(Violation::protocol("a message begins inside another"));
            }
            _ => {}
        }
        let held = self.unfinished.as_ref().map_or(0, |(_, held)| held.len());
        match head.length.saturating_add(held as u64) > self.limit {
            true => Err(Violation::too_big(self.limit)),
            false => Ok(()),
        }
    }

    fn append(&mut self, frame: &Frame) -> Result<Option<Message>, Violation> {
        let kind = match (&self.unfinished, frame.head.opcode) {
            (Some((kind, _)), _) => *kind,
            (None, Opcode::Text) => Kind::Text,
            (None, _) => Kind::Binary,
        };
        if self.unfinished.is_none() && frame.head.fin {
            let payload = frame.payload.clone();
            if kind == Kind::Text && std::str::from_utf8(&payload).is_err() {
                return Err(Violation::not_utf8());
            }
            return Ok(Some(Message { kind, payload }));
        }
        let (_, held) = self.unfinished.get_or_insert((kind, BytesMut::new()));
        held.extend_from_slice(&frame.payload);
        if kind == Kind::Text {
            match std::str::from_utf8(&held[self.checked..]) {
                Ok(_) => self.checked = held.len(),
                // A character that the fragment's end cuts is whole with the next one.
                Err(error) if error.error_len().is_none() && !frame.head.fin => {
                    self.checked += error.valid_up_to();
                }
                Err(_) => return Err(Violation::not_utf8()),
            }
        }
        if !frame.head.fin {
            return Ok(None);
        }
        self.checked = 0;
        Ok(self.unfinished.take().map(|(kind, held)| Message {
            kind,
            payload: held.freeze(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [9, 8, 7, 6];

    fn masked(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let mut frame = Frame::new(fin, opcode, Bytes::copy_from_slice(payload));
        frame.head.mask = Some(KEY);
        let mut out = BytesMut::new();
        frame.write(&mut out);
        out.to_vec()
    }

    fn read(bytes: &[u8]) -> Result<Vec<Incoming>, Violation> {
        let mut assembler = Assembler::new(bytes, 1000);
        let mut list = Vec::new();
        while let Some(incoming) = assembler.next()? {
            list.push(incoming);
        }
        Ok(list)
    }

    #[test]
    fn fragments_become_one_message_and_control_frames_pass_between_them() {
        let bytes = [
            masked(false, Opcode::Text, "gr\u{fc}".as_bytes().split_at(3).0),
            masked(true, Opcode::Ping, b"are you there"),
            masked(true, Opcode::Continuation, b"\xbcn"),
        ]
        .concat();
        let whole = read(&bytes).expect("frames");
        assert_eq!(whole[1].frame.payload, "are you there");
        let message = whole[2].message.as_ref().expect("a message");
        assert_eq!(message.payload, "gr\u{fc}n");
        // The same in pieces of one byte.
        let mut assembler = Assembler::new(&[], 1000);
        let mut pieces = Vec::new();
        for byte in &bytes {
            assembler.buffer.extend_from_slice(&[*byte]);
            pieces.extend(assembler.next().expect("no violation"));
        }
        assert_eq!(pieces, whole);
    }

    #[test]
    fn what_clients_must_not_send_has_its_close_code() {
        let unmasked = b"\x81\x02hi".to_vec();
        let bad = [
            (1002, unmasked),
            (1002, masked(true, Opcode::Continuation, b"x")),
            (1007, masked(true, Opcode::Text, b"\xff")),
            (1007, masked(true, Opcode::Text, b"\xc3")),
            (1007, masked(false, Opcode::Text, b"\xc3\x28")),
            (1007, masked(true, Opcode::Close, b"\x03\xe8\xff")),
            (1002, masked(true, Opcode::Close, b"\x03")),
            (1002, masked(true, Opcode::Close, &1005u16.to_be_bytes())),
            (1002, masked(true, Opcode::Close, &2999u16.to_be_bytes())),
            (1009, masked(true, Opcode::Binary, &[0; 1001])),
            (
                1002,
                [
                    masked(false, Opcode::Text, b"a"),
                    masked(true, Opcode::Text, b"b"),
                ]
                .concat(),
            ),
            (
                1009,
                [
                    masked(false, Opcode::Binary, &[0; 600]),
                    masked(true, Opcode::Continuation, &[0; 401]),
                ]
                .concat(),
            ),
        ];
        for (code, bytes) in bad {
            let violation = read(&bytes).expect_err("a violation");
            assert_eq!(violation.code, code, "{violation:?}");
        }
    }

    #[test]
    fn a_message_that_is_too_big_is_refused_before_it_has_come() {
        let bytes = masked(true, Opcode::Binary, &[0; 1001]);
        assert_eq!(read(&bytes[..8]).expect_err("a violation").code, 1009);
    }

    #[test]
    fn a_close_frame_is_written_as_it_is_read() {
        for close in [
            Close::default(),
            Close::new(1000, ""),
            Close::new(4004, "invalid_request_error.model_not_found"),
        ] {
            assert_eq!(Close::parse(&close.payload()), Ok(close));
        }
    }
}
