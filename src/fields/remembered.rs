//! Names of header fields, remembered for each thread: clients of one kind send the same two dozen
//! with every request, and each unknown to the standard would be an allocation.

use std::cell::RefCell;

use http::HeaderName;
use http::header::InvalidHeaderName;

/// Names that a thread remembers; a newer one takes the place of an older one that falls together
/// with it.
const NAMES: usize = 128;
/// A longer name is nobody's habit, and is not kept.
const LONGEST: usize = 64;

thread_local! {
    static SEEN: RefCell<[Option<HeaderName>; NAMES]> = const { RefCell::new([const { None }; NAMES]) };
}

/// The name that these bytes spell, in whatever case.
pub(super) fn name(bytes: &[u8]) -> Result<HeaderName, InvalidHeaderName> {
    if bytes.len() > LONGEST {
        return HeaderName::from_bytes(bytes);
    }
    SEEN.with_borrow_mut(|seen| {
        let place = &mut seen[place(bytes)];
        if let Some(name) = place
            && name.as_str().as_bytes().eq_ignore_ascii_case(bytes)
        {
            return Ok(name.clone());
        }
        let name = HeaderName::from_bytes(bytes)?;
        Ok(place.insert(name).clone())
    })
}

/// From the length and three letters: more would cost more than it spares.
fn place(bytes: &[u8]) -> usize {
    let letter = |at: usize| usize::from(bytes.get(at).copied().unwrap_or_default() | 0x20);
    let length = bytes.len();
    let (first, middle, last) = (
        letter(0),
        letter(length / 2),
        letter(length.wrapping_sub(1)),
    );
    (length * 31 + first * 7 + middle * 13 + last * 3) % NAMES
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_remembered_name_is_the_one_that_was_sent(
            names in prop::collection::vec("[a-zA-Z][a-zA-Z0-9-]{0,5}|[ -~]{0,6}", 1..300)
        ) {
            for sent in &names {
                let plain = HeaderName::from_bytes(sent.as_bytes());
                prop_assert_eq!(name(sent.as_bytes()).ok(), plain.ok());
            }
        }
    }
}
