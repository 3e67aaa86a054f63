//! One client connection: HTTP/2 by prior knowledge, or HTTP/1.1.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use super::answer::Switched;
use super::capacity::Seat;
use super::cores::Place;
use super::http1::Connection;
use super::http2;
use super::preface::is_http2;
use super::tls::Tls;
use crate::admission::{Drain, Pressure};
use crate::config::Limits;
use crate::edge::{Edge, Life};

use crate::wire::{Link, Plain};

/// How long a connection past the last may stay silent.
const SPARE_PATIENCE: Duration = Duration::from_secs(1);

/// What a connection is served with.
pub(super) struct Client {
    pub(super) peer: SocketAddr,
    pub(super) seat: Seat,
    pub(super) place: Place,
    pub(super) pressure: Arc<Pressure>,
    pub(super) edge: Arc<Edge>,
    pub(super) limits: Arc<Limits>,
    pub(super) drain: Arc<Drain>,
    pub(super) tasks: TaskTracker,
    pub(super) tls: Option<Arc<Tls>>,
}

/// Serves a connection to its end, or, once the relay drains, to the end of what runs on it. It belongs to
/// the runtime that this runs in.
pub(super) async fn connection(stream: std::net::TcpStream, client: Client) {
    let Ok(stream) = TcpStream::from_std(stream) else {
        return;
    };
    let switched = tokio::select! {
        biased;
        switched = serve(stream, &client) => switched,
        () = client.drain.cutting() => None,
        () = client.seat.evicted() => None,
    };
    if let Some((link, switched)) = switched {
        // A task of its own: a session lasts long, and needs far less memory than this one.
        let life = switched.socket.start(link, switched.head);
        client.tasks.spawn(Seated {
            life,
            _seat: client.seat,
            _place: client.place,
        });
    }
}

/// A socket on its seat, to its end. It keeps the relay's time by itself.
struct Seated {
    life: Life,
    _seat: Seat,
    _place: Place,
}

impl Future for Seated {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.get_mut().life).poll(cx)
    }
}

/// The connection, once TLS stands where it is spoken.
async fn link(stream: TcpStream, client: &Client) -> Option<Link> {
    let Some(tls) = &client.tls else {
        return Some(Link::plain(Plain::new(stream)));
    };
    match tls.accept(stream).await {
        Ok(stream) => Some(Link::new(Box::new(stream), BytesMut::new())),
        Err(error) => {
            tracing::debug!(peer = %client.peer, %error, "no TLS with a client");
            None
        }
    }
}

async fn serve(stream: TcpStream, client: &Client) -> Option<(Link, Switched)> {
    let patience = if client.seat.is_spare() {
        SPARE_PATIENCE
    } else {
        client.limits.header_timeout
    };
    let mut link = tokio::time::timeout(patience, link(stream, client))
        .await
        .ok()??;
    let first = tokio::time::timeout(patience, is_http2(&mut link));
    let told = tokio::select! {
        told = first => told,
        () = client.drain.closing(), if !client.drain.is_refusing() => return None,
    };
    match told {
        Ok(Ok(false)) => return Connection::new(link, client).serve().await,
        Ok(Ok(true)) if client.seat.is_spare() => {}
        Ok(Ok(true)) => {
            let peer = client.peer;
            if let Err(error) = http2::serve(link, client).await {
                tracing::debug!(%peer, %error, "a client connection ended badly");
            }
        }
        Ok(Err(_)) | Err(_) => {}
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_of_a_session_takes_640_bytes_at_the_most() {
        // The runtime's part: a head, links, a waker; the count of tasks.
        const AROUND: usize = 104;
        let task = AROUND + size_of::<Seated>();
        assert!(task <= 640, "{task} bytes");
    }
}
