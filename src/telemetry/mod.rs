//! What the operator sees: log lines and counters. Never a token, a body, an SDP or a prompt.

mod counters;
mod json;
mod log;
mod outcome;
mod redact;
mod sink;

pub use counters::{Counters, Snapshot};
pub use log::{Finished, Talk, init, log_finished};
pub use outcome::Outcome;
pub use redact::redact;
pub use sink::LogWriter;
