//! Writes answers in exactly the bytes that are wanted, the broken ones included.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::answer::{Answer, Body};
use crate::script::{Hang, Script};

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It may serve again.
    Keep,
    /// It is closed.
    Close,
    /// It is reset.
    Reset,
    /// It stays open and silent until the client leaves.
    Hang,
}

/// Counts down to the byte of the body at which an answer is cut.
struct Cut {
    left: Option<usize>,
    ending: Ending,
}

/// Writes an answer as the script wants it. `is_head`: the request was a HEAD.
pub(crate) async fn write_answer<W: AsyncWrite + Unpin>(
    out: &mut W,
    answer: Answer,
    script: &Script,
    is_head: bool,
    keep: bool,
    pause: Duration,
) -> io::Result<Ending> {
    if script.garbage {
        out.write_all(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
            .await?;
        out.flush().await?;
        return Ok(Ending::Close);
    }
    if script.hang == Some(Hang::Head) {
        return Ok(Ending::Hang);
    }
    let close = !keep || script.close;
    if script.half_close {
        out.shutdown().await?;
        return Ok(Ending::Hang);
    }
    let head = head_bytes(&answer, script, close);
    for (at, ending) in [
        (script.reset_head, Ending::Reset),
        (script.cut_head, Ending::Close),
    ] {
        if let Some(at) = at {
            write_dripped(out, &head[..at.min(head.len())], script.drip).await?;
            return Ok(ending);
        }
    }
    write_dripped(out, &head, script.drip).await?;
    let after = if close { Ending::Close } else { Ending::Keep };
    if is_head {
        return Ok(after);
    }
    let mut cut = Cut::new(script);
    let pieces = match answer.body {
        Body::None => return Ok(after),
        Body::Whole(bytes) if script.hang == Some(Hang::Body) => {
            cut.write(out, &bytes[..bytes.len() / 2], script.drip)
                .await?;
            return Ok(Ending::Hang);
        }
        Body::Whole(bytes) => {
            if let Some(ending) = cut.write(out, &bytes, script.drip).await? {
                return Ok(ending);
            }
            if script.wrong_length.is_some_and(|off| off != 0) {
                return Ok(Ending::Close);
            }
            return Ok(after);
        }
        Body::Chunks(pieces) => pieces,
    };
    if let Some(ending) = write_chunks(out, &pieces, script, &mut cut, pause).await? {
        return Ok(ending);
    }
    let end = match script.trailers {
        true => &b"0\r\nX-Fake-Trailer: done\r\n\r\n"[..],
        false => &b"0\r\n\r\n"[..],
    };
    out.write_all(end).await?;
    out.flush().await?;
    Ok(after)
}

async fn write_chunks<W: AsyncWrite + Unpin>(
    out: &mut W,
    pieces: &[Bytes],
    script: &Script,
    cut: &mut Cut,
    pause: Duration,
) -> io::Result<Option<Ending>> {
    let pause = script.chunk_delay.unwrap_or(pause);
    for (at, piece) in pieces.iter().enumerate() {
        if at > 0 && !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        if at == 1 && !script.silence.is_zero() {
            tokio::time::sleep(script.silence).await;
        }
        if let Some(ending) = cut.write_chunk(out, piece, script.drip).await? {
            return Ok(Some(ending));
        }
        if script.cut_after == Some(at + 1) {
            return Ok(Some(Ending::Close));
        }
        if at == 0 && script.hang == Some(Hang::Body) {
            return Ok(Some(Ending::Hang));
        }
    }
    Ok(None)
}

impl Cut {
    fn new(script: &Script) -> Cut {
        match (script.reset_at, script.cut_at) {
            (Some(left), _) => Cut {
                left: Some(left),
                ending: Ending::Reset,
            },
            (None, left) => Cut {
                left,
                ending: Ending::Close,
            },
        }
    }

    /// Writes bytes of the body; the ending where the cut falls among them.
    async fn write<W: AsyncWrite + Unpin>(
        &mut self,
        out: &mut W,
        bytes: &[u8],
        drip: Option<Duration>,
    ) -> io::Result<Option<Ending>> {
        let now = self.left.map_or(bytes.len(), |left| left.min(bytes.len()));
        write_dripped(out, &bytes[..now], drip).await?;
        if let Some(left) = &mut self.left {
            *left -= now;
            if *left == 0 {
                return Ok(Some(self.ending));
            }
        }
        Ok(None)
    }

    async fn write_chunk<W: AsyncWrite + Unpin>(
        &mut self,
        out: &mut W,
        piece: &[u8],
        drip: Option<Duration>,
    ) -> io::Result<Option<Ending>> {
        if drip.is_none() && self.left.is_none_or(|left| left > piece.len()) {
            // One write, so that a chunk is one segment as a real server sends it.
            let mut framed = format!("{:x}\r\n", piece.len()).into_bytes();
            framed.extend_from_slice(piece);
            framed.extend_from_slice(b"\r\n");
            out.write_all(&framed).await?;
            out.flush().await?;
            self.left = self.left.map(|left| left - piece.len());
            return Ok(None);
        }
        out.write_all(format!("{:x}\r\n", piece.len()).as_bytes())
            .await?;
        if let Some(ending) = self.write(out, piece, drip).await? {
            return Ok(Some(ending));
        }
        write_dripped(out, b"\r\n", drip).await?;
        Ok(None)
    }
}

async fn write_dripped<W: AsyncWrite + Unpin>(
    out: &mut W,
    bytes: &[u8],
    drip: Option<Duration>,
) -> io::Result<()> {
    match drip {
        None => out.write_all(bytes).await?,
        Some(pause) => {
            for byte in bytes {
                out.write_all(&[*byte]).await?;
                out.flush().await?;
                tokio::time::sleep(pause).await;
            }
        }
    }
    out.flush().await
}

fn head_bytes(answer: &Answer, script: &Script, close: bool) -> Vec<u8> {
    let reason = http::StatusCode::from_u16(answer.status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Unknown");
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    for (name, value) in &script.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match &answer.body {
        Body::None => {}
        Body::Whole(bytes) => {
            let off = script.wrong_length.unwrap_or_default();
            let length = i64::try_from(bytes.len())
                .unwrap_or(i64::MAX)
                .saturating_add(off);
            head.push_str(&format!("content-length: {}\r\n", length.max(0)));
        }
        Body::Chunks(_) => {
            head.push_str("transfer-encoding: chunked\r\n");
            if script.trailers {
                head.push_str("trailer: X-Fake-Trailer\r\n");
            }
        }
    }
    if close {
        head.push_str("connection: close\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}
