//! The body of a client's request, whichever version of HTTP carries it.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::framing::{Decoder, Piece};
use super::link::Link;
use super::pace::Pace;

/// RFC 9110 section 15.2.1.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Why a client's body ended badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The client left.
    Gone,
    /// The chunks are not chunks.
    Malformed(&'static str),
    /// Too little came for too long.
    TooSlow,
    /// More came than `MAX_BODY_BYTES`.
    TooLarge,
}

impl Display for BodyError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BodyError::Gone => "the client left in the middle of its body",
            BodyError::Malformed(why) => why,
            BodyError::TooSlow => "the client's body came too slowly",
            BodyError::TooLarge => "the client's body is too large",
        })
    }
}

impl Error for BodyError {}

/// A client's HTTP/1.1 connection, read by the body of its request and by its server in turn; both
/// run in one task, so that the lock never waits.
pub struct Inbound {
    /// The connection.
    pub link: Link,
    /// Where in the request's body it stands.
    pub decoder: Decoder,
    /// What of `100 Continue` the client still waits for.
    interim: &'static [u8],
}

impl Inbound {
    /// A connection between two requests.
    pub fn new(link: Link) -> Arc<Mutex<Inbound>> {
        Arc::new(Mutex::new(Inbound {
            link,
            decoder: Decoder::ended(),
            interim: &[],
        }))
    }

    /// Locks it.
    pub fn lock(shared: &Mutex<Inbound>) -> MutexGuard<'_, Inbound> {
        shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request's body begins. `expects_continue`: the client sends none before it hears `100`.
    pub fn begin(&mut self, decoder: Decoder, expects_continue: bool) {
        self.decoder = decoder;
        self.interim = if expects_continue { CONTINUE } else { &[] };
    }

    /// The final answer begins: no `100` may follow.
    pub fn answered(&mut self) {
        // One that has begun must end.
        if self.interim.len() == CONTINUE.len() {
            self.interim = &[];
        }
    }

    /// Whether all of the request has been read.
    pub fn is_read(&self) -> bool {
        self.decoder.is_ended()
    }

    /// Writes what of a `100 Continue` has to go.
    pub fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        while !self.interim.is_empty() {
            match ready!(self.link.poll_write(cx, self.interim)) {
                Ok(written) => self.interim = &self.interim[written..],
                Err(_) => return Poll::Ready(Err(BodyError::Gone)),
            }
        }
        self.link.poll_flush(cx).map_err(|_| BodyError::Gone)
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, BodyError>> {
        loop {
            let piece = self.decoder.decode(&mut self.link.input);
            match piece.map_err(BodyError::Malformed)? {
                Piece::Starved => {}
                piece => return Poll::Ready(Ok(piece)),
            }
            ready!(self.poll_interim(cx))?;
            match ready!(self.link.poll_fill(cx)) {
                Ok(true) => {}
                Ok(false) | Err(_) => return Poll::Ready(Err(BodyError::Gone)),
            }
        }
    }
}

/// A client's body as it comes in.
pub struct ClientBody {
    source: Source,
    pace: Pace,
    /// Bytes that may still come; `u64::MAX` without a limit.
    allowance: u64,
}

enum Source {
    Http1(Arc<Mutex<Inbound>>),
    Http2(Incoming),
    Ended,
}

impl ClientBody {
    /// The body of the request that this connection carries.
    pub fn http1(inbound: &Arc<Mutex<Inbound>>, pace: Pace, max_bytes: Option<u64>) -> ClientBody {
        let source = if Inbound::lock(inbound).is_read() {
            Source::Ended
        } else {
            Source::Http1(Arc::clone(inbound))
        };
        ClientBody::new(source, pace, max_bytes)
    }

    /// The body on a stream of HTTP/2.
    pub fn http2(body: Incoming, pace: Pace, max_bytes: Option<u64>) -> ClientBody {
        let source = if body.is_end_stream() {
            Source::Ended
        } else {
            Source::Http2(body)
        };
        ClientBody::new(source, pace, max_bytes)
    }

    fn new(source: Source, pace: Pace, max_bytes: Option<u64>) -> ClientBody {
        ClientBody {
            source,
            pace,
            allowance: max_bytes.unwrap_or(u64::MAX),
        }
    }

    /// Whoever reads it has other work first: its client is not being waited for.
    pub fn pause(&mut self) {
        self.pace.pause();
    }

    fn poll_source(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.source {
            Source::Ended => Poll::Ready(None),
            Source::Http1(inbound) => {
                let mut inbound = Inbound::lock(inbound);
                let piece = ready!(inbound.poll_piece(cx))?;
                Poll::Ready(match piece {
                    Piece::Data(bytes) => Some(Ok(Frame::data(bytes))),
                    Piece::Trailers(trailers) => Some(Ok(Frame::trailers(trailers))),
                    Piece::End => None,
                    // Filled above, or an error: a cut body never looks like its end.
                    Piece::Starved => Some(Err(BodyError::Gone)),
                })
            }
            Source::Http2(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(|_| BodyError::Gone)))
            }
        }
    }

    fn note(&mut self, frame: &Frame<Bytes>) -> Result<(), BodyError> {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        self.pace.came(bytes);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.allowance = self
            .allowance
            .checked_sub(bytes)
            .ok_or(BodyError::TooLarge)?;
        Ok(())
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        let polled = body.poll_source(cx);
        let frame = match polled {
            Poll::Pending => {
                ready!(body.pace.poll_too_slow(cx));
                Some(Err(BodyError::TooSlow))
            }
            Poll::Ready(Some(Ok(frame))) => Some(body.note(&frame).map(|()| frame)),
            Poll::Ready(ended) => ended,
        };
        if !matches!(frame, Some(Ok(_))) {
            body.source = Source::Ended;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Ended => true,
            Source::Http1(inbound) => Inbound::lock(inbound).is_read(),
            Source::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let exact = match &self.source {
            Source::Ended => Some(0),
            Source::Http1(inbound) => Inbound::lock(inbound).decoder.remaining(),
            Source::Http2(body) => body.size_hint().exact(),
        };
        exact.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
