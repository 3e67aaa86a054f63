//! One client connection: HTTP/2 by prior knowledge, or HTTP/1.1.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::http1::Connection;
use super::preface::is_http2;
use super::{Limits, http2};
use crate::edge::Edge;
use crate::wire::Link;

/// What a connection is served with.
pub(super) struct Client {
    pub(super) peer: SocketAddr,
    pub(super) edge: Arc<Edge>,
    pub(super) limits: Arc<Limits>,
    /// What runs may end, nothing new begins.
    pub(super) closing: CancellationToken,
    /// Time is up.
    pub(super) cut: CancellationToken,
    pub(super) tasks: TaskTracker,
}

/// Serves a connection to its end, or, once `closing`, to the end of what runs on it.
pub(super) async fn connection(stream: TcpStream, client: Client) {
    let cut = client.cut.clone();
    tokio::select! {
        () = serve(stream, client) => {}
        () = cut.cancelled() => {}
    }
}

async fn serve(stream: TcpStream, client: Client) {
    let mut link = Link::new(Box::new(stream), BytesMut::new());
    let first = tokio::time::timeout(client.limits.head_timeout, is_http2(&mut link));
    let told = tokio::select! {
        told = first => told,
        () = client.closing.cancelled(), if !client.closing.is_cancelled() => return,
    };
    match told {
        Ok(Ok(false)) => Connection::new(link, &client).serve().await,
        Ok(Ok(true)) => {
            let peer = client.peer;
            if let Err(error) = http2::serve(link, client).await {
                tracing::debug!(%peer, %error, "a client connection ended badly");
            }
        }
        Ok(Err(_)) | Err(_) => {}
    }
}
