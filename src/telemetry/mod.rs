//! What the operator sees: log lines and counters. Never a token, a body, an SDP or a prompt.

mod counters;
mod log;
mod redact;

pub use counters::{Counters, Snapshot};
pub use log::{Exchange, init, log_exchange};
pub use redact::redact;
