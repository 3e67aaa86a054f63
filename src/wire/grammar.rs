//! The grammar of a head's lines (RFC 9112 sections 3 to 5), with none of the leniency that RFC 9112
//! allows: no other white space, no folded lines, no line without its carriage return. Pure.

use std::ops::Range;

use http::{Method, StatusCode, Version};
use hyper::ext::ReasonPhrase;

use super::head::{HeadError, MAX_FIELDS};
use crate::fields::Found;

const VERSIONS: [(&[u8], Version); 2] = [
    (b"HTTP/1.1", Version::HTTP_11),
    (b"HTTP/1.0", Version::HTTP_10),
];
/// Bytes of a version.
const VERSION: usize = 8;

const TOKEN: u8 = 1;
const TARGET: u8 = 2;
const VALUE: u8 = 4;
/// Not an underscore.
const PLAIN: u8 = 8;

/// Where each byte may stand.
const MAY_BE: [u8; 256] = {
    let mut may = [0; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        let is_visible = byte > b' ' && byte != 0x7f;
        let is_delimiter = matches!(
            byte,
            b'"' | b'(' | b')' | b',' | b'/' | b':'..=b'@' | b'[' | b'\\' | b']' | b'{' | b'}'
        );
        if is_visible {
            may[at] = TARGET | VALUE;
            if byte < 0x80 && !is_delimiter {
                may[at] |= TOKEN;
            }
            if byte != b'_' {
                may[at] |= PLAIN;
            }
        }
        at += 1;
    }
    may[b' ' as usize] = VALUE;
    may[b'\t' as usize] = VALUE;
    may
};

/// How many bytes at the start may stand there.
fn length_of(kind: u8, bytes: &[u8]) -> usize {
    let end = bytes
        .iter()
        .position(|byte| MAY_BE[usize::from(*byte)] & kind == 0);
    end.unwrap_or(bytes.len())
}

/// Eight times one, and eight times the highest bit.
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The eight bytes from this place on, the first lowest.
fn eight(bytes: &[u8], at: usize) -> Option<u64> {
    let eight = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*eight))
}

/// How many bytes are before the first place that is marked by its highest bit.
fn before(marked: u64) -> usize {
    marked.trailing_zeros() as usize / 8
}

/// Marks the lowest byte that is zero; what is marked above it says nothing.
fn zero(eight: u64) -> u64 {
    eight.wrapping_sub(ONES) & !eight & HIGHS
}

/// The first place of this byte, which is near: what finds one in a long text begins slower.
fn find_near(wanted: u8, bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(eight) = eight(bytes, at) {
        let marked = zero(eight ^ (ONES * u64::from(wanted)));
        if marked != 0 {
            return Some(at + before(marked));
        }
        at += 8;
    }
    let rest = bytes.get(at..)?;
    Some(at + rest.iter().position(|byte| *byte == wanted)?)
}

/// How many bytes at the start may stand in a value: eight at a time, because half of a head is
/// values.
fn value_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(eight) = eight(bytes, at) {
        // Below a blank, or 0x7f.
        let controls = eight.wrapping_sub(ONES * b' ' as u64) & !eight & HIGHS;
        let marked = controls | zero(eight ^ (ONES * 0x7f));
        if marked == 0 {
            at += 8;
            continue;
        }
        at += before(marked);
        if bytes[at] != b'\t' {
            return at;
        }
        at += 1;
    }
    at + length_of(VALUE, &bytes[at..])
}

/// The first line of a request.
pub(super) struct RequestLine {
    pub(super) method: Method,
    /// Where the target stands.
    pub(super) target: Range<usize>,
    pub(super) version: Version,
    /// Bytes of the line, its end included.
    pub(super) length: usize,
}

/// Reads the first line of a request's head.
pub(super) fn request_line(head: &[u8]) -> Result<RequestLine, HeadError> {
    let wrong = HeadError::Malformed("The request line is not one.");
    let method = length_of(TOKEN, head);
    let start = method + 1;
    if method == 0 || head.get(method) != Some(&b' ') {
        return Err(wrong);
    }
    let target = start..start + length_of(TARGET, &head[start..]);
    if target.is_empty() || head.get(target.end) != Some(&b' ') {
        return Err(wrong);
    }
    std::str::from_utf8(&head[target.clone()]).map_err(|_| wrong)?;
    let rest = &head[target.end + 1..];
    let version = version(rest)?;
    if !rest[VERSION..].starts_with(b"\r\n") {
        return Err(wrong);
    }
    Ok(RequestLine {
        method: Method::from_bytes(&head[..method]).map_err(|_| wrong)?,
        length: target.end + 1 + VERSION + 2,
        target,
        version,
    })
}

