//! Finds an event's type without parsing the event: audio is most of the traffic, and of its
//! events only the few bytes before the type are looked at.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;

/// Where the value of the outermost `type` lies, without its quotes. `None` for what is not an
/// object or has no such string. Of several, the first counts; RFC 8259 leaves them open.
pub(super) fn find_type(event: &[u8]) -> Option<Range<usize>> {
    let mut scanner = Scanner { event, at: 0 };
    scanner.expect(b'{')?;
    loop {
        let name = scanner.string()?;
        scanner.expect(b':')?;
        if *unescaped(event, name)? == *b"type" {
            return scanner.string();
        }
        scanner.skip_value()?;
        scanner.expect(b',')?;
    }
}

/// What a string says. Few have escapes.
pub(super) fn unescaped(event: &[u8], within_quotes: Range<usize>) -> Option<Cow<'_, [u8]>> {
    let raw = &event[within_quotes.clone()];
    if memchr::memchr(b'\\', raw).is_none() {
        return Some(Cow::Borrowed(raw));
    }
    let quoted = &event[within_quotes.start - 1..=within_quotes.end];
    let text: String = serde_json::from_slice(quoted).ok()?;
    Some(Cow::Owned(text.into_bytes()))
}

struct Scanner<'a> {
    event: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    /// The next byte that is not white space (RFC 8259, section 2).
    fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.event.get(self.at)? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    /// Passes a string; where it lies, without its quotes.
    fn string(&mut self) -> Option<Range<usize>> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            let found = memchr2(b'"', b'\\', self.event.get(self.at..)?)?;
            self.at += found;
            if self.event[self.at] == b'"' {
                self.at += 1;
                return Some(start..self.at - 1);
            }
            self.at += 2;
        }
    }

    fn skip_value(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' | b'[' => self.skip_nested(),
            _ => {
                let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']');
                self.at += self.event[self.at..].iter().position(ends)?;
                Some(())
            }
        }
    }

    /// Counts brackets of both kinds as one: where they do not match, it is no JSON anyway.
    fn skip_nested(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match *self.event.get(self.at)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn type_of(event: &str) -> Option<String> {
        let range = find_type(event.as_bytes())?;
        let name = unescaped(event.as_bytes(), range)?;
        String::from_utf8(name.into_owned()).ok()
    }

    #[test]
    fn the_outermost_type_is_found_wherever_and_however_it_is_written() {
        for event in [
            r#"{"type":"a.b"}"#,
            " {\n\t\"type\" :\r \"a.b\" } ",
            r#"{"event_id":"x","type":"a.b","z":1}"#,
            r#"{"n":-1.5e+9,"t":true,"z":null,"type":"a.b"}"#,
            r#"{"item":{"type":"message","c":[{"type":"}"}]},"type":"a.b"}"#,
            r#"{"s":"\"type\":\"x\"\\","type":"a.b"}"#,
            r#"{"s":"}],{[\\\"","l":["]"],"type":"a.b"}"#,
            r#"{"t\u0079pe":"a\u002eb"}"#,
            r#"{"":"","type":"a.b","type":"second"}"#,
        ] {
            assert_eq!(type_of(event).as_deref(), Some("a.b"), "{event}");
        }
    }

    #[test]
    fn what_has_no_type_has_none() {
        for event in [
            "",
            "{",
            "{}",
            "[]",
            "null",
            "\"type\"",
            r#"["type","a"]"#,
            r#"{"type":1}"#,
            r#"{"type":{"type":"a"}}"#,
            r#"{"a":{"type":"a"}}"#,
            r#"{"a":"type"}"#,
            r#"{"type""#,
            r#"{"type":"#,
            r#"{"type":"a"#,
            r#"{"type":"a\"#,
            r#"{"type":"a\""#,
            r#"{"a":[}"#,
            r#"{"a":"#,
            r#"{"a":1"#,
            r#"{"a":1 "type":"a"}"#,
        ] {
            assert_eq!(type_of(event), None, "{event}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let text = "(type|[\\\\\"{}\\[\\]:, a\\n]|\\PC){0,6}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f32>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((text, inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_scanner_finds_what_a_parser_finds(
            before in prop::collection::vec(("\\PC{0,5}", any_json()), 0..4),
            name in "\\PC{0,8}",
            after in prop::collection::vec(("\\PC{0,5}", any_json()), 0..3),
            pretty: bool,
        ) {
            let fields = before.into_iter()
                .chain([("type".to_owned(), Value::from(name.clone()))])
                .chain(after);
            let mut event = Map::new();
            for (key, value) in fields {
                event.entry(key).or_insert(value);
            }
            prop_assume!(event["type"] == *name);
            let text = if pretty { serde_json::to_string_pretty(&event) } else { serde_json::to_string(&event) };
            prop_assert_eq!(type_of(&text.expect("text")), Some(name));
        }
    }
}
