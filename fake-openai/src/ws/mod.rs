//! WebSockets as bytes (RFC 6455): what a client may send, and exactly what it is sent.
//!
//! - `handshake`: judges an upgrade and accepts it
//! - `frame`, `assembler`: bytes to frames to messages, strictly
//! - `session`: what speaks above the frames; `plain`: an echo and a flood
//! - `connection`: drives one socket; `output`: its writing side
//! - `record`, `registry`: what went over it
//! - `faults`, `nasty`: what a script can do to it

mod assembler;
mod connection;
mod faults;
mod frame;
mod handshake;
mod nasty;
mod output;
mod plain;
mod record;
mod registry;
mod session;

pub use assembler::{Close, Kind};
pub use frame::{FrameHead, Opcode};
pub use plain::flood_message;
pub use record::{SocketRecord, Tally, Traffic};

pub(crate) use assembler::Message;
pub(crate) use connection::{Connection, Pace};
pub(crate) use faults::Faults;
pub(crate) use handshake::{Offer, check, is_asked};
pub(crate) use plain::{Echo, Flood};
pub(crate) use registry::Registry;
pub(crate) use session::{Ear, Outbox, Overheard, Said, Session};