fn version(bytes: &[u8]) -> Result<Version, HeadError> {
    let found = VERSIONS.iter().find(|(text, _)| bytes.starts_with(text));
    found.map(|(_, version)| *version).ok_or(HeadError::Version)
}

/// The first line of an answer.
pub(super) struct StatusLine {
    pub(super) version: Version,
    pub(super) status: StatusCode,
    /// Where it differs from the status's usual one.
    pub(super) reason: Option<ReasonPhrase>,
    /// Bytes of the line, its end included.
    pub(super) length: usize,
}

/// Reads the first line of an answer's head.
pub(super) fn status_line(head: &[u8]) -> Result<StatusLine, HeadError> {
    let wrong = HeadError::Malformed("its status is not one");
    let version = version(head)?;
    let code = VERSION + 1..VERSION + 4;
    let status = head
        .get(code.clone())
        .filter(|_| head[VERSION] == b' ')
        .and_then(|code| StatusCode::from_bytes(code).ok())
        .ok_or(wrong)?;
    let rest = &head[code.end..];
    // The blank before an empty reason is often left out.
    let blank = usize::from(rest.starts_with(b" "));
    let reason = match blank {
        0 => &[],
        _ => &rest[1..1 + length_of(VALUE, &rest[1..])],
    };
    let length = code.end + blank + reason.len();
    if !head[length..].starts_with(b"\r\n") {
        return Err(wrong);
    }
    let is_usual = status.canonical_reason().map(str::as_bytes) == Some(reason);
    let reason = (!is_usual).then(|| ReasonPhrase::try_from(reason).ok());
    Ok(StatusLine {
        version,
        status,
        reason: reason.flatten(),
        length: length + 2,
    })
}

/// The name at the start of a line, and whether it holds an underscore.
fn name(line: &[u8]) -> Result<(&[u8], bool), HeadError> {
    let plain = plain_length(line);
    if plain > 0 && line[plain] == b':' {
        return Ok((&line[..plain], false));
    }
    let wrong = HeadError::Malformed("The name of a header is not one.");
    let name = &line[..find_near(b':', line).ok_or(wrong)?];
    let kinds = name.iter().fold(TOKEN | PLAIN, |kinds, byte| {
        kinds & MAY_BE[usize::from(*byte)]
    });
    if name.is_empty() || kinds & TOKEN == 0 {
        return Err(wrong);
    }
    Ok((name, kinds & PLAIN == 0))
}

/// How many bytes at the start are letters, digits and hyphens, as nearly all names are made of; 0
/// where that cannot be told eight at a time.
fn plain_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(eight) = eight(bytes, at) {
        let low = eight & !HIGHS;
        let small = low | (ONES * 0x20);
        // The highest bit of each byte tells, as sums of seven bits do not carry.
        let letters =
            (small + ONES * (0x80 - b'a' as u64)) & !(small + ONES * (0x7f - b'z' as u64));
        let digits = (low + ONES * (0x80 - b'0' as u64)) & !(low + ONES * (0x7f - b'9' as u64));
        let hyphens = !((low ^ (ONES * b'-' as u64)) + ONES * 0x7f);
        let others = !((letters | digits | hyphens) & !eight) & HIGHS;
        if others != 0 {
            return at + before(others);
        }
        at += 8;
    }
    0
}

