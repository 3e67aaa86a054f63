//! openai-relay: lends the server's OpenAI key to clients without showing it.
//!
//! The rooms, in the order in which a request walks through them. Imports go downwards only;
//! `tests/architecture.rs` keeps it so.
//!
//! - [`command`]: what the command line asks for
//! - [`app`]: builds every room once from its own slice of the configuration
//! - [`server`]: accepts connections, speaks HTTP, drains
//! - [`edge`]: the path of a request: route, caller, gate, mover; what every answer wears
//! - [`control`]: the relay's own routes, nothing relayed
//! - [`relay`]: carries admitted exchanges
//! - [`admission`]: decides who gets in, and settles when they leave
//! - [`upstream`]: holds the server's key; connects, sends, receives
//! - leaves that anyone may use: [`config`], [`error`], [`telemetry`], [`family`] (what a
//!   path is about), `fields` (lists in header fields) and [`wire`] (HTTP/1.1 itself)

pub mod admission;
pub mod app;
pub mod command;
pub mod config;
pub mod control;
pub mod edge;
pub mod error;
pub mod family;
mod fields;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod relay;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod upstream;
pub mod wire;
