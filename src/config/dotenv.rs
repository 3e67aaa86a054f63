//! The syntax of `.env` files as Node, Python and docker compose share it: one `NAME=value` per line.
//!
//! Unquoted values are taken as they stand, so that a JSON list needs no quotes and a `$` in a secret stays a `$`; a
//! faulty line is told by its number only, never by its text.

/// One `NAME=value` of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    /// The name before the equals sign.
    pub(super) name: String,
    /// The value without quotes and comments.
    pub(super) text: String,
    /// The line it starts on, from 1.
    pub(super) line: usize,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// The assignments, in order.
    pub(super) assignments: Vec<Assignment>,
    /// The numbers of the lines that are none, from 1.
    pub(super) faulty_lines: Vec<usize>,
}

/// Reads a whole file.
pub(super) fn parse(text: &str) -> Parsed {
    let lines: Vec<&str> = text
        .strip_prefix('\u{feff}')
        .unwrap_or(text)
        .lines()
        .collect();
    let mut parsed = Parsed::default();
    let mut at = 0;
    while at < lines.len() {
        let number = at + 1;
        let line = lines[at].trim();
        at += 1;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, rest)) = split_name(line) else {
            parsed.faulty_lines.push(number);
            continue;
        };
        let text = match quoted(rest, &lines[at..]) {
            Quoted::Value(text, used) => {
                at += used;
                text
            }
            Quoted::Not => unquoted(rest),
            Quoted::Open => {
                parsed.faulty_lines.push(number);
                continue;
            }
        };
        parsed.assignments.push(Assignment {
            name: name.to_owned(),
            text,
            line: number,
        });
    }
    parsed
}

/// The name, and what follows the equals sign with the space before it kept.
fn split_name(line: &str) -> Option<(&str, &str)> {
    let line = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) && !rest.trim_start().starts_with('=') => {
            rest.trim_start()
        }
        _ => line,
    };
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || "_.-".contains(c)))?;
    let (name, rest) = line.split_at(end);
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return None;
    }
    let rest = rest.trim_start();
    if let Some(value) = rest.strip_prefix('=') {
        return Some((name, value));
    }
    rest.strip_prefix(':')
        .filter(|value| value.is_empty() || value.starts_with([' ', '\t']))
        .map(|value| (name, value))
}

/// What a value that may start with a quote turned out to be.
enum Quoted {
    /// The text between the quotes, and how many further lines it took.
    Value(String, usize),
    /// No quoted value: take it as it stands.
    Not,
    /// A quote that is never closed.
    Open,
}

fn quoted(rest: &str, following: &[&str]) -> Quoted {
    let rest = rest.trim_start();
    let Some(quote) = rest.chars().next().filter(|c| "\"'`".contains(*c)) else {
        return Quoted::Not;
    };
    let mut value = String::new();
    let mut segment = &rest[1..];
    for used in 0..=following.len() {
        if let Some(after) = take_until(segment, quote, &mut value) {
            let after = after.trim_start();
            return match (after.is_empty() || after.starts_with('#'), used) {
                (true, _) => Quoted::Value(value, used),
                (false, 0) => Quoted::Not,
                (false, _) => Quoted::Open,
            };
        }
        value.push('\n');
        segment = following.get(used).copied().unwrap_or_default();
    }
    Quoted::Open
}

/// Moves the text up to the closing quote into `value`; gives what follows the quote, or nothing if it is not there.
fn take_until<'a>(text: &'a str, quote: char, value: &mut String) -> Option<&'a str> {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Some(&text[at + 1..]);
        }
        if c != '\\' || quote == '`' {
            value.push(c);
            continue;
        }
        match chars.next().map(|(_, escaped)| escaped) {
            Some(escaped) if escaped == quote => value.push(quote),
            Some('n') if quote == '"' => value.push('\n'),
            Some('r') if quote == '"' => value.push('\r'),
            Some('t') if quote == '"' => value.push('\t'),
            Some(escaped @ ('\\' | '$')) if quote == '"' => value.push(escaped),
            Some(other) => value.extend(['\\', other]),
            None => value.push('\\'),
        }
    }
    None
}

/// A value without quotes: up to a `#` that follows a space.
fn unquoted(rest: &str) -> String {
    let end = rest
        .char_indices()
        .find(|(at, c)| *c == '#' && rest[..*at].ends_with([' ', '\t']))
        .map_or(rest.len(), |(at, _)| at);
    rest[..end].trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<(String, String)> {
        let parsed = parse(text);
        assert_eq!(parsed.faulty_lines, Vec::<usize>::new(), "{text}");
        parsed
            .assignments
            .into_iter()
            .map(|one| (one.name, one.text))
            .collect()
    }

    #[test]
    fn the_usual_spellings_are_read() {
        let good = [
            ("A=1", "1"),
            ("  export A = 1  ", "1"),
            ("A=", ""),
            ("A= # nothing", ""),
            ("A=x # comment", "x"),
            ("A=x#y", "x#y"),
            ("A=#x", "#x"),
            ("A=two words", "two words"),
            ("A=\"x y\" # comment", "x y"),
            ("A='x $y \\n'", "x $y \\n"),
            ("A=\"x\\ny\\\"\"", "x\ny\""),
            ("A=`x\"y`", "x\"y"),
            (
                "A=[\"http://a\", \"http://b\"]",
                "[\"http://a\", \"http://b\"]",
            ),
            ("A='[\"http://a\"]'", "[\"http://a\"]"),
            ("A=\"a\",\"b\"", "\"a\",\"b\""),
            ("A=pa$$word${X}", "pa$$word${X}"),
            ("A=it's", "it's"),
            ("A: yaml", "yaml"),
            ("\u{feff}A=1\r\n# end\r\n", "1"),
            ("A=\"one\ntwo\"", "one\ntwo"),
        ];
        for (text, value) in good {
            assert_eq!(
                values(text),
                [("A".to_owned(), value.to_owned())],
                "{text:?}"
            );
        }
        assert_eq!(values("export=1")[0].0, "export");
    }

    #[test]
    fn faulty_lines_are_told_by_number_and_the_rest_is_still_read() {
        for text in [
            "nonsense", "=x", "1A=x", "A B=x", "sk-abc", "A=\"open", "A='open", "A:x", "ü=1",
        ] {
            let parsed = parse(&format!("# first\n{text}\nB=2"));
            assert_eq!(parsed.faulty_lines, [2], "{text}");
            assert_eq!(
                parsed.assignments.last().map(|one| one.line),
                Some(3),
                "{text}"
            );
        }
    }
}
