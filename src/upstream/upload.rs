//! A request on its way up: head and body, written as the upstream takes them.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use http_body::Body as _;

use super::body::{RequestBody, Sent};
use super::fault::Fault;
use crate::fields::Fields;
use crate::wire::{Link, Output, Pace, write_request};

/// What is taken from the client before it is written, in bytes.
const GATHER: usize = 16 * 1024;

/// One request, wherever it goes.
pub(super) struct Upload {
    body: RequestBody,
    output: Output,
    is_chunked: bool,
    /// All of the body waits in the output, or has gone.
    has_ended: bool,
    has_left: bool,
    /// Why the upstream takes no more; its answer may say more.
    breakage: Option<String>,
    pace: Pace,
}

impl Upload {
    /// A request to send. Framing follows the fields: a length that they name, chunks otherwise.
    pub(super) fn new(
        method: &Method,
        target: &[u8],
        mut fields: Fields,
        body: RequestBody,
        write_timeout: Duration,
    ) -> Upload {
        let has_length = fields.contains(&header::CONTENT_LENGTH);
        let mut is_chunked = false;
        if !has_length && !body.is_end_stream() {
            match body.size_hint().exact() {
                Some(length) => fields.append(&header::CONTENT_LENGTH, &length.into()),
                None => {
                    let chunked = HeaderValue::from_static("chunked");
                    fields.append(&header::TRANSFER_ENCODING, &chunked);
                    is_chunked = true;
                }
            };
        }
        let mut output = Output::default();
        output.write(|out| write_request(out, method, target, &fields));
        Upload {
            is_chunked,
            has_ended: body.is_end_stream(),
            body,
            output,
            has_left: false,
            breakage: None,
            pace: Pace::of_silence(write_timeout),
        }
    }

    /// The same, for another connection; sensible only where nothing of it has left.
    pub(super) fn anew(mut self) -> Upload {
        self.breakage = None;
        self
    }

    /// Whether any byte of the request has left.
    pub(super) fn has_left(&self) -> bool {
        self.has_left
    }

    /// Whether all of it has left, so that the connection may serve again.
    pub(super) fn is_done(&self) -> bool {
        self.has_ended && self.output.is_empty() && self.breakage.is_none()
    }

    /// Whether nothing of it will go any more, so that only the upstream can move.
    pub(super) fn is_over(&self) -> bool {
        self.is_done() || self.breakage.is_some()
    }

    /// Why the upstream took no more.
    pub(super) fn breakage(&self) -> Option<&str> {
        self.breakage.as_deref()
    }

    /// Moves what can be moved now. A fault is the client's, or a limit that was reached.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, link: &mut Link) -> Result<(), Fault> {
        while !self.is_over() {
            self.gather(cx)?;
            if self.output.is_empty() {
                // The client's own slowness is not the upstream's fault.
                self.pace.rest();
                return Ok(());
            }
            match self.output.poll_write(cx, link.io()) {
                Poll::Ready(Ok(written)) => {
                    self.has_left = true;
                    self.pace.came(written);
                }
                Poll::Ready(Err(error)) => self.breakage = Some(error.to_string()),
                Poll::Pending => {
                    if self.output.len() >= GATHER {
                        self.body.pause();
                    }
                    return match self.pace.poll_too_slow(cx) {
                        Poll::Ready(()) => Err(Fault::WriteTimeout),
                        Poll::Pending => Ok(()),
                    };
                }
            }
        }
        Ok(())
    }

    fn gather(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        while !self.has_ended && self.output.len() < GATHER {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                return Ok(());
            };
            let mut trailers = None;
            match frame {
                Some(Err(error)) => return Err(Fault::Client(error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if self.is_chunked => self.output.push_chunk(bytes),
                    Ok(bytes) => self.output.push(bytes),
                    Err(frame) => trailers = frame.into_trailers().ok(),
                },
                None => self.has_ended = true,
            }
            if trailers.is_some() || self.body.is_end_stream() {
                self.has_ended = true;
            }
            if self.has_ended {
                if self.is_chunked {
                    self.output.push_last_chunk(trailers.as_ref());
                }
                // What goes on may outlive the client, whose connection this must not hold.
                self.body = RequestBody::whole(Bytes::new(), Sent::default());
            }
        }
        Ok(())
    }
}
