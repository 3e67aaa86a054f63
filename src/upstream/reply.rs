//! The upstream's answer: its head, and a body that keeps the connection until its end.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::fault::Fault;
use super::headers;
use super::pool::Lease;
use super::upload::Upload;
use crate::wire::{
    Answer, Decoder, HeadError, HeadScan, Link, Pace, Piece, ResponseHead, parse_response,
};

/// An answer whose body has yet to come: status and fields as far as the client may see them.
pub type Reply = Answer<ReplyBody>;

/// One exchange over one connection, as long as something of it is on its way.
pub(super) struct Exchange {
    pub(super) lease: Lease,
    pub(super) upload: Upload,
    silence: Pace,
    /// Whether the request asked for another protocol.
    may_switch: bool,
}

impl Exchange {
    /// Boxed, because the body of its answer takes it along.
    pub(super) fn new(mut lease: Lease, upload: Upload, read_timeout: Duration) -> Box<Exchange> {
        Box::new(Exchange {
            silence: Pace::of_silence(read_timeout).with_timer(lease.take_timer()),
            lease,
            upload,
            may_switch: false,
        })
    }

    /// The same, where the request asks for another protocol.
    pub(super) fn switching(mut self: Box<Self>) -> Box<Exchange> {
        self.may_switch = true;
        self
    }

    /// The connection, once it speaks another protocol.
    pub(super) fn into_link(self) -> Link {
        self.lease.into_link()
    }

    /// Sends, and waits for the head of the answer.
    pub(super) async fn head(&mut self, method: &Method) -> Result<ResponseHead, Fault> {
        let mut scan = HeadScan::default();
        poll_fn(|cx| self.poll_head(cx, method, &mut scan)).await
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        method: &Method,
        scan: &mut HeadScan,
    ) -> Poll<Result<ResponseHead, Fault>> {
        self.upload.poll(cx, self.lease.link())?;
        loop {
            let link = self.lease.link();
            let parsed = match link.input.is_empty() {
                true => Ok(None),
                false => parse_response(&mut link.input, scan, method),
            };
            match parsed {
                // 100, 102 and 103 are between neighbours.
                Ok(Some(head)) if head.status.is_informational() => {
                    if head.status == StatusCode::SWITCHING_PROTOCOLS {
                        if self.may_switch {
                            return Poll::Ready(Ok(head));
                        }
                        let why = "it switches protocols unasked".to_owned();
                        return Poll::Ready(Err(Fault::Broken(why)));
                    }
                    continue;
                }
                Ok(Some(head)) => return Poll::Ready(Ok(head)),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(not_http(error))),
            }
            match link.poll_fill(cx) {
                Poll::Ready(Ok(true)) => self.silence.came(1),
                Poll::Ready(Ok(false)) => return Poll::Ready(Err(self.closed())),
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(Fault::Broken(error.to_string())));
                }
                Poll::Pending => return self.poll_silence(cx).map(Err),
            }
        }
    }

    /// Nothing came. While the client still sends, that is what was to be expected.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        if !self.upload.is_over() {
            return Poll::Pending;
        }
        self.silence.poll_too_slow(cx).map(|()| Fault::ReadTimeout)
    }

    fn closed(&self) -> Fault {
        let why = self.upload.breakage().unwrap_or("closed without an answer");
        Fault::Broken(why.to_owned())
    }
}

fn not_http(error: HeadError) -> Fault {
    Fault::Broken(match error {
        HeadError::TooLarge => "the head of its answer is too large".to_owned(),
        HeadError::Malformed(why) => format!("its answer is not HTTP: {why}"),
        HeadError::Version | HeadError::Tls => "its answer is not HTTP/1.1".to_owned(),
    })
}

/// The answer's bytes as they come. Its end gives the connection back, its drop closes it.
pub struct ReplyBody {
    exchange: Option<Box<Exchange>>,
    decoder: Decoder,
    keep_alive: bool,
}

impl ReplyBody {
    pub(super) fn new(exchange: Box<Exchange>, head: &ResponseHead) -> ReplyBody {
        let mut body = ReplyBody {
            exchange: Some(exchange),
            decoder: Decoder::new(head.framing),
            keep_alive: head.keep_alive,
        };
        body.release_at_end();
        body
    }

    /// Lets the request's body go on while nobody takes more of the answer.
    pub fn poll_upload(&mut self, cx: &mut Context<'_>) {
        if let Some(exchange) = &mut self.exchange {
            // What goes wrong shows when the answer is read on.
            let _ = exchange.upload.poll(cx, exchange.lease.link());
        }
    }

    /// The connection may serve again, unless the request's body is still on its way.
    fn release_at_end(&mut self) {
        if self.decoder.is_ended()
            && let Some(exchange) = self.exchange.take()
            && self.keep_alive
            && exchange.upload.is_done()
        {
            let Exchange { lease, silence, .. } = *exchange;
            lease.give_back(silence.into_timer());
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Fault>> {
        let Some(exchange) = &mut self.exchange else {
            return Poll::Ready(Ok(Piece::End));
        };
        exchange.upload.poll(cx, exchange.lease.link())?;
        loop {
            let link = exchange.lease.link();
            let piece = self.decoder.decode(&mut link.input);
            match piece.map_err(|why| Fault::Broken(why.to_owned()))? {
                Piece::Starved => {}
                piece => return Poll::Ready(Ok(piece)),
            }
            match link.poll_fill(cx) {
                Poll::Ready(Ok(true)) => exchange.silence.came(1),
                Poll::Ready(Ok(false)) if self.decoder.end_of_stream() => {
                    return Poll::Ready(Ok(Piece::End));
                }
                Poll::Ready(Ok(false)) => {
                    let why = "closed in the middle of its answer".to_owned();
                    return Poll::Ready(Err(Fault::Broken(why)));
                }
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(Fault::Broken(error.to_string())));
                }
                Poll::Pending => return exchange.poll_silence(cx).map(Err),
            }
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let body = self.get_mut();
        let piece = ready!(body.poll_piece(cx));
        let frame = match piece {
            Ok(Piece::Data(bytes)) => Some(Ok(Frame::data(bytes))),
            Ok(Piece::Trailers(mut trailers)) => {
                headers::strip_response_trailers(&mut trailers);
                Some(Ok(Frame::trailers(trailers)))
            }
            Ok(Piece::End) => None,
            // Filled above, or an error: a cut answer never looks like its end.
            Ok(Piece::Starved) => Some(Err(Fault::Broken("cut".to_owned()))),
            Err(fault) => {
                body.exchange = None;
                Some(Err(fault))
            }
        };
        body.release_at_end();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.decoder.is_ended()
    }

    fn size_hint(&self) -> SizeHint {
        let exact = self.decoder.remaining();
        exact.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