/// Finds the fields of a head, from this place on to the empty line at its end.
pub(super) fn fields(head: &[u8], start: usize) -> Result<Found, HeadError> {
    let mut found = Found::default();
    let mut at = start;
    loop {
        let line = &head[at..];
        if line == b"\r\n" {
            return Ok(found);
        }
        let (name, has_underscore) = name(line)?;
        let value = &line[name.len() + 1..];
        let value = &value[..value_length(value)];
        let length = name.len() + 1 + value.len();
        if !line[length..].starts_with(b"\r\n") {
            return Err(HeadError::Malformed(
                "The value of a header holds a control character.",
            ));
        }
        if found.len() == MAX_FIELDS {
            return Err(HeadError::TooLarge);
        }
        found.push(at, name, value, has_underscore);
        at += length + 2;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What httparse, which forgives more, makes of a request's head.
    fn parsed(head: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut slots = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut slots);
        let is_whole = request.parse(head).is_ok_and(|parsed| parsed.is_complete());
        is_whole.then(|| {
            let fields = request.headers.iter();
            let pair = |field: &httparse::Header<'_>| {
                let value = field.value.trim_ascii();
                (field.name.as_bytes().to_vec(), value.to_vec())
            };
            fields.map(pair).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn what_passes_is_what_another_parser_reads(
            head in "(GET|P[ -~]{1,3}) /[!-~]{0,4}[ \u{e4}\r]? ?HTTP/1\\.[01]\r\n([A-Za-z_(-]{1,4}[: \t\u{1}]{1,3}[ -~\t\u{e4}\u{7f}]{0,6}\r?\n){0,4}\r\n"
        ) {
            let head = head.as_bytes();
            let Ok(line) = request_line(head) else {
                return Ok(());
            };
            let Ok(found) = fields(head, line.length) else {
                return Ok(());
            };
            let fields = found.into_fields(bytes::Bytes::copy_from_slice(head));
            let fields: Vec<(Vec<u8>, Vec<u8>)> = fields
                .iter()
                .map(|(name, value)| (name.to_vec(), value.to_vec()))
                .collect();
            prop_assert_eq!(Some(fields), parsed(head));
        }

        #[test]
        fn eight_bytes_at_a_time_are_as_good_as_one(
            bytes in prop::collection::vec(prop_oneof![Just(b'\t'), Just(0x7f), any::<u8>(), b' '..b'~', b'a'..=b'z'], 0..40)
        ) {
            prop_assert_eq!(value_length(&bytes), length_of(VALUE, &bytes));
            let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
            let plain = bytes.iter().position(|byte| !is_plain(byte));
            let plain = plain.filter(|plain| plain / 8 * 8 + 8 <= bytes.len());
            prop_assert_eq!(plain_length(&bytes), plain.unwrap_or(0));
            let place = bytes.iter().position(|byte| *byte == b':');
            prop_assert_eq!(find_near(b':', &bytes), place);
        }

        #[test]
        fn a_plain_request_passes(
            pairs in prop::collection::vec(("[A-Za-z0-9-]{1,9}", "([!-~]([ -~]{0,9}[!-~])?)?"), 0..9),
        ) {
            let lines = pairs.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
            let head = format!("POST /v1/x?y HTTP/1.1\r\n{}\r\n", lines.collect::<String>());
            let line = request_line(head.as_bytes()).expect("a request line");
            prop_assert_eq!(&head[line.target.clone()], "/v1/x?y");
            let found = fields(head.as_bytes(), line.length).expect("fields");
            prop_assert_eq!(found.len(), pairs.len());
        }
    }

    #[test]
    fn a_status_line_is_one() {
        for (line, status, reason) in [
            ("HTTP/1.1 200 OK\r\n", 200, None),
            ("HTTP/1.0 200 Fine\r\n", 200, Some("Fine")),
            ("HTTP/1.1 200\r\n", 200, Some("")),
            ("HTTP/1.1 299 \r\n", 299, Some("")),
        ] {
            let found = status_line(line.as_bytes()).expect(line);
            assert_eq!(found.status.as_u16(), status);
            let said = found.reason.as_ref().map(ReasonPhrase::as_bytes);
            assert_eq!(said, reason.map(str::as_bytes), "{line}");
            assert_eq!(found.length, line.len());
        }
        for line in [
            "HTTP/1.1 20\r\n",
            "HTTP/1.1 2000 OK\r\n",
            "HTTP/1.1  200 OK\r\n",
            "HTTP/1.1 099 OK\r\n",
            "HTTP/1.1 200 O\u{1}K\r\n",
            "HTTP/2.0 200 OK\r\n",
            "HTTP/1.1",
            "\r\n",
        ] {
            assert!(status_line(line.as_bytes()).is_err(), "{line}");
        }
    }
}
