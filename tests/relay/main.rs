//! The relay as its clients and its upstream see it: the real binary, real sockets.
//!
//! One file per subject, one promise per test, named as a sentence.

// Tests may stop at once, and their tasks end with their runtime.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]
// Tables of cases are long.
#![allow(clippy::too_many_lines)]

mod support;

mod accounts;
mod addresses;
mod chaos;
mod check;
mod commands;
mod cors;
mod credentials;
mod drain;
mod events;
mod fidelity;
mod headers;
mod heads;
mod http;
mod http2;
mod keys;
mod leaving;
mod limiting;
mod limits;
mod metrics;
mod offer;
mod origins;
mod outbound;
mod paths;
mod retired;
mod secrets;
mod smuggling;
mod sockets;
mod ssrf;
mod supervisor;
mod terminal;
mod weight;
