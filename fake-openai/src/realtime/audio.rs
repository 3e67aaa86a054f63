//! Sound: how much of it so many bytes are, and what the stand-in "says".

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::event::invalid;
use crate::deterministic_bytes;
use crate::errors::{self, ApiError};

/// Bytes that an `append` may carry (wire.md 5.4).
const LONGEST: usize = 15 * 1024 * 1024;
/// How long a word is spoken, in milliseconds.
pub(super) const WORD: usize = 300;

/// A format's bytes per millisecond: PCM of 16 bits at 24 kHz, or G.711 at 8 kHz (wire.md 5.7).
pub(super) fn bytes_per_ms(format: &Value) -> usize {
    match (format["type"].as_str(), format["rate"].as_u64()) {
        (Some("audio/pcmu" | "audio/pcma"), _) => 8,
        (_, Some(rate)) => rate as usize / 500,
        _ => 48,
    }
}

/// The sound of a text: the same bytes for the same text and length.
///
/// A session says a transcript of `n` words in `n * 300` ms, which are 14,400 bytes a word as
/// PCM at 24 kHz and 2,400 as G.711.
pub fn speech(transcript: &str, bytes: usize) -> Vec<u8> {
    // FNV-1a.
    let seed = transcript
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    deterministic_bytes(seed, bytes)
}

/// The bytes of a client's sound. `param`: where they stood.
pub(super) fn decode(text: &str, param: &str) -> Result<Vec<u8>, Box<ApiError>> {
    match STANDARD.decode(text) {
        Ok(bytes) if bytes.len() > LONGEST => Err(Box::new(invalid(
            "audio_too_large",
            "An append carries at most 15 MiB of audio.",
        ))),
        Ok(bytes) => Ok(bytes),
        Err(_) => {
            let message = format!(
                "Invalid '{param}'. Expected base64-encoded audio bytes but got an invalid value."
            );
            Err(Box::new(errors::bad_param(
                param,
                "invalid_value",
                &message,
            )))
        }
    }
}

/// Sound as events carry it.
pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
