//! The fields of a head, kept as the lines in which they came. Most of a head goes on as it is:
//! what is taken out or added costs something, what stays does not.

use std::fmt::{self, Debug, Formatter};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::names;

/// Room for the lines that are added to a head, in bytes.
const ROOM: usize = 256;

/// Fields in the order in which they were sent. Names are in lower case, values as sent without
/// the blanks around them.
#[derive(Clone, Default)]
pub struct Fields {
    /// A head that was received.
    received: Bytes,
    /// Lines that were added to it.
    added: Vec<u8>,
    lines: Vec<Line>,
}

/// Where `name: value` CR LF stands, in one of the two texts; in bytes.
#[derive(Clone, Copy)]
struct Line {
    start: usize,
    name: u32,
    end: usize,
    is_added: bool,
}

/// The lines of a head that is still being looked at.
pub struct Found {
    lines: Vec<Line>,
    /// Those with other blanks than one behind the colon, written again.
    mended: Vec<u8>,
}

impl Found {
    /// Names and values as a parser found them, both parts of the head.
    pub fn of<'a>(
        head: &'a [u8],
        fields: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Found {
        let mut found = Found {
            // Some will be added.
            lines: Vec::with_capacity(fields.len() + 4),
            mended: Vec::new(),
        };
        for (name, value) in fields {
            let line = plain_line(head, name, value);
            let line = line.unwrap_or_else(|| write_line(&mut found.mended, name, value));
            found.lines.push(line);
        }
        found
    }

    /// The fields of this head.
    pub fn into_fields(self, mut head: BytesMut) -> Fields {
        for line in self.lines.iter().filter(|line| !line.is_added) {
            head[line.start..line.start + line.name as usize].make_ascii_lowercase();
        }
        Fields {
            received: head.freeze(),
            added: self.mended,
            lines: self.lines,
        }
    }
}

/// The line of a field that can go on as it is.
fn plain_line(head: &[u8], name: &[u8], value: &[u8]) -> Option<Line> {
    let start = name.as_ptr().addr().checked_sub(head.as_ptr().addr())?;
    let colon = start + name.len();
    let end = colon + 2 + value.len() + 2;
    let line = head.get(start..end)?;
    let is_plain = line[name.len()..].starts_with(b": ")
        && line.ends_with(b"\r\n")
        && std::ptr::eq(value.as_ptr(), &raw const head[colon + 2]);
    is_plain.then_some(Line {
        start,
        name: u32::try_from(name.len()).ok()?,
        end,
        is_added: false,
    })
}

fn write_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Line {
    if out.capacity() == 0 {
        out.reserve(ROOM);
    }
    let start = out.len();
    out.extend(name.iter().map(u8::to_ascii_lowercase));
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
    Line {
        start,
        name: u32::try_from(name.len()).unwrap_or(u32::MAX),
        end: out.len(),
        is_added: true,
    }
}

impl Fields {
    /// None.
    pub fn new() -> Fields {
        Fields::default()
    }

    /// The head that was received, names in lower case; empty where the fields came otherwise.
    pub fn head(&self) -> &Bytes {
        &self.received
    }

    /// The value of the first line of this name.
    pub fn get(&self, name: &HeaderName) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// The same as text: `None` where it holds more than printable ASCII.
    pub fn text(&self, name: &HeaderName) -> Option<&str> {
        text(self.get(name)?)
    }

