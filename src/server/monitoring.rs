//! A second listener for monitoring: the routes that tell how the relay is, to whoever reaches it.
//! Nothing is relayed here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use super::accept;

/// Clients at once: a few monitors, each with a few connections.
const MAX_CONNECTIONS: usize = 64;
/// How long a head may take, and a kept connection may idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// After an error of the listener's own, such as no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// A bound listener in front of a router.
pub struct Monitoring {
    listener: TcpListener,
    router: Router,
}

impl Monitoring {
    /// Binds the address.
    pub fn bind(address: SocketAddr, router: Router) -> Result<Monitoring> {
        let listener = accept::bind(address)
            .with_context(|| format!("METRICS_ADDRESS: cannot listen on {address}"))?;
        Ok(Monitoring { listener, router })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.listener.local_addr().context("the listener's address")
    }

    /// Serves until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let (connections, seats) = (
            TaskTracker::new(),
            Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        );
        loop {
            let seat = Arc::clone(&seats).acquire_owned();
            let (seat, accepted) = tokio::select! {
                () = stop.cancelled() => break,
                both = async { (seat.await, self.listener.accept().await) } => both,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let (router, stop) = (self.router.clone(), stop.clone());
            connections.spawn(async move {
                let _seat = seat;
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = serve(stream, router) => {}
                }
            });
        }
        connections.close();
        connections.wait().await;
    }
}

async fn serve(stream: TcpStream, router: Router) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let mut router = router.clone();
        async move { Service::<Request<Body>>::call(&mut router, request.map(Body::new)).await }
    });
    // What a monitor did wrong is its own to notice.
    let _: Result<(), _> = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
