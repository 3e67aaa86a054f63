//! The server: listens until told to stop, then drains.

mod accept;
mod answer;
mod capacity;
mod cores;
mod http1;
mod http2;
mod memory;
mod monitoring;
mod preface;
mod serve;
mod tls;
mod watched;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

pub use monitoring::Monitoring;

use crate::admission::{Drain, Pressure};
use crate::config;
use crate::edge::Edge;
use accept::Accepting;
use capacity::Capacity;
use cores::Cores;
use tls::Tls;

/// How long connections may take to flush and close after their last exchange has ended.
const FLUSH: Duration = Duration::from_millis(500);

/// How long before the end of the drain the last session leaves.
const LAST_DEPARTURE: Duration = Duration::from_secs(2);

/// A bound listener in front of an edge.
pub struct Server {
    listener: TcpListener,
    cores: Cores,
    tls: Option<Arc<Tls>>,
    edge: Arc<Edge>,
    limits: Arc<config::Limits>,
    capacity: Arc<Capacity>,
    drain: Arc<Drain>,
    pressure: Arc<Pressure>,
    drain_delay: Duration,
    drain_timeout: Duration,
}

impl Server {
    /// Binds the configured address. Must be called inside a single-threaded runtime, which serves
    /// its share of the connections.
    pub fn bind(
        config: &config::Server,
        edge: Arc<Edge>,
        drain: Arc<Drain>,
        pressure: Arc<Pressure>,
    ) -> Result<Server> {
        let address = SocketAddr::new(config.host, config.port);
        let tls = Tls::new(config)?.map(Arc::new);
        let listener = accept::bind(address)
            .with_context(|| format!("HOST and PORT: cannot listen on {address}"))?;
        Ok(Server {
            listener,
            cores: Cores::start().context("starting a runtime for each core")?,
            tls,
            edge,
            limits: Arc::new(config.limits.clone()),
            capacity: Arc::new(Capacity::new(&config.limits, &config.trusted_proxies)),
            drain,
            pressure,
            drain_delay: config.drain_delay,
            drain_timeout: config.drain_timeout,
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.listener.local_addr().context("the listener's address")
    }

    /// Serves until `stop` ends and what then still runs has ended or run out of time. New
    /// connections are taken all the while, so that `/health` and `/ready` answer to the end.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let connections = TaskTracker::new();
        let mut drained = std::pin::pin!(self.drained(stop));
        let mut watched = std::pin::pin!(memory::watch(self.limits.memory, &self.pressure));
        let mut renewed = std::pin::pin!(self.renewed());
        let mut accepting = Accepting::new(&self.listener, &self.pressure);
        let deadline = loop {
            tokio::select! {
                deadline = &mut drained => break deadline,
                () = &mut watched => {}
                () = &mut renewed => {}
                (stream, peer) = accepting.next() => {
                    let Some(seat) = self.capacity.seat(peer.ip()) else {
                        continue;
                    };
                    let (place, core) = self.cores.place();
                    let client = serve::Client {
                        peer,
                        seat,
                        place,
                        pressure: Arc::clone(&self.pressure),
                        edge: Arc::clone(&self.edge),
                        limits: Arc::clone(&self.limits),
                        drain: Arc::clone(&self.drain),
                        tasks: connections.clone(),
                        tls: self.tls.clone(),
                    };
                    connections.spawn_on(serve::connection(stream, client), core);
                }
            }
        };
        connections.close();
        let flushed = deadline.max(Instant::now() + FLUSH);
        let _ = tokio::time::timeout_at(flushed, connections.wait()).await;
        self.drain.cut();
        // What their clients left behind is done to its end, as far as it goes.
        let left = async {
            connections.wait().await;
            self.drain.finished().await;
        };
        let _ = tokio::time::timeout(FLUSH, left).await;
    }

    /// Keeps the certificate fresh.
    async fn renewed(&self) {
        match &self.tls {
            Some(tls) => tls.watch().await,
            None => std::future::pending().await,
        }
    }

    /// Announce, wait for load balancers to notice, refuse new work, wait for the old. Returns
    /// when time is up, counted from the signal.
    async fn drained(&self, stop: impl Future<Output = ()>) -> Instant {
        stop.await;
        let deadline = Instant::now() + self.drain_timeout;
        self.drain.announce();
        if !self.drain_delay.is_zero() {
            tracing::info!("drain announced: /ready says so, new work is still taken");
            tokio::time::sleep(self.drain_delay.min(self.drain_timeout)).await;
        }
        let spread = self.drain_timeout / 3;
        let end = deadline - (spread / 3).min(LAST_DEPARTURE);
        self.drain.refuse(deadline - spread..end, deadline);
        tell_of_drain(self.drain.running(), deadline - Instant::now());
        match tokio::time::timeout_at(deadline, self.drain.finished()).await {
            Ok(()) => tracing::info!("drained: everything that ran has ended"),
            Err(_) => tracing::warn!(
                running = self.drain.running(),
                "DRAIN_TIMEOUT is over: what still runs is cut"
            ),
        }
        deadline
    }
}

fn tell_of_drain(running: usize, left: Duration) {
    let left_s = (left + Duration::from_millis(500)).as_secs();
    tracing::info!(running, left_s, "draining");
    if running > 0 {
        tracing::info!("a second signal ends at once what still runs");
    }
}