    /// The values of all lines of this name.
    pub fn get_all<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let name = name.as_str().as_bytes();
        let lines = self.lines.iter();
        lines.filter_map(move |line| (self.name(line) == name).then(|| self.value(line)))
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

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let lines = self.lines.iter();
        lines.map(|line| (self.name(line), self.value(line)))
    }

    /// The names of all lines, in order.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().map(|line| self.name(line))
    }

    /// Adds a line.
    pub fn append(&mut self, name: &HeaderName, value: &HeaderValue) {
        let name = name.as_str().as_bytes();
        let line = write_line(&mut self.added, name, value.as_bytes());
        self.lines.push(line);
    }

    /// Adds a line in the place of all others of its name.
    pub fn insert(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.remove(name);
        self.append(name, value);
    }

    /// Adds the lines of others behind its own.
    pub fn adopt(&mut self, others: &Fields) {
        for (name, value) in others.iter() {
            let line = write_line(&mut self.added, name, value);
            self.lines.push(line);
        }
    }

    /// Takes all lines of this name out.
    pub fn remove(&mut self, name: &HeaderName) {
        let name = name.as_str().as_bytes();
        self.retain(|found| found != name);
    }

    /// Takes out what is not to be kept, by name.
    pub fn retain(&mut self, is_kept: impl Fn(&[u8]) -> bool) {
        let (received, added) = (&self.received, &self.added);
        self.lines
            .retain(|line| is_kept(line.name_in(line.text_of(received, added))));
    }

    /// Writes all lines.
    pub fn write(&self, out: &mut BytesMut) {
        let mut lines = self.lines.iter().copied().peekable();
        while let Some(mut run) = lines.next() {
            let goes_on =
                |next: &Line, run: Line| next.is_added == run.is_added && next.start == run.end;
            while let Some(next) = lines.next_if(|next| goes_on(next, run)) {
                run.end = next.end;
            }
            out.put_slice(&self.text_of(&run)[run.start..run.end]);
        }
    }

    /// The same fields for code that needs a map.
    pub fn to_map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.lines.len());
        for (name, value) in self.iter() {
            // What came through a parser is both.
            if let (Ok(name), Ok(value)) = (names::name(name), HeaderValue::from_bytes(value)) {
                map.append(name, value);
            }
        }
        map
    }

    fn text_of(&self, line: &Line) -> &[u8] {
        line.text_of(&self.received, &self.added)
    }

    fn name(&self, line: &Line) -> &[u8] {
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

    fn name_in<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.start..self.start + self.name as usize]
    }
}

/// A value as text, if it holds printable ASCII, blanks and tabs alone.
pub fn text(value: &[u8]) -> Option<&str> {
    let is_printable = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
    let text = std::str::from_utf8(value).ok()?;
    value.iter().all(is_printable).then_some(text)
}

impl From<&HeaderMap> for Fields {
    fn from(map: &HeaderMap) -> Fields {
        let mut fields = Fields {
            lines: Vec::with_capacity(map.len() + 4),
            ..Fields::default()
        };
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
        self.iter().eq(other.iter())
    }
}

/// Names alone: values hold secrets.
impl Debug for Fields {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names = self.names().map(String::from_utf8_lossy);
        f.debug_list().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use http::header;
    use proptest::prelude::*;

    use super::*;

    const X_A: HeaderName = HeaderName::from_static("x-a");

    /// A head of these lines, in which each field was found.
    fn received(lines: &[(&str, &str, &str)]) -> Fields {
        let head: String = lines
            .iter()
            .map(|(name, between, value)| format!("{name}{between}{value}\r\n"))
            .collect();
        let head = BytesMut::from(head.as_str());
        let mut at = 0;
        let mut found = Vec::new();
        for (name, between, value) in lines {
            let start = at + name.len() + between.len();
            found.push((
                &head[at..at + name.len()],
                &head[start..start + value.len()],
            ));
            at = start + value.len() + 2;
        }
        let found = Found::of(&head, found.into_iter());
        found.into_fields(head)
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
            "x-a: 1\r\nx-b: 2\r\nx-a: 3\r\nx-c: \r\nhost: other\r\n"
        );
        assert_eq!(fields.get(&X_A), Some(&b"1"[..]));
        assert_eq!(fields.single(&X_A), None);
        assert_eq!(fields.single(&header::HOST), Some(&b"other"[..]));
        fields.retain(|name| name != b"x-a");
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
