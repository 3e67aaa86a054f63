//! Compression towards the client: permessage-deflate (RFC 7692), without a context that outlives a
//! message, so that a session holds nothing while it idles. Never towards the upstream.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use http::{HeaderValue, header};

use super::frame::Violation;
use crate::fields::{self, Fields};

/// What the client is answered: no context is kept, either way.
pub(super) const ANSWER: HeaderValue = HeaderValue::from_static(
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
);
/// A message ends with these bytes of an empty block, which are not sent (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];
/// Messages below are not worth it.
const SMALLEST: usize = 128;
/// How the room for what comes out grows, in bytes.
const ROOM: usize = 16 * 1024;

thread_local! {
    // Some 300 KB between them: one for each thread, not one for each session.
    static COMPRESS: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
    static DECOMPRESS: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// Whether one of the client's offers can be taken (section 7.1).
pub(super) fn is_offered(fields: &Fields) -> bool {
    fields::items(fields, &header::SEC_WEBSOCKET_EXTENSIONS)
        .filter_map(|offer| std::str::from_utf8(offer).ok())
        .any(is_acceptable)
}

fn is_acceptable(offer: &str) -> bool {
    let mut parts = offer.split(';').map(str::trim);
    if parts.next() != Some("permessage-deflate") {
        return false;
    }
    let mut seen = Vec::new();
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(value.trim().trim_matches('"'))),
            None => (part, None),
        };
        let is_fine = match (name, value) {
            ("server_no_context_takeover" | "client_no_context_takeover", None) => true,
            // The client tells of what it can do.
            ("client_max_window_bits", None) => true,
            ("client_max_window_bits", Some(bits)) => matches!(bits.parse(), Ok(8_u8..=15)),
            // `server_max_window_bits` asks for a promise that the library cannot give.
            _ => false,
        };
        if !is_fine || seen.contains(&name) {
            return false;
        }
        seen.push(name);
    }
    true
}

/// Compresses a message; `None` where it is not worth it.
pub(super) fn deflate(pieces: &[&[u8]]) -> Option<Vec<u8>> {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    if length < SMALLEST {
        return None;
    }
    COMPRESS.with_borrow_mut(|compress| {
        compress.reset();
        let mut out = Vec::with_capacity(length / 2 + 64);
        let (last, before) = pieces.split_last()?;
        for piece in before {
            write(compress, piece, &mut out, FlushCompress::None);
        }
        write(compress, last, &mut out, FlushCompress::Sync);
        out.ends_with(&TAIL)
            .then(|| out.truncate(out.len() - TAIL.len()))?;
        (out.len() < length).then_some(out)
    })
}

fn write(compress: &mut Compress, mut input: &[u8], out: &mut Vec<u8>, flush: FlushCompress) {
    loop {
        out.reserve(ROOM);
        let before = compress.total_in();
        // The encoder fails only when it is used after its end.
        let _ = compress.compress_vec(input, out, flush);
        let taken = usize::try_from(compress.total_in() - before).unwrap_or(usize::MAX);
        input = &input[taken.min(input.len())..];
        // Room left means that everything came out.
        if input.is_empty() && out.len() < out.capacity() {
            return;
        }
    }
}

/// Decompresses a message of at most `max` bytes.
pub(super) fn inflate(message: &[u8], max: u64) -> Result<Vec<u8>, Violation> {
    DECOMPRESS.with_borrow_mut(|decompress| {
        decompress.reset(false);
        let mut out = Vec::new();
        for mut input in [message, &TAIL] {
            while !input.is_empty() {
                out.reserve(ROOM);
                let (before_in, before_out) = (decompress.total_in(), decompress.total_out());
                let status = decompress
                    .decompress_vec(input, &mut out, FlushDecompress::Sync)
                    .map_err(|_| corrupt())?;
                if out.len() as u64 > max {
                    return Err(Violation::too_large());
                }
                let taken = decompress.total_in() - before_in;
                input = &input[usize::try_from(taken)
                    .unwrap_or(usize::MAX)
                    .min(input.len())..];
                if status == Status::StreamEnd {
                    break;
                }
                if taken == 0 && decompress.total_out() == before_out {
                    return Err(corrupt());
                }
            }
        }
        Ok(out)
    })
}

fn corrupt() -> Violation {
    Violation {
        code: 1007,
        why: "a compressed message cannot be read",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_deflated_is_inflated_again(
            unit in prop::collection::vec(any::<u8>(), 1..300),
            times in 1_usize..400,
            at in 0.0..1.0_f64,
        ) {
            let message = unit.repeat(times);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let at = (message.len() as f64 * at) as usize;
            let (first, second) = message.split_at(at);
            if let Some(small) = deflate(&[first, second]) {
                prop_assert!(small.len() < message.len());
                prop_assert_eq!(inflate(&small, 1 << 20).expect("whole"), message);
            }
        }

        #[test]
        fn any_bytes_are_inflated_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            let _ = inflate(&bytes, 10_000);
        }
    }

    #[test]
    fn a_bomb_is_too_large_before_it_is_whole() {
        let bomb = deflate(&[&vec![0; 10 << 20]]).expect("smaller");
        assert!(bomb.len() < 100_000);
        assert_eq!(inflate(&bomb, 1 << 20).expect_err("too large").code, 1009);
        assert_eq!(inflate(&bomb, 10 << 20).expect("whole").len(), 10 << 20);
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        // RFC 7692 section 7.2.3: one block, and a block with the last bit set.
        assert_eq!(
            inflate(b"\xf2\x48\xcd\xc9\xc9\x07\x00", 100).expect("whole"),
            b"Hello"
        );
        assert_eq!(
            inflate(b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 100).expect("whole"),
            b"Hello"
        );
        assert_eq!(
            inflate(b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 100).expect("whole"),
            b"Hello"
        );
    }

    #[test]
    fn offers_are_taken_that_can_be_kept() {
        for (offer, is_taken) in [
            ("permessage-deflate", true),
            ("permessage-deflate; client_max_window_bits", true),
            (
                "permessage-deflate; server_no_context_takeover; client_max_window_bits=10",
                true,
            ),
            ("permessage-deflate; server_max_window_bits=10", false),
            ("permessage-deflate; server_max_window_bits=15", false),
            (
                "permessage-deflate; server_max_window_bits=10, permessage-deflate",
                true,
            ),
            ("permessage-deflate; client_max_window_bits=7", false),
            (
                "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
                false,
            ),
            ("permessage-deflate; unknown", false),
            ("x-webkit-deflate-frame", false),
        ] {
            let line = (
                header::SEC_WEBSOCKET_EXTENSIONS,
                HeaderValue::from_static(offer),
            );
            let fields = Fields::from_iter([line]);
            assert_eq!(is_offered(&fields), is_taken, "{offer}");
        }
    }
}
