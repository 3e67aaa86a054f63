//! Buffers that a thread uses again: most are empty before the next connection needs one, so that a
//! few serve thousands.

use std::cell::RefCell;

use bytes::BytesMut;

/// Buffers that a thread keeps of each kind.
const KEPT: usize = 8;
/// One that has grown beyond so many times its room is not kept.
const GROWN: usize = 2;

/// Empty buffers of one kind.
pub(super) struct Spares {
    /// Room that each has, in bytes.
    room: usize,
    kept: RefCell<Vec<BytesMut>>,
}

impl Spares {
    /// None yet, of buffers with so much room in bytes.
    pub(super) const fn of(room: usize) -> Spares {
        Spares {
            room,
            kept: RefCell::new(Vec::new()),
        }
    }

    /// An empty buffer with room.
    pub(super) fn take(&self) -> BytesMut {
        // The one that was given back last is still in the processor's caches.
        let mut buffer = self.kept.borrow_mut().pop().unwrap_or_default();
        if self.has_grown(&mut buffer) || !buffer.try_reclaim(self.room) {
            buffer = BytesMut::with_capacity(self.room);
        }
        buffer
    }

    /// Whether the whole of it, which its capacity does not tell, is larger than it should be.
    fn has_grown(&self, buffer: &mut BytesMut) -> bool {
        buffer.try_reclaim(GROWN * self.room + 1)
    }

    /// Keeps a buffer for somebody else. Parts of it may still be on their way.
    pub(super) fn keep(&self, mut buffer: BytesMut) {
        buffer.clear();
        let is_good = buffer.capacity() > 0 && !self.has_grown(&mut buffer);
        let mut kept = self.kept.borrow_mut();
        if is_good && kept.len() < KEPT {
            kept.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 64;

    fn filled(spares: &Spares) -> BytesMut {
        let mut buffer = spares.take();
        assert!(buffer.is_empty() && buffer.capacity() >= ROOM);
        buffer.extend_from_slice(b"some bytes");
        buffer
    }

    #[test]
    fn a_buffer_is_used_again_once_nobody_holds_a_part_of_it() {
        let spares = Spares::of(ROOM);
        let mut first = filled(&spares);
        let at = first.as_ptr();
        let held = first.split_to(4).freeze();
        spares.keep(first);
        assert_ne!(filled(&spares).as_ptr(), at, "a part is held");
        assert_eq!(&held[..], b"some");

        let mut second = filled(&spares);
        let at = second.as_ptr();
        let gone = second.split_to(4).freeze();
        spares.keep(second);
        drop(gone);
        assert_eq!(filled(&spares).as_ptr(), at);
    }

    #[test]
    fn few_are_kept_and_no_large_ones() {
        let spares = Spares::of(ROOM);
        for _ in 0..2 * KEPT {
            spares.keep(BytesMut::with_capacity(ROOM));
        }
        assert_eq!(spares.kept.borrow().len(), KEPT);
        let spares = Spares::of(ROOM);
        for used in [0, 3 * ROOM, 4 * ROOM] {
            let mut large = BytesMut::zeroed(4 * ROOM);
            let held = large.split_to(used).freeze();
            spares.keep(large);
            drop(held);
            assert!(spares.take().capacity() <= GROWN * ROOM, "{used} were used");
            assert!(spares.kept.borrow().is_empty());
        }
    }
}
