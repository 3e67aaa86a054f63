//! One client connection over HTTP/2, which is hyper's.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::task::TaskTracker;

use super::serve::Client;
use super::watched::watched;
use crate::admission::Drain;
use crate::config::Limits;
use crate::edge::{Body, Edge};
use crate::error::Refusal;
use crate::fields::Fields;
use crate::wire::{Answer, ClientBody, Io, Link, Pace, Request, Target};

/// HTTP/2 limits (those of Envoy's edge guide and hyper's own).
const H2_STREAMS: u32 = 100;
const H2_STREAM_WINDOW: u32 = 64 * 1024;
const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
const H2_HEADER_LIST: u32 = 16 * 1024;
const H2_SEND_BUFFER: usize = 64 * 1024;
const H2_PENDING_RESETS: usize = 20;
const H2_LOCAL_RESETS: usize = 256;
/// Finds out about clients that vanished.
const H2_PING_EVERY: Duration = Duration::from_secs(30);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves a connection to its end, or, once the relay drains, to the end of what runs on it.
pub(super) async fn serve(link: Link, client: &Client) -> hyper::Result<()> {
    let peer = client.peer;
    let (edge, limits) = (Arc::clone(&client.edge), Arc::clone(&client.limits));
    let tasks = Tasks {
        tasks: client.tasks.clone(),
        drain: Arc::clone(&client.drain),
    };
    let io = Rewound::new(link);
    let watchers = tasks.clone();
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (edge, limits, tasks) = (Arc::clone(&edge), Arc::clone(&limits), watchers.clone());
        async move {
            let request = read(request, &limits);
            let answer = survived(&edge, peer.ip(), request).await;
            let response = answer.into_http();
            Ok::<_, Infallible>(response.map(|body| watched(body, &limits, &tasks)))
        }
    });
    let mut builder = http2::Builder::new(tasks);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_header_list_size(H2_HEADER_LIST)
        .max_send_buf_size(H2_SEND_BUFFER)
        .max_pending_accept_reset_streams(H2_PENDING_RESETS)
        .max_local_error_reset_streams(H2_LOCAL_RESETS)
        .keep_alive_interval(H2_PING_EVERY)
        .keep_alive_timeout(H2_PING_TIMEOUT)
        .auto_date_header(false);
    let is_late = client.drain.is_refusing();
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(io), service));
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = client.drain.closing(), if !is_late => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// The request as the relay takes it, whichever version it came in.
fn read(request: http::Request<Incoming>, limits: &Limits) -> Request<ClientBody> {
    let (head, body) = request.into_parts();
    let target = head
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    let pace = Pace::of_progress(limits.body_timeout);
    Request {
        method: head.method,
        target: Target::new(Bytes::copy_from_slice(target.as_bytes())),
        version: head.version,
        authority: head.uri.authority().cloned(),
        fields: Fields::from(&head.headers),
        body: ClientBody::http2(body, pace, limits.max_body_bytes),
    }
}

/// The answer, or a 500 where the relay made a mistake.
async fn survived(edge: &Edge, peer: IpAddr, request: Request<ClientBody>) -> Answer<Body> {
    let mut answering = Box::pin(edge.dispatch(peer, Box::new(request)));
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| answering.as_mut().poll(cx))) {
            Ok(polled) => polled,
            Err(_) => Poll::Ready(edge.refuse(peer, Refusal::panicked())),
        },
    )
    .await
}

/// Where hyper runs the streams of a connection: no task is loose, and each ends when time is up.
#[derive(Clone)]
pub(super) struct Tasks {
    tasks: TaskTracker,
    drain: Arc<Drain>,
}

impl Tasks {
    /// Runs this to its end, or until time is up.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cutting = self.drain.cutting();
        self.tasks.spawn(async move {
            tokio::select! {
                () = task => {}
                () = cutting => {}
            }
        });
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, stream: F) {
        self.spawn(stream);
    }
}

/// A stream whose first bytes were read already.
struct Rewound {
    first: Bytes,
    io: Box<dyn Io>,
}

impl Rewound {
    fn new(link: Link) -> Rewound {
        let (io, first) = link.into_parts();
        let first = first.freeze();
        Rewound { first, io }
    }
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let length = buf.remaining().min(self.first.len());
        buf.put_slice(&self.first[..length]);
        self.first.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
