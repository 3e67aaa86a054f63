//! Chunks (RFC 9112 section 7.1): a strict decoder, and the encoding of what goes out.

use bytes::{Buf, BufMut, BytesMut};
use http::HeaderMap;

use super::framing::Piece;
use super::grammar;
use crate::fields::Fields;

/// The longest line before a chunk, in bytes; extensions are ignored.
const MAX_LINE: usize = 1024;
/// All extensions of one body, in bytes: they carry nothing and cost work.
const MAX_EXTENSIONS: usize = 16 * 1024;
/// All trailers of one body, in bytes.
const MAX_TRAILERS: usize = 16 * 1024;

/// Where in a chunked body the decoder stands.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    extensions: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Before a line with a size.
    Size,
    /// Within a chunk, with so many bytes to come.
    Data(u64),
    /// Before the line end behind a chunk.
    DataEnd,
    /// Behind the last chunk.
    Trailers,
}

impl Chunked {
    pub(super) fn new() -> Chunked {
        Chunked {
            state: State::Size,
            extensions: 0,
        }
    }

    /// The next piece. The last chunk without trailers is [`Piece::End`].
    pub(super) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Piece, &'static str> {
        loop {
            match self.state {
                State::Size => match self.take_size(buffer)? {
                    None => return Ok(Piece::Starved),
                    Some(0) => self.state = State::Trailers,
                    Some(size) => self.state = State::Data(size),
                },
                State::Data(_) if buffer.is_empty() => return Ok(Piece::Starved),
                State::Data(left) => {
                    let whole = usize::try_from(left).unwrap_or(usize::MAX);
                    let taken = buffer.split_to(whole.min(buffer.len()));
                    let left = left - u64::try_from(taken.len()).unwrap_or(u64::MAX);
                    self.state = if left == 0 {
                        State::DataEnd
                    } else {
                        State::Data(left)
                    };
                    return Ok(Piece::Data(taken.freeze()));
                }
                State::DataEnd => {
                    if !take_line_end(buffer)? {
                        return Ok(Piece::Starved);
                    }
                    self.state = State::Size;
                }
                State::Trailers => return take_trailers(buffer),
            }
        }
    }

    /// Takes a line `size [; extension] CR LF`.
    fn take_size(&mut self, buffer: &mut BytesMut) -> Result<Option<u64>, &'static str> {
        let Some(end) = memchr::memchr(b'\n', buffer) else {
            if buffer.len() > MAX_LINE {
                return Err("The line before a chunk is too long.");
            }
            // A wrong size is refused at once, not only when its line ends.
            check_size_prefix(buffer)?;
            return Ok(None);
        };
        let line = buffer[..end].strip_suffix(b"\r");
        let line = line.ok_or("The line before a chunk ends without a carriage return.")?;
        if line.len() > MAX_LINE {
            return Err("The line before a chunk is too long.");
        }
        let digits = hex_digits(line);
        let size = parse_size(&line[..digits])?;
        // Blanks and tabs alone (RFC 9110 section 5.6.3): what else counts as white space elsewhere
        // would be read differently by others.
        let blanks = line[digits..]
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'));
        let extension = &line[digits + blanks.count()..];
        if !(extension.is_empty() && line.len() == digits || extension.starts_with(b";")) {
            return Err("A chunk's size is followed by something else.");
        }
        if extension
            .iter()
            .any(|byte| byte.is_ascii_control() && *byte != b'\t')
        {
            return Err("A chunk's extension holds a control character.");
        }
        self.extensions += extension.len();
        if self.extensions > MAX_EXTENSIONS {
            return Err("The chunks carry too many extensions.");
        }
        buffer.advance(end + 1);
        Ok(Some(size))
    }
}

fn hex_digits(line: &[u8]) -> usize {
    line.iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count()
}

fn parse_size(digits: &[u8]) -> Result<u64, &'static str> {
    // 16 digits would be a whole 64-bit number; nobody sends chunks of more than 15.
    if digits.is_empty() || digits.len() > 15 {
        return Err("A chunk's size is not a hexadecimal number.");
    }
    let text = std::str::from_utf8(digits).unwrap_or_default();
    u64::from_str_radix(text, 16).map_err(|_| "A chunk's size is not a hexadecimal number.")
}

fn check_size_prefix(line: &[u8]) -> Result<(), &'static str> {
    let digits = hex_digits(line);
    let is_fine = digits <= 15
        && match line.get(digits) {
            None => true,
            Some(byte) => digits > 0 && matches!(byte, b';' | b' ' | b'\t' | b'\r'),
        };
    if is_fine {
        return Ok(());
    }
    Err("A chunk's size is not a hexadecimal number.")
}

fn take_line_end(buffer: &mut BytesMut) -> Result<bool, &'static str> {
    let seen = &buffer[..buffer.len().min(2)];
    if !b"\r\n".starts_with(seen) {
        return Err("A chunk is longer than its size says.");
    }
    if seen.len() < 2 {
        return Ok(false);
    }
    buffer.advance(2);
    Ok(true)
}

/// Takes lines up to and with the empty one.
fn take_trailers(buffer: &mut BytesMut) -> Result<Piece, &'static str> {
    let Some(end) = find_end(buffer)? else {
        if buffer.len() > MAX_TRAILERS {
            return Err("The trailers are too long.");
        }
        return Ok(Piece::Starved);
    };
    let bytes = buffer.split_to(end).freeze();
    if bytes.len() <= 2 {
        return Ok(Piece::End);
    }
    let found = grammar::fields(&bytes, 0);
    let found = found.map_err(|_| "The trailers are not header fields.")?;
    Ok(Piece::Trailers(found.into_fields(bytes).to_map()))
}

/// Where the lines end, the empty one included.
fn find_end(buffer: &BytesMut) -> Result<Option<usize>, &'static str> {
    let mut start = 0;
    for at in memchr::memchr_iter(b'\n', buffer) {
        let line = buffer[start..at].strip_suffix(b"\r");
        let line = line.ok_or("A trailer ends without a carriage return.")?;
        if line.is_empty() {
            return Ok(Some(at + 1));
        }
        start = at + 1;
    }
    Ok(None)
}

/// Writes the line before a chunk of this size.
pub(super) fn write_size(out: &mut BytesMut, size: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 16];
    let mut at = text.len();
    let mut left = size;
    while left > 0 || at == text.len() {
        at -= 1;
        text[at] = DIGITS[left % 16];
        left /= 16;
    }
    out.put_slice(&text[at..]);
    out.put_slice(b"\r\n");
}

/// Writes the last chunk and the trailers.
pub(super) fn write_end(out: &mut BytesMut, trailers: Option<&HeaderMap>) {
    out.put_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        Fields::from(trailers).write(out);
    }
    out.put_slice(b"\r\n");
}
