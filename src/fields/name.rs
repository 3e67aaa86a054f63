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
        self.mark == other.mark && self.bytes.eq_ignore_ascii_case(other.bytes)
    }

    /// Whether it begins like this, in any case.
    pub fn starts_with(self, start: &str) -> bool {
        let own = self.bytes.get(..start.len());
        own.is_some_and(|own| own.eq_ignore_ascii_case(start.as_bytes()))
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

/// A set of names.
#[derive(Debug)]
pub struct Names<const N: usize> {
    names: [Name<'static>; N],
    marks: Marks,
}

impl<const N: usize> Names<N> {
    /// These.
    pub const fn of(spelled: [&'static str; N]) -> Names<N> {
        let mut names = [Name::of(b""); N];
        let mut marks = Marks([0; 4]);
        let mut at = 0;
        while at < N {
            names[at] = Name::of(spelled[at].as_bytes());
            marks.add(names[at].mark);
            at += 1;
        }
        Names { names, marks }
    }

    /// Whether the name is one of them.
    pub fn contain(&self, name: Name<'_>) -> bool {
        self.marks.has(name.mark) && self.names.iter().any(|one| one.is(name))
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
            let is_same = lower == other;
            prop_assert_eq!(Name::of(upper.as_bytes()).is(Name::of(other.as_bytes())), is_same);
            prop_assert!(Name::of(upper.as_bytes()).starts_with(&lower));
        }
    }

    #[test]
    fn a_set_holds_its_names_and_no_others() {
        const SET: Names<3> = Names::of(["host", "te", "via"]);
        for (name, is_in) in [("Host", true), ("TE", true), ("hot", false), ("", false)] {
            assert_eq!(SET.contain(Name::of(name.as_bytes())), is_in, "{name}");
        }
        assert!(!Name::of(b"x-forward").starts_with("x-forwarded-"));
    }
}
