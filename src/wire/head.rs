//! Heads: parsed strictly, written plainly. What two parsers could read differently is an error.

use std::sync::LazyLock;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{Method, StatusCode, Version, header};
use hyper::ext::ReasonPhrase;
use memchr::memmem::Finder;

use super::framing::Framing;
use super::grammar;
use super::target::Target;
use crate::fields::{self, Fields};

/// The longest head, in bytes, its first line included.
pub const MAX_HEAD: usize = 64 * 1024;
/// The most fields in a head.
pub const MAX_FIELDS: usize = 256;
/// Empty lines before a request that are forgiven (RFC 9112 section 2.2).
const MAX_EMPTY_LINES: usize = 4;

/// The type of the record that begins one (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// Why a head is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// More than 64 KiB, or more than 256 fields.
    TooLarge,
    /// Breaks the grammar, or could be read in two ways.
    Malformed(&'static str),
    /// Neither HTTP/1.1 nor HTTP/1.0.
    Version,
    /// A TLS handshake.
    Tls,
}

/// The head of a request.
#[derive(Debug)]
pub struct RequestHead {
    /// As sent.
    pub method: Method,
    /// As sent; any form, any byte that the grammar of a line allows.
    pub target: Target,
    /// 1.0 or 1.1.
    pub version: Version,
    /// The fields.
    pub fields: Fields,
    /// How the body is delimited.
    pub framing: Framing,
    /// Whether the client keeps the connection.
    pub keep_alive: bool,
}

/// The head of an answer.
#[derive(Debug)]
pub struct ResponseHead {
    /// As sent.
    pub status: StatusCode,
    /// Where it differs from the status's usual one.
    pub reason: Option<ReasonPhrase>,
    /// The fields.
    pub fields: Fields,
    /// How the body is delimited.
    pub framing: Framing,
    /// Whether the connection may serve again.
    pub keep_alive: bool,
}

/// What is known of a head that is not there whole yet. Each head begins with a new one.
#[derive(Debug, Default)]
pub struct HeadScan {
    /// Bytes of the buffer in which no head ends.
    searched: usize,
    /// Empty lines taken off before the head.
    empty_lines: usize,
}

/// Takes a request head off the buffer. `None`: more bytes are needed.
pub fn parse_request(
    buffer: &mut BytesMut,
    scan: &mut HeadScan,
) -> Result<Option<RequestHead>, HeadError> {
    skip_empty_lines(buffer, scan)?;
    if buffer.first() == Some(&TLS_HANDSHAKE) {
        return Err(HeadError::Tls);
    }
    let Some(bytes) = take_head(buffer, &mut scan.searched)? else {
        return Ok(None);
    };
    let line = grammar::request_line(&bytes)?;
    let version = line.version;
    let fields = grammar::fields(&bytes, line.length)?.into_fields(bytes);
    let framing = request_framing(version, &fields)?;
    let keep_alive =
        version == Version::HTTP_11 && !fields::lists(&fields, &header::CONNECTION, "close");
    Ok(Some(RequestHead {
        method: line.method,
        target: Target::new(fields.head().slice(line.target)),
        version,
        fields,
        framing,
        keep_alive,
    }))
}

/// Takes the head of an answer to `method` off the buffer; otherwise as [`parse_request`].
pub fn parse_response(
    buffer: &mut BytesMut,
    scan: &mut HeadScan,
    method: &Method,
) -> Result<Option<ResponseHead>, HeadError> {
    let Some(bytes) = take_head(buffer, &mut scan.searched)? else {
        return Ok(None);
    };
    let line = grammar::status_line(&bytes)?;
    let fields = grammar::fields(&bytes, line.length)?.into_fields(bytes);
    let framing = response_framing(line.status, method, &fields)?;
    let keep_alive = line.version == Version::HTTP_11
        && framing != Framing::UntilClose
        && !fields::lists(&fields, &header::CONNECTION, "close");
    Ok(Some(ResponseHead {
        status: line.status,
        reason: line.reason,
        fields,
        framing,
        keep_alive,
    }))
}

/// What ends a head.
static END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

