//! Sockets: a client's WebSocket, relayed over one of the relay's own to the upstream.
//!
//! `handshake` reads what the client offers, `open` dials the upstream before the client gets its
//! 101, and a `Session` moves frames between the two until it has ended.

mod alarm;
mod bounds;
mod deflate;
mod direction;
mod ending;
mod farewell;
pub(crate) mod frame;
mod group;
mod handshake;
mod interpreter;
mod leg;
mod messages;
mod open;
mod pump;
pub(crate) mod scan;
mod session;
mod watchdog;
mod witness;

pub use farewell::Farewell;
pub use handshake::Handshake;
pub use open::{Life, Opened, Rules, Socket};
pub use watchdog::Patience;

use std::sync::OnceLock;

use aws_lc_rs::rand;

/// Starts the payload of the relay's own pings.
const TAG: &[u8; 8] = b"relay-\x00\x01";

/// Unpredictable bytes, for masks (RFC 6455 section 10.3), keys and tags.
fn entropy<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The system's source fails only where nothing else would work either.
    rand::fill(&mut bytes).expect("the system's source of randomness");
    bytes
}

/// The payload of this process's pings: a pong with it is an answer to the relay.
fn ping_payload() -> &'static [u8; 16] {
    static PAYLOAD: OnceLock<[u8; 16]> = OnceLock::new();
    PAYLOAD.get_or_init(|| {
        let mut payload = [0; 16];
        payload[..8].copy_from_slice(TAG);
        payload[8..].copy_from_slice(&entropy::<8>());
        payload
    })
}

fn is_tagged(payload: &[u8]) -> bool {
    payload == ping_payload()
}
