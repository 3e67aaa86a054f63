//! A client's body that the relay has to see whole. What is large of it counts against what all that is
//! read whole may take together, until it has gone up.

use std::error::Error;
use std::ops::Deref;

use bytes::Bytes;
use http_body::Body;

use super::Relay;
use crate::admission::{HELD_FOR_NOTHING, Holding};
use crate::error::Refusal;
use crate::wire::read_whole_while;

/// A body, whole, and its part of the memory.
pub(super) struct Whole {
    bytes: Vec<u8>,
    holding: Holding,
}

impl Relay {
    /// Reads a body of at most `limit` bytes; `too_large` is said of a larger one.
    pub(super) async fn read_whole<B>(
        &self,
        body: B,
        limit: usize,
        too_large: &'static str,
    ) -> Result<Whole, Refusal>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let mut holding = self.rules.pressure.holding();
        let read = read_whole_while(body, limit, too_large, |bytes| {
            may_hold(&mut holding, bytes)
        });
        let bytes = read.await?.ok_or_else(Refusal::overloaded)?;
        Ok(Whole { bytes, holding })
    }
}

impl Whole {
    /// Makes room for so many bytes more, beside it.
    pub(super) fn make_room(&mut self, bytes: usize) -> Result<(), Refusal> {
        let all = self.bytes.capacity().saturating_add(bytes);
        match may_hold(&mut self.holding, all) {
            true => Ok(()),
            false => Err(Refusal::overloaded()),
        }
    }

    /// Something else in its place.
    pub(super) fn replace(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
        self.holding.shrink_to(self.bytes.capacity() as u64);
    }

    /// It, on its way up. Its memory is given back with the last of the bytes.
    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Deref for Whole {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn may_hold(holding: &mut Holding, bytes: usize) -> bool {
    bytes <= HELD_FOR_NOTHING || holding.grow_to(bytes as u64)
}
