//! The fields of a head, kept as the lines in which they came. Most of a head goes on as it is:
//! what is taken out or added costs something, what stays does not.

use std::fmt::{self, Debug, Formatter};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::name::{Marks, Name};
use super::remembered;

/// Room for the lines that are added to a head, in bytes.
const ROOM: usize = 256;
/// Lines for which there is room from the start: most heads have fewer.
const LINES: usize = 24;

/// Fields in the order in which they were sent, names and values as they were spelled, without the
/// blanks around values.
#[derive(Clone, Default)]
pub struct Fields {
    /// A head that was received.
    received: Bytes,
    /// Lines that were added to it.
    added: Vec<u8>,
    lines: Vec<Line>,
    /// Of all names that have been there.
    marks: Marks,
    /// Whether any of them holds an underscore.
    has_underscores: bool,
}

/// Where `name: value` CR LF stands, in one of the two texts; in bytes.
#[derive(Clone, Copy)]
struct Line {
    start: usize,
    end: usize,
    name: u32,
    mark: u8,
    is_added: bool,
}

/// The fields of a head that is still being looked at.
#[derive(Default)]
pub struct Found(Fields);

impl Found {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.lines.len()
    }

    /// One more, whose line begins at this place of the head: a name, a colon, and a value with the
    /// blanks around it.
    pub fn push(&mut self, start: usize, name: &[u8], sent: &[u8], has_underscore: bool) {
        let fields = &mut self.0;
        fields.has_underscores |= has_underscore;
        if fields.lines.capacity() == 0 {
            fields.lines.reserve(LINES);
        }
        let is_plain = match sent {
            [b' ', value @ ..] => is_trimmed(value),
            _ => false,
        };
        if !is_plain {
            // Written again with one blank.
            return fields.write_line(Name::of(name), sent.trim_ascii());
        }
        let mark = Name::of(name).mark();
        fields.marks.add(mark);
        fields.lines.push(Line {
            start,
            end: start + name.len() + 1 + sent.len() + 2,
            name: u32::try_from(name.len()).unwrap_or(u32::MAX),
            mark,
            is_added: false,
        });
    }

    /// The fields of this head.
    pub fn into_fields(self, head: Bytes) -> Fields {
        Fields {
            received: head,
            ..self.0
        }
    }
}

impl Fields {
    /// None.
    pub fn new() -> Fields {
        Fields::default()
    }

    /// The head that was received; empty where the fields came otherwise.
    pub fn head(&self) -> &Bytes {
        &self.received
    }

    /// The value of the first line of this name.
    pub fn get(&self, name: &HeaderName) -> Option<&[u8]> {
        let at = self.find(Name::from(name), 0)?;
        Some(self.value(&self.lines[at]))
    }

    /// The same as text: `None` where it holds more than printable ASCII.
    pub fn text(&self, name: &HeaderName) -> Option<&str> {
        text(self.get(name)?)
    }

