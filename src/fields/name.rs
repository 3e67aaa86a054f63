//! Names of fields, which have no case, and sets of them. Each has a mark of a byte, so that nearly
//! all comparisons end before they begin.

use http::HeaderName;

/// A name as it is spelled somewhere.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    bytes: &'a [u8],
    mark: u8,
}

impl<'a> Name<'a> {
    /// The name that these bytes spell.
    pub const fn of(bytes: &'a [u8]) -> Name<'a> {
        Name {
            bytes,
            mark: mark(bytes),
        }
    }

    /// The same where its mark is known.
    pub(super) fn marked(bytes: &'a [u8], mark: u8) -> Name<'a> {
        Name { bytes, mark }
    }

    /// As it is spelled.
    pub fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Whether both are one, however they are spelled.
    pub fn is(self, other: Name<'_>) -> bool {
        self.mark == other.mark && is_same(self.bytes, other.bytes)
    }

    /// Whether it begins like this, in any case.
    pub(super) fn starts_with(self, start: &str) -> bool {
        // Byte by byte: most differ in one of the first.
        let mut pairs = self.bytes.iter().zip(start.as_bytes());
        self.bytes.len() >= start.len() && pairs.all(|(one, other)| one.eq_ignore_ascii_case(other))
    }

    pub(super) fn mark(self) -> u8 {
        self.mark
    }
}

impl<'a> From<&'a HeaderName> for Name<'a> {
    fn from(name: &'a HeaderName) -> Name<'a> {
        Name::of(name.as_str().as_bytes())
    }
}

/// Whether both are one in any case: eight bytes at a time, because names are asked for so often.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let (Some(one_end), Some(other_end)) = (one.last_chunk(), other.last_chunk()) else {
        return one.eq_ignore_ascii_case(other);
    };
    let mut eights = one.chunks_exact(8).zip(other.chunks_exact(8));
    // The last eight are looked at twice in part where the length is no multiple.
    is_eight(*one_end, *other_end)
        && eights.all(
            |(one, other)| match (one.first_chunk(), other.first_chunk()) {
                (Some(one), Some(other)) => is_eight(*one, *other),
                _ => false,
            },
        )
}

fn is_eight(one: [u8; 8], other: [u8; 8]) -> bool {
    one == other || lower(u64::from_le_bytes(one)) == lower(u64::from_le_bytes(other))
}

/// Eight bytes with their capital letters as small ones.
fn lower(eight: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let low = eight & (0x7f * ONES);
    // The highest bit of each byte says that it is no less than `A`, or more than `Z`.
    let from_a = low + (0x80 - b'A' as u64) * ONES;
    let past_z = low + (0x7f - b'Z' as u64) * ONES;
    let capital = from_a & !past_z & !eight & (0x80 * ONES);
    eight | capital >> 2
}

/// From the length and three letters, in whatever case: more would cost more than it spares.
const fn mark(bytes: &[u8]) -> u8 {
    let length = bytes.len();
    if length == 0 {
        return 0;
    }
    let first = (bytes[0] | 0x20) as usize;
    let middle = (bytes[length / 2] | 0x20) as usize;
    let last = (bytes[length - 1] | 0x20) as usize;
    ((length * 31 + first * 7 + middle * 13 + last * 3) & 0xff) as u8
}

/// A set of marks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks([u64; 4]);

impl Marks {
    pub(super) const fn add(&mut self, mark: u8) {
        self.0[mark as usize / 64] |= 1 << (mark % 64);
    }

    pub(super) const fn has(&self, mark: u8) -> bool {
        self.0[mark as usize / 64] & (1 << (mark % 64)) != 0
    }
}