/// Cuts the first head off the buffer, if it is there whole. Lines end in CR LF, nothing else.
fn take_head(buffer: &mut BytesMut, searched: &mut usize) -> Result<Option<Bytes>, HeadError> {
    // Mostly it is. A line before its end that ends otherwise is no line to the grammar either.
    let start = searched.saturating_sub(END.needle().len());
    if let Some(found) = END.find(&buffer[start..]) {
        let end = start + found + END.needle().len();
        if end > MAX_HEAD {
            return Err(HeadError::TooLarge);
        }
        *searched = 0;
        // Copied, because it may stay for as long as its exchange, and the buffer is wanted again.
        let head = Bytes::copy_from_slice(&buffer[..end]);
        buffer.advance(end);
        return Ok(Some(head));
    }
    while let Some(found) = memchr::memchr(b'\n', &buffer[*searched..]) {
        let at = *searched + found;
        if at == 0 || buffer[at - 1] != b'\r' {
            return Err(HeadError::Malformed(
                "A line ends without a carriage return.",
            ));
        }
        *searched = at + 1;
        if at == 1 {
            return Err(HeadError::Malformed("The head begins with an empty line."));
        }
    }
    *searched = buffer.len();
    if buffer.len() >= MAX_HEAD {
        return Err(HeadError::TooLarge);
    }
    Ok(None)
}

fn skip_empty_lines(buffer: &mut BytesMut, scan: &mut HeadScan) -> Result<(), HeadError> {
    while scan.searched <= 2 && buffer.starts_with(b"\r\n") {
        buffer.advance(2);
        scan.searched = 0;
        scan.empty_lines += 1;
        if scan.empty_lines > MAX_EMPTY_LINES {
            return Err(HeadError::Malformed("The request begins with empty lines."));
        }
    }
    Ok(())
}

/// RFC 9112 section 6.3, with every ambiguous case refused.
fn request_framing(version: Version, fields: &Fields) -> Result<Framing, HeadError> {
    let length = content_length(fields)?;
    match (is_chunked(fields)?, length) {
        (true, Some(_)) => Err(HeadError::Malformed(
            "Content-Length and Transfer-Encoding exclude each other.",
        )),
        (true, None) if version == Version::HTTP_10 => {
            Err(HeadError::Malformed("HTTP/1.0 has no Transfer-Encoding."))
        }
        (true, None) => Ok(Framing::Chunked),
        (false, length) => Ok(Framing::Length(length.unwrap_or(0))),
    }
}

fn response_framing(
    status: StatusCode,
    method: &Method,
    fields: &Fields,
) -> Result<Framing, HeadError> {
    let length = content_length(fields)?;
    let chunked = is_chunked(fields)?;
    if *method == Method::HEAD || status.is_informational() || matches!(status.as_u16(), 204 | 304)
    {
        return Ok(Framing::Length(0));
    }
    match (chunked, length) {
        (true, Some(_)) => Err(HeadError::Malformed("its body has two lengths")),
        (true, None) => Ok(Framing::Chunked),
        (false, Some(length)) => Ok(Framing::Length(length)),
        (false, None) => Ok(Framing::UntilClose),
    }
}

fn content_length(fields: &Fields) -> Result<Option<u64>, HeadError> {
    let wrong = HeadError::Malformed("Content-Length must be one number.");
    let mut values = fields.get_all(&header::CONTENT_LENGTH);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(digits), None) => {
            let length = digits.iter().try_fold(0_u64, |length, digit| {
                let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
                length.checked_mul(10)?.checked_add(value)
            });
            length.filter(|_| !digits.is_empty()).map(Some).ok_or(wrong)
        }
        _ => Err(wrong),
    }
}

/// `chunked`, once, or nothing: every other list has been used to smuggle requests.
fn is_chunked(fields: &Fields) -> Result<bool, HeadError> {
    let mut values = fields.get_all(&header::TRANSFER_ENCODING);
    match (values.next(), values.next()) {
        (None, _) => Ok(false),
        (Some(value), None) if value.eq_ignore_ascii_case(b"chunked") => Ok(true),
        _ => Err(HeadError::Malformed(
            "Transfer-Encoding must be exactly `chunked`.",
        )),
    }
}

/// Writes the head of a request, empty line included.
pub fn write_request(out: &mut BytesMut, method: &Method, target: &[u8], fields: &Fields) {
    out.put_slice(method.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(target);
    out.put_slice(b" HTTP/1.1\r\n");
    fields.write(out);
    out.put_slice(b"\r\n");
}

/// Writes the head of an answer without its last, empty line, so that framing can follow.
pub fn write_response(
    out: &mut BytesMut,
    status: StatusCode,
    reason: Option<&ReasonPhrase>,
    fields: &Fields,
) {
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    match reason {
        Some(reason) => out.put_slice(reason.as_bytes()),
        None => out.put_slice(status.canonical_reason().unwrap_or_default().as_bytes()),
    }
    out.put_slice(b"\r\n");
    fields.write(out);
}