    /// The values of all lines of this name.
    pub fn get_all<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let name = Name::from(name);
        let mut next = 0;
        std::iter::from_fn(move || {
            let at = self.find(name, next)?;
            next = at + 1;
            Some(self.value(&self.lines[at]))
        })
    }

    /// The place of the next line of this name.
    fn find(&self, name: Name<'_>, from: usize) -> Option<usize> {
        // Most names that are asked for are not there.
        if !self.marks.has(name.mark()) {
            return None;
        }
        let mut rest = self.lines.get(from..)?.iter();
        let found = rest.position(|line| line.mark == name.mark() && self.name(line).is(name));
        Some(from + found?)
    }

    /// The value of the one line of this name; `None` where there are several as well.
    pub fn single(&self, name: &HeaderName) -> Option<&[u8]> {
        let mut values = self.get_all(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// Whether there is a line of this name.
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.get(name).is_some()
    }

    /// Names as they are spelled and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let lines = self.lines.iter();
        lines.map(|line| (self.name(line).as_bytes(), self.value(line)))
    }

    /// The names of all lines, in order.
    pub fn names(&self) -> impl Iterator<Item = Name<'_>> {
        self.lines.iter().map(|line| self.name(line))
    }

    /// Whether a name may hold an underscore.
    pub fn has_underscores(&self) -> bool {
        self.has_underscores
    }

    /// Adds a line.
    pub fn append(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.write_line(Name::from(name), value.as_bytes());
    }

    /// Adds a line in the place of all others of its name.
    pub fn insert(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.remove(name);
        self.append(name, value);
    }

    /// Adds the lines of others behind its own.
    pub fn adopt(&mut self, others: &Fields) {
        for line in &others.lines {
            self.write_line(others.name(line), others.value(line));
        }
    }

    /// Takes all lines of this name out.
    pub fn remove(&mut self, name: &HeaderName) {
        let name = Name::from(name);
        if self.marks.has(name.mark()) {
            self.retain(|found| !found.is(name));
        }
    }

    /// Takes out what is not to be kept, by name.
    pub fn retain(&mut self, is_kept: impl Fn(Name<'_>) -> bool) {
        let (received, added) = (&self.received, &self.added);
        self.lines
            .retain(|line| is_kept(line.name_in(line.text_of(received, added))));
    }

    /// Writes all lines.
    pub fn write(&self, out: &mut BytesMut) {
        let mut lines = self.lines.iter().copied();
        let Some(mut run) = lines.next() else {
            return;
        };
        for line in lines {
            if line.is_added == run.is_added && line.start == run.end {
                run.end = line.end;
            } else {
                out.put_slice(&self.text_of(&run)[run.start..run.end]);
                run = line;
            }
        }
        out.put_slice(&self.text_of(&run)[run.start..run.end]);
    }

    /// The same fields for code that needs a map.
    pub fn to_map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.lines.len());
        for (name, value) in self.iter() {
            // What came through a parser is both.
            if let (Ok(name), Ok(value)) = (remembered::name(name), HeaderValue::from_bytes(value))
            {
                map.append(name, value);
            }
        }
        map
    }

    fn write_line(&mut self, name: Name<'_>, value: &[u8]) {
        let out = &mut self.added;
        let start = out.len();
        self.has_underscores |= memchr::memchr(b'_', name.as_bytes()).is_some();
        let name_length = name.as_bytes().len();
        out.reserve((name_length + value.len() + 4).max(ROOM.saturating_sub(start)));
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
        self.marks.add(name.mark());
        self.lines.push(Line {
            start,
            end: out.len(),
            name: u32::try_from(name_length).unwrap_or(u32::MAX),
            mark: name.mark(),
            is_added: true,
        });
    }

    fn text_of(&self, line: &Line) -> &[u8] {
        line.text_of(&self.received, &self.added)
    }

    fn name(&self, line: &Line) -> Name<'_> {
        line.name_in(self.text_of(line))
    }

    fn value(&self, line: &Line) -> &[u8] {
        &self.text_of(line)[line.start + line.name as usize + 2..line.end - 2]
    }
}

impl Line {
    fn text_of<'a>(&self, received: &'a Bytes, added: &'a [u8]) -> &'a [u8] {
        if self.is_added { added } else { received }
    }

    fn name_in<'a>(&self, text: &'a [u8]) -> Name<'a> {
        let name = &text[self.start..self.start + self.name as usize];
        Name::marked(name, self.mark)
    }
}

fn is_trimmed(value: &[u8]) -> bool {
    let is_blank = |byte: &u8| byte.is_ascii_whitespace();
    !value.first().is_some_and(is_blank) && !value.last().is_some_and(is_blank)
}

/// A value as text, if it holds printable ASCII, blanks and tabs alone.
pub fn text(value: &[u8]) -> Option<&str> {
    // All bytes are looked at, many at a time.
    let is_printable = |byte: u8| matches!(byte, b' '..=b'~' | b'\t');
    let is_text = value
        .iter()
        .fold(true, |is_text, byte| is_text & is_printable(*byte));
    is_text.then(|| std::str::from_utf8(value).ok())?
}

impl From<&HeaderMap> for Fields {
    fn from(map: &HeaderMap) -> Fields {
        let mut fields = Fields::new();
        fields.lines.reserve(map.len() + 4);
        for (name, value) in map {
            fields.append(name, value);
        }
        fields
    }
}

