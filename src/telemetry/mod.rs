//! What the operator sees: log lines and counters. Never a token, a body, an SDP or a prompt.

mod access;
mod counters;
mod family;
mod histogram;
mod json;
mod log;
mod outcome;
mod reason;
mod redact;
mod sink;

pub use access::{Finished, Talk, log_finished};
pub use counters::{Counters, Ended, FamilyCounts, Snapshot, Traffic};
pub use family::Family;
pub use histogram::{BOUNDS_S, Durations};
pub use log::init;
pub use outcome::Outcome;
pub use redact::redact;
pub use sink::LogWriter;
