//! Under which key something is counted: in memory a hash that nobody outside can aim at, in Redis a
//! name that an operator can read.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::IpAddr;

/// Whose count it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject<'a> {
    /// A caller with a name of its own.
    Name(&'a str),
    /// The network that one client has for itself.
    Network(IpAddr),
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Name(name) => out.write_str(name),
            Subject::Network(ip) => write!(out, "ip:{ip}"),
        }
    }
}

/// 128 bits in which no two of a million subjects meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(u64, u64);

impl Key {
    pub(super) fn shard(self, of: usize) -> usize {
        usize::try_from(self.1 % of as u64).unwrap_or(0)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Makes keys, other ones in each process.
#[derive(Debug, Default)]
pub(super) struct Keys(RandomState, RandomState);

impl Keys {
    pub(super) fn new() -> Keys {
        Keys::default()
    }

    /// The key of a subject's count of one limit.
    pub(super) fn of(&self, limit: usize, subject: Subject<'_>) -> Key {
        let of = (limit, subject);
        Key(self.0.hash_one(of), self.1.hash_one(of))
    }
}