impl Extend<(HeaderName, HeaderValue)> for Fields {
    fn extend<T: IntoIterator<Item = (HeaderName, HeaderValue)>>(&mut self, pairs: T) {
        for (name, value) in pairs {
            self.append(&name, &value);
        }
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for Fields {
    fn from_iter<T: IntoIterator<Item = (HeaderName, HeaderValue)>>(pairs: T) -> Fields {
        let mut fields = Fields::new();
        fields.extend(pairs);
        fields
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Fields) -> bool {
        let pair = |(name, value): (&[u8], &[u8])| (name.to_ascii_lowercase(), value.to_vec());
        self.iter().map(pair).eq(other.iter().map(pair))
    }
}

/// Names alone: values hold secrets.
impl Debug for Fields {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names = self.names();
        let names = names.map(|name| String::from_utf8_lossy(name.as_bytes()));
        f.debug_list().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use http::header;
    use proptest::prelude::*;

    use super::*;

    const X_A: HeaderName = HeaderName::from_static("x-a");

    /// A head of these lines: names, what stands between, values.
    fn received(lines: &[(&str, &str, &str)]) -> Fields {
        let (mut head, mut found) = (String::new(), Found::default());
        for (name, between, value) in lines {
            let sent = format!("{}{value}", &between[1..]);
            found.push(head.len(), name.as_bytes(), sent.as_bytes(), false);
            head.push_str(&format!("{name}:{sent}\r\n"));
        }
        found.into_fields(Bytes::from(head))
    }

    fn written(fields: &Fields) -> String {
        let mut out = BytesMut::new();
        fields.write(&mut out);
        String::from_utf8(out.to_vec()).expect("text")
    }

    #[test]
    fn what_was_taken_out_and_added_shows_in_what_is_written() {
        let mut fields = received(&[
            ("Host", ": ", "h"),
            ("X-A", ": ", "1"),
            ("x-b", ":", "2"),
            ("X-a", ": ", "3"),
            ("x-c", ": ", ""),
        ]);
        fields.remove(&header::HOST);
        fields.insert(&header::HOST, &HeaderValue::from_static("other"));
        assert_eq!(
            written(&fields),
            "X-A: 1\r\nx-b: 2\r\nX-a: 3\r\nx-c: \r\nhost: other\r\n"
        );
        assert_eq!(fields.get(&X_A), Some(&b"1"[..]));
        assert_eq!(fields.single(&X_A), None);
        assert_eq!(fields.single(&header::HOST), Some(&b"other"[..]));
        fields.retain(|name| !name.is(Name::from(&X_A)));
        assert_eq!(written(&fields), "x-b: 2\r\nx-c: \r\nhost: other\r\n");
    }

    #[test]
    fn only_printable_values_are_text() {
        for (value, is_text) in [
            (&b"a b\t~"[..], true),
            (b"", true),
            (b"a\x7f", false),
            (b"\xc3\xa4", false),
            (b"a\x01", false),
        ] {
            assert_eq!(text(value).is_some(), is_text, "{value:?}");
            let as_map = HeaderValue::from_bytes(value);
            let as_map = as_map.is_ok_and(|value| value.to_str().is_ok());
            assert_eq!(as_map, is_text, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn fields_are_what_a_map_of_them_says(
            lines in prop::collection::vec(("[A-Za-z-]{1,4}", ": ?", "([!-~]([ -~]{0,4}[!-~])?)?"), 0..12),
            taken in "[a-z-]{1,2}",
        ) {
            let lines: Vec<(&str, &str, &str)> = lines
                .iter()
                .map(|(name, between, value)| (name.as_str(), between.as_str(), value.as_str()))
                .collect();
            let mut fields = received(&lines);
            let mut map = HeaderMap::new();
            for (name, _, value) in lines {
                let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
                map.append(name, HeaderValue::from_str(value).expect("a value"));
            }
            prop_assert_eq!(fields.to_map(), map.clone());
            let taken = HeaderName::from_bytes(taken.as_bytes()).expect("a name");
            prop_assert_eq!(fields.get(&taken), map.get(&taken).map(HeaderValue::as_bytes));
            fields.remove(&taken);
            map.remove(&taken);
            prop_assert_eq!(fields.to_map(), map.clone());
            prop_assert_eq!(Fields::from(&map).to_map(), map);
        }
    }
}
