//! Pure: the frames of WebSocket (RFC 6455 section 5.2), one at a time: heads, control frames, and
//! frames of the relay's own.

/// The longest frame head: 2 bytes, a 64-bit length and a mask.
pub(super) const LONGEST_HEAD: usize = 14;
/// The longest control frame payload (section 5.5).
pub(super) const LONGEST_CONTROL: usize = 125;

/// Who sends the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// Masks every frame (section 5.1).
    Client,
    /// Masks none.
    Server,
}

/// What a frame is, by its four bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn read(bits: u8) -> Option<Opcode> {
        Some(match bits {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xA => Opcode::Pong,
            _ => return None,
        })
    }

    pub(super) fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xA,
        }
    }

    pub(super) fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// How a peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The close code that names it (section 7.4.1).
    pub(crate) code: u16,
    /// What was wrong.
    pub(crate) why: &'static str,
}

impl Violation {
    pub(super) fn too_large() -> Violation {
        Violation {
            code: 1009,
            why: "a message is too large",
        }
    }
}

pub(super) fn protocol(why: &'static str) -> Violation {
    Violation { code: 1002, why }
}

/// The head of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) opcode: Opcode,
    /// Whether its message ends with it.
    pub(crate) is_final: bool,
    /// Whether its message is compressed (RFC 7692 section 6).
    pub(crate) is_compressed: bool,
    pub(crate) mask: Option<[u8; 4]>,
    /// Bytes of the head itself.
    pub(crate) length: usize,
    /// Bytes of payload behind it.
    pub(crate) payload: u64,
}

impl Head {
    /// Reads a head; `None` while too little of it is there.
    pub(crate) fn read(
        bytes: &[u8],
        sender: Sender,
        may_compress: bool,
    ) -> Result<Option<Head>, Violation> {
        let [first, second, rest @ ..] = bytes else {
            return Ok(None);
        };
        let reserved = first & 0x70;
        let is_compressed = reserved == 0x40 && may_compress;
        if reserved != 0 && !is_compressed {
            return Err(protocol("a reserved bit is set"));
        }
        let opcode = Opcode::read(first & 0x0F).ok_or(protocol("the opcode is reserved"))?;
        let is_final = first & 0x80 != 0;
        if (second & 0x80 != 0) != (sender == Sender::Client) {
            return Err(protocol(match sender {
                Sender::Client => "a client's frame is not masked",
                Sender::Server => "a server's frame is masked",
            }));
        }
        let (payload, extra) = match (second & 0x7F, rest) {
            (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 2),
            (127, [a, b, c, d, e, f, g, h, ..]) => {
                (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 8)
            }
            (126 | 127, _) => return Ok(None),
            (short, _) => (u64::from(short), 0),
        };
        if (extra == 2 && payload < 126) || (extra == 8 && payload < 1 << 16) {
            return Err(protocol("a length is not in its shortest form"));
        }
        if payload >> 63 != 0 {
            return Err(protocol("a length has its first bit set"));
        }
        if opcode.is_control() && (!is_final || extra > 0 || is_compressed) {
            return Err(protocol(
                "a control frame is fragmented, compressed, or longer than 125 bytes",
            ));
        }
        let mask = match (sender, rest.get(extra..extra + 4)) {
            (Sender::Server, _) => None,
            (Sender::Client, Some(key)) => Some([key[0], key[1], key[2], key[3]]),
            (Sender::Client, None) => return Ok(None),
        };
        let length = 2 + extra + if mask.is_some() { 4 } else { 0 };
        debug_assert!(length <= LONGEST_HEAD, "the longest head");
        Ok(Some(Head {
            opcode,
            is_final,
            is_compressed,
            mask,
            length,
            payload,
        }))
    }
}

/// A control frame at the start of the scanned bytes, all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Control {
    pub(crate) opcode: Opcode,
    /// Bytes of the whole frame.
    pub(crate) length: usize,
    head: usize,
    mask: Option<[u8; 4]>,
}

impl Control {
    /// The control frame with this head, if `bytes` begin with all of it.
    pub(super) fn read(head: &Head, bytes: &[u8]) -> Option<Control> {
        let length = head.length + usize::try_from(head.payload).unwrap_or(usize::MAX);
        (bytes.len() >= length).then_some(Control {
            opcode: head.opcode,
            length,
            head: head.length,
            mask: head.mask,
        })
    }

    /// The unmasked payload; `frame` holds the frame from its first byte on.
    pub(crate) fn payload(&self, frame: &[u8]) -> Vec<u8> {
        let mut payload = frame[self.head..self.length].to_vec();
        if let Some(mask) = self.mask {
            apply_mask(&mut payload, mask);
        }
        payload
    }
}

/// Masks or unmasks, which is the same (section 5.3). Starts with the key's first byte.
pub(super) fn apply_mask(payload: &mut [u8], key: [u8; 4]) {
    let word = u64::from_ne_bytes([
        key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3],
    ]);
    let mut words = payload.chunks_exact_mut(8);
    for bytes in &mut words {
        let mut eight = [0; 8];
        eight.copy_from_slice(bytes);
        bytes.copy_from_slice(&(u64::from_ne_bytes(eight) ^ word).to_ne_bytes());
    }
    let tail = words.into_remainder();
    for (byte, key) in tail.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// What a close frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Close {
    /// `None` where the frame has no payload (1005 to whoever asks).
    pub(crate) code: Option<u16>,
    pub(crate) reason: String,
}

impl Close {
    /// Reads an unmasked payload (sections 5.5.1 and 7.4).
    pub(crate) fn read(payload: &[u8]) -> Result<Close, Violation> {
        let (code, reason) = match payload {
            [] => (None, &[][..]),
            [_] => return Err(protocol("a close frame has half a code")),
            [a, b, reason @ ..] => (Some(u16::from_be_bytes([*a, *b])), reason),
        };
        if code.is_some_and(|code| !may_be_sent(code)) {
            return Err(protocol("a close frame has a code that may not be sent"));
        }
        let reason = std::str::from_utf8(reason).map_err(|_| Violation {
            code: 1007,
            why: "the reason of a close frame is not UTF-8",
        })?;
        Ok(Close {
            code,
            reason: reason.to_owned(),
        })
    }
}

/// Section 7.4 and the registry that it founded: 1004, 1005, 1006 and 1015 never travel.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Writes the head of a frame that is final.
pub(super) fn write_head(
    out: &mut impl Extend<u8>,
    opcode: Opcode,
    is_compressed: bool,
    length: usize,
    mask: Option<[u8; 4]>,
) {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let first = 0x80 | if is_compressed { 0x40 } else { 0 } | opcode.bits();
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => out.extend([first, masked | short]),
        (_, Ok(medium)) => {
            out.extend([first, masked | 126]);
            out.extend(medium.to_be_bytes());
        }
        _ => {
            out.extend([first, masked | 127]);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend(mask.into_iter().flatten());
}

/// Writes a whole frame. A control frame's payload must be 125 bytes at the most.
pub(super) fn write_frame(
    out: &mut Vec<u8>,
    opcode: Opcode,
    payload: &[u8],
    mask: Option<[u8; 4]>,
) {
    write_head(out, opcode, false, payload.len(), mask);
    let at = out.len();
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        apply_mask(&mut out[at..], mask);
    }
}

/// The payload of a close frame; a reason that is too long is cut at a character.
pub(super) fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    let end = reason.floor_char_boundary(LONGEST_CONTROL - 2);
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    payload
}