/// The names of two lists.
pub const fn join<const A: usize, const B: usize, const C: usize>(
    one: [&'static str; A],
    other: [&'static str; B],
) -> [&'static str; C] {
    assert!(A + B == C, "as many as both have");
    let mut joined = [""; C];
    let mut at = 0;
    while at < C {
        joined[at] = if at < A { one[at] } else { other[at - A] };
        at += 1;
    }
    joined
}

/// A set of names, and of beginnings of names.
#[derive(Debug)]
pub struct Names<const N: usize> {
    names: [Name<'static>; N],
    /// For each mark the place of the first name that has it, counted from 1; 0 where none has.
    places: [u8; 256],
    /// For each name the place of the next one with its mark.
    next: [u8; N],
    prefixes: &'static [&'static str],
    /// The first and the third letters of these, as small ones.
    firsts: Marks,
    thirds: Marks,
}

impl<const N: usize> Names<N> {
    /// These.
    pub const fn of(spelled: [&'static str; N]) -> Names<N> {
        assert!(N < 256, "places are bytes");
        let mut names = [Name::of(b""); N];
        let mut places = [0; 256];
        let mut next = [0; N];
        let mut at = 0;
        while at < N {
            names[at] = Name::of(spelled[at].as_bytes());
            let mark = names[at].mark as usize;
            next[at] = places[mark];
            places[mark] = at as u8 + 1;
            at += 1;
        }
        Names {
            names,
            places,
            next,
            prefixes: &[],
            firsts: Marks([0; 4]),
            thirds: Marks([0; 4]),
        }
    }

    /// And all names that begin like one of these, which have three letters or more.
    pub const fn and_beginning(mut self, prefixes: &'static [&'static str]) -> Names<N> {
        let mut at = 0;
        while at < prefixes.len() {
            let prefix = prefixes[at].as_bytes();
            self.firsts.add(prefix[0] | 0x20);
            self.thirds.add(prefix[2] | 0x20);
            at += 1;
        }
        self.prefixes = prefixes;
        self
    }

    /// Whether the name is one of them.
    pub fn contain(&self, name: Name<'_>) -> bool {
        // Most names are in no set: two looks tell.
        let mut place = self.places[usize::from(name.mark)];
        while let Some(at) = usize::from(place).checked_sub(1) {
            if is_same(self.names[at].bytes, name.bytes) {
                return true;
            }
            place = self.next[at];
        }
        let [first, _, third, ..] = name.bytes else {
            return false;
        };
        let may_begin = self.firsts.has(first | 0x20) && self.thirds.has(third | 0x20);
        may_begin && self.prefixes.iter().any(|prefix| name.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_is_one_however_it_is_spelled(name in "[a-zA-Z0-9_-]{0,12}", other in "[a-c]{0,2}") {
            let (upper, lower) = (name.to_uppercase(), name.to_lowercase());
            prop_assert!(Name::of(upper.as_bytes()).is(Name::of(lower.as_bytes())));
            prop_assert_eq!(is_same(name.as_bytes(), other.as_bytes()), name.eq_ignore_ascii_case(&other));
            let is_same = lower == other;
            prop_assert_eq!(Name::of(upper.as_bytes()).is(Name::of(other.as_bytes())), is_same);
            prop_assert!(Name::of(upper.as_bytes()).starts_with(&lower));
        }
    }

    proptest! {
        #[test]
        fn names_are_compared_as_bytes_would_be(
            one in prop::collection::vec(any::<u8>(), 0..24),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            prop_assert!(is_same(&one, &one.to_ascii_uppercase()));
            let mut other = one.to_ascii_lowercase();
            if !other.is_empty() {
                let at = at.index(other.len());
                other[at] = byte;
            }
            prop_assert_eq!(is_same(&one, &other), one.eq_ignore_ascii_case(&other));
        }
    }

    #[test]
    fn a_set_holds_its_names_and_no_others() {
        const SET: Names<3> = Names::of(["host", "te", "via"]);
        for (name, is_in) in [("Host", true), ("TE", true), ("hot", false), ("", false)] {
            assert_eq!(SET.contain(Name::of(name.as_bytes())), is_in, "{name}");
        }
        const WITH: Names<1> = Names::of(["via"]).and_beginning(&["x-forwarded-", "cf-"]);
        for (name, is_in) in [
            ("X-Forwarded-For", true),
            ("cf-", true),
            ("VIA", true),
            ("x-forward", false),
            ("c", false),
            ("", false),
        ] {
            assert_eq!(WITH.contain(Name::of(name.as_bytes())), is_in, "{name}");
        }
        const JOINED: [&str; 3] = join(["a"], ["b", "c"]);
        assert_eq!(JOINED, ["a", "b", "c"]);
    }
}
