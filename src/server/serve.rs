//! One client connection: HTTP/2 by prior knowledge, or HTTP/1.1.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::http1::Connection;
use super::preface::is_http2;
use super::{Limits, http2};
use crate::edge::Edge;
use crate::wire::Link;

/// Serves a connection to its end, or, once `closing`, to the end of what runs on it.
pub(super) async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    edge: Arc<Edge>,
    limits: Arc<Limits>,
    closing: CancellationToken,
) {
    let mut link = Link::new(Box::new(stream), BytesMut::new());
    let told = tokio::time::timeout(limits.head_timeout, is_http2(&mut link)).await;
    let Ok(Ok(is_http2)) = told else {
        return;
    };
    if !is_http2 {
        return Connection::new(link, peer, &edge, &limits, &closing)
            .serve()
            .await;
    }
    if let Err(error) = http2::serve(link, peer, edge, limits, closing).await {
        tracing::debug!(%peer, error = %error, "a client connection ended badly");
    }
}
