//! One answer on its way to the client: head, body, framing, and how it ended.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use http_body::Body as _;

use super::http1::{Connection, Wishes};
use crate::edge::{Body, Socket};
use crate::fields::{self, Fields};
use crate::wire::{Answer, Inbound, Output, Pace, write_response};

/// What is taken from a body before it is written, in bytes: many small chunks make one write.
const GATHER: usize = 16 * 1024;

/// What becomes of a connection after an answer.
pub(super) enum Ending {
    /// It waits for the next request.
    Kept,
    /// It is closed in peace.
    Closed,
    /// It is reset: what was sent must not look whole.
    Cut,
    /// The client has left.
    Gone,
    /// It becomes a socket.
    Switched(Switched),
}

/// A connection's new life, and the head of the answer that begins it.
pub(super) struct Switched {
    pub(super) socket: Box<Socket>,
    pub(super) head: Vec<u8>,
}

impl Switched {
    pub(super) fn new(socket: Box<Socket>, status: StatusCode, fields: &Fields) -> Switched {
        let mut head = BytesMut::new();
        write_response(&mut head, status, None, fields);
        head.extend_from_slice(b"\r\n");
        Switched {
            socket,
            head: head.into(),
        }
    }
}

/// How the client tells where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delimiter {
    /// There is no body.
    Nothing,
    /// The length was announced.
    Length,
    Chunks,
    /// The connection closes.
    Close,
}

/// An answer that is being written.
pub(super) struct Answering {
    body: Body,
    output: Output,
    delimiter: Delimiter,
    trailers: bool,
    is_kept: bool,
    has_ended: bool,
    is_broken: bool,
    pace: Pace,
}

impl Answering {
    pub(super) fn new(
        connection: &Connection<'_>,
        answer: Answer<Body>,
        wishes: Wishes,
    ) -> Answering {
        let Answer {
            status,
            reason,
            mut fields,
            body,
        } = answer;
        let delimiter = delimiter(status, &mut fields, &body, wishes);
        let is_read = {
            let mut inbound = Inbound::lock(&connection.inbound);
            inbound.answered();
            inbound.is_read()
        };
        let says_close = fields::lists(&fields, &header::CONNECTION, "close");
        let is_kept = wishes.keep_alive
            && is_read
            && !says_close
            && delimiter != Delimiter::Close
            && !connection.is_closing();
        if !is_kept && !says_close {
            let close = HeaderValue::from_static("close");
            fields.insert(&header::CONNECTION, &close);
        }
        let mut output = Output::default();
        output.write(|out| {
            write_response(out, status, reason.as_ref(), &fields);
            if delimiter == Delimiter::Chunks {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
            out.extend_from_slice(b"\r\n");
        });
        Answering {
            body,
            output,
            delimiter,
            trailers: wishes.trailers,
            is_kept,
            has_ended: delimiter == Delimiter::Nothing,
            is_broken: false,
            pace: Pace::of_progress(connection.limits.write_timeout),
        }
    }

    /// Moves bytes until the answer has ended, one way or the other.
    pub(super) fn poll(
        &mut self,
        connection: &mut Connection<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Ending> {
        loop {
            self.gather(cx);
            if self.output.is_empty() {
                if self.has_ended || self.is_broken {
                    return Poll::Ready(self.ending());
                }
                return connection.poll_gone(cx).map(|()| self.gone());
            }
            let written = {
                let mut inbound = Inbound::lock(&connection.inbound);
                match inbound.poll_interim(cx) {
                    Poll::Ready(Ok(())) => self.output.poll_write(cx, inbound.link.io()),
                    Poll::Ready(Err(_)) => return Poll::Ready(self.gone()),
                    Poll::Pending => Poll::Pending,
                }
            };
            match written {
                Poll::Ready(Ok(written)) => self.pace.came(written),
                Poll::Ready(Err(_)) => return Poll::Ready(self.gone()),
                Poll::Pending => {
                    // The client may have to send before it can take more.
                    self.body.poll_upload(cx);
                    if self.body.poll_revoked(cx).is_ready() {
                        return Poll::Ready(Ending::Cut);
                    }
                    return self.pace.poll_too_slow(cx).map(|()| self.stalled());
                }
            }
        }
    }

    /// Takes from the body what is there, up to a bound.
    fn gather(&mut self, cx: &mut Context<'_>) {
        while !self.has_ended && !self.is_broken && self.output.len() < GATHER {
            let body = &mut self.body;
            let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(cx)));
            match polled {
                Ok(Poll::Pending) => return,
                Ok(Poll::Ready(None)) => self.end(None),
                Ok(Poll::Ready(Some(Ok(frame)))) => match frame.into_data() {
                    Ok(bytes) if self.delimiter == Delimiter::Chunks => {
                        self.output.push_chunk(bytes);
                    }
                    Ok(bytes) => self.output.push(bytes),
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        self.end(self.trailers.then_some(&trailers));
                    }
                },
                Ok(Poll::Ready(Some(Err(_)))) => self.is_broken = true,
                Err(_) => {
                    self.body.panicked();
                    self.is_broken = true;
                }
            }
            if !self.has_ended && self.delimiter == Delimiter::Length && self.body.is_end_stream() {
                self.end(None);
            }
        }
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) {
        self.has_ended = true;
        if self.delimiter == Delimiter::Chunks {
            self.output.push_last_chunk(trailers);
        }
    }

    fn ending(&self) -> Ending {
        if self.is_broken {
            // A missing last chunk, or length, shows the cut; a missing close does not.
            let is_visible = self.delimiter != Delimiter::Close;
            return if is_visible {
                Ending::Closed
            } else {
                Ending::Cut
            };
        }
        if self.is_kept {
            Ending::Kept
        } else {
            Ending::Closed
        }
    }

    fn gone(&mut self) -> Ending {
        self.body.gone();
        Ending::Gone
    }

    fn stalled(&mut self) -> Ending {
        self.body.stalled();
        Ending::Cut
    }
}

/// How the body is delimited; adds the length where it is known.
fn delimiter(status: StatusCode, fields: &mut Fields, body: &Body, wishes: Wishes) -> Delimiter {
    let length = body.size_hint().exact();
    let is_announced = fields.contains(&header::CONTENT_LENGTH);
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        fields.remove(&header::CONTENT_LENGTH);
        return Delimiter::Nothing;
    }
    if status == StatusCode::NOT_MODIFIED {
        return Delimiter::Nothing;
    }
    if wishes.is_head {
        // A relayed answer to HEAD has a length or none, as the upstream likes.
        if let Some(length) = length.filter(|length| *length > 0 && !is_announced) {
            fields.insert(&header::CONTENT_LENGTH, &HeaderValue::from(length));
        }
        return Delimiter::Nothing;
    }
    if is_announced {
        return Delimiter::Length;
    }
    if let Some(length) = length {
        fields.insert(&header::CONTENT_LENGTH, &HeaderValue::from(length));
        return Delimiter::Length;
    }
    if wishes.version == Version::HTTP_11 {
        Delimiter::Chunks
    } else {
        Delimiter::Close
    }
}
