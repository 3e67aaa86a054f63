//! The request's body on its way up: forwarded frame by frame, never held whole.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::headers;

/// Where an upload stands. Written by whoever polls the body, read by whoever waits for an answer.
#[derive(Debug)]
pub struct Progress {
    origin: Instant,
    bytes: AtomicU64,
    stage: AtomicU8,
    since_ms: AtomicU64,
}

/// The last thing that happened to an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The client is expected to send more.
    AwaitingClient,
    /// The upstream is expected to take what was sent.
    AwaitingUpstream,
    /// All of it was handed over, or there was nothing to send.
    Ended,
    /// The client broke off.
    Failed,
}

const STAGES: [Stage; 4] = [
    Stage::AwaitingClient,
    Stage::AwaitingUpstream,
    Stage::Ended,
    Stage::Failed,
];

impl Progress {
    /// An upload that begins now.
    pub fn new(now: Instant) -> Progress {
        Progress {
            origin: now,
            bytes: AtomicU64::new(0),
            stage: AtomicU8::new(Stage::AwaitingUpstream as u8),
            since_ms: AtomicU64::new(0),
        }
    }

    /// Body bytes handed over so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What is being waited for.
    pub fn stage(&self) -> Stage {
        STAGES[usize::from(self.stage.load(Ordering::Acquire)) % STAGES.len()]
    }

    /// Since when.
    pub fn since(&self) -> Instant {
        self.origin + Duration::from_millis(self.since_ms.load(Ordering::Relaxed))
    }

    fn enter(&self, stage: Stage) {
        let since = self.origin.elapsed().as_millis();
        self.since_ms
            .store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.stage.store(stage as u8, Ordering::Release);
    }
}

/// What goes up with a request.
#[derive(Debug)]
pub struct RequestBody {
    source: Source,
    progress: Arc<Progress>,
}

#[derive(Debug)]
enum Source {
    Empty,
    Whole(Option<Bytes>),
    Client(Incoming),
}

impl RequestBody {
    /// The client's body as it comes in.
    pub fn from_client(body: Incoming, progress: Arc<Progress>) -> RequestBody {
        let source = if body.is_end_stream() {
            progress.enter(Stage::Ended);
            Source::Empty
        } else {
            Source::Client(body)
        };
        RequestBody { source, progress }
    }

    /// A body of the relay's own.
    pub fn whole(bytes: Bytes, progress: Arc<Progress>) -> RequestBody {
        let source = Source::Whole(Some(bytes));
        RequestBody { source, progress }
    }

    /// No body.
    pub fn empty(progress: Arc<Progress>) -> RequestBody {
        progress.enter(Stage::Ended);
        let source = Source::Empty;
        RequestBody { source, progress }
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    fn handed_over(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.progress.bytes.fetch_add(bytes, Ordering::Relaxed);
        let stage = if self.is_end_stream() {
            Stage::Ended
        } else {
            Stage::AwaitingUpstream
        };
        self.progress.enter(stage);
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut frame = match &mut self.source {
            Source::Empty => None,
            Source::Whole(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
            Source::Client(body) => {
                let polled = Pin::new(body).poll_frame(cx);
                if polled.is_pending() {
                    self.progress.enter(Stage::AwaitingClient);
                }
                ready!(polled)
            }
        };
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            headers::strip_request_trailers(trailers);
        }
        match &frame {
            None => self.progress.enter(Stage::Ended),
            Some(Err(_)) => self.progress.enter(Stage::Failed),
            Some(Ok(frame)) => self.handed_over(frame.data_ref().map_or(0, Bytes::len)),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty | Source::Whole(None) => true,
            Source::Whole(Some(_)) => false,
            Source::Client(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty | Source::Whole(None) => SizeHint::with_exact(0),
            Source::Whole(Some(bytes)) => {
                SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
            }
            Source::Client(body) => body.size_hint(),
        }
    }
}
