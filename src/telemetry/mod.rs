//! What the operator sees: log lines and counters. Never a token, a body, an SDP or a prompt.

mod access;
mod counters;
mod histogram;
mod json;
mod lane;
mod log;
mod outcome;
mod pretty;
mod reason;
mod redact;
mod sink;

pub use access::{Finished, Talk, log_finished};
pub use counters::{Counters, Ended, LaneCounts, Snapshot, Traffic};
pub use histogram::{BOUNDS_S, Durations};
pub use lane::Lane;
pub use log::init;
pub use outcome::Outcome;
pub use redact::redact;
pub use sink::LogWriter;
