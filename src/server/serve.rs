//! One client connection through hyper: HTTP/1.1, or HTTP/2 by prior knowledge.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::preface::{Peeked, is_http2};
use crate::capped::CappedReads;
use crate::edge::{Body, Edge};

/// How long a new connection may stay silent.
const FIRST_BYTE: Duration = Duration::from_secs(10);
/// How long a head may take, the pause before it on a kept connection included.
const HEAD: Duration = Duration::from_secs(75);
/// Heads up to 64 KiB and 256 fields.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 256;
/// HTTP/2 limits (those of Envoy's edge guide and hyper's own).
const H2_STREAMS: u32 = 100;
const H2_STREAM_WINDOW: u32 = 64 * 1024;
const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
const H2_HEADER_LIST: u32 = 16 * 1024;
const H2_SEND_BUFFER: usize = 64 * 1024;
const H2_PENDING_RESETS: usize = 20;
const H2_LOCAL_RESETS: usize = 256;

type Io = TokioIo<CappedReads<Peeked<TcpStream>>>;

/// Serves a connection to its end, or, once `closing`, to the end of what runs on it.
pub(super) async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    edge: Arc<Edge>,
    closing: CancellationToken,
) {
    if let Err(error) = serve(stream, peer, edge, closing).await {
        tracing::debug!(%peer, error = %error, "a client connection ended badly");
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    edge: Arc<Edge>,
    closing: CancellationToken,
) -> io::Result<()> {
    let mut stream = Peeked::new(stream);
    let is_http2 = tokio::time::timeout(FIRST_BYTE, is_http2(&mut stream)).await??;
    let io = TokioIo::new(CappedReads::new(stream));
    let service = service_fn(move |request: Request<Incoming>| {
        let edge = Arc::clone(&edge);
        async move { Ok::<_, Infallible>(edge.dispatch(peer.ip(), request).await) }
    });
    if is_http2 {
        serve_http2(io, service, closing).await
    } else {
        serve_http1(io, service, closing).await
    }
}

async fn serve_http1<S, F>(io: Io, service: S, closing: CancellationToken) -> io::Result<()>
where
    S: hyper::service::Service<
            Request<Incoming>,
            Response = Response<Body>,
            Error = Infallible,
            Future = F,
        >,
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_HEAD + 1)
        .auto_date_header(false)
        // While draining, new connections still reach `/health`, for one answer each.
        .keep_alive(!closing.is_cancelled())
        .serve_connection(io, service);
    let mut connection = Pin::new(&mut connection);
    tokio::select! {
        ended = connection.as_mut() => return ended.map_err(io::Error::other),
        () = closed_later(&closing) => connection.as_mut().graceful_shutdown(),
    }
    connection.await.map_err(io::Error::other)
}

async fn serve_http2<S, F>(io: Io, service: S, closing: CancellationToken) -> io::Result<()>
where
    S: hyper::service::Service<
            Request<Incoming>,
            Response = Response<Body>,
            Error = Infallible,
            Future = F,
        >,
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_header_list_size(H2_HEADER_LIST)
        .max_send_buf_size(H2_SEND_BUFFER)
        .max_pending_accept_reset_streams(H2_PENDING_RESETS)
        .max_local_error_reset_streams(H2_LOCAL_RESETS)
        .auto_date_header(false);
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    tokio::select! {
        ended = connection.as_mut() => return ended.map_err(io::Error::other),
        () = closed_later(&closing) => connection.as_mut().graceful_shutdown(),
    }
    connection.await.map_err(io::Error::other)
}

/// Ends when the relay begins to close; never for a connection that began after that, because it
/// is told on its own.
async fn closed_later(closing: &CancellationToken) {
    if closing.is_cancelled() {
        std::future::pending::<()>().await;
    }
    closing.cancelled().await;
}
