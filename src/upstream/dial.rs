//! One new connection to the upstream: resolve, connect (through a proxy where one is set), TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::BytesMut;
use http::Uri;
use hyper_util::client::legacy::connect::proxy::{SocksV4, SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::fault::{Fault, innermost};
use super::resolve::Resolver;
use super::tls;
use crate::config;
use crate::error::Refusal;
use crate::telemetry::Counters;
use crate::wire::{Io, Link, Plain};

/// RFC 8305 section 5: how long one address may keep the next waiting.
const HAPPY_EYEBALLS: Duration = Duration::from_millis(300);
/// Finds out about peers that vanished while a connection idles in the pool.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// Makes connections to one upstream.
pub(super) struct Dialer {
    target: Uri,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    proxy_tls: Option<TlsConnector>,
    resolver: Resolver,
    proxies: Matcher,
    timeout: Duration,
    counters: Arc<Counters>,
}

impl Dialer {
    /// A dialer for this place of the configured upstream.
    pub(super) fn new(
        config: &config::Upstream,
        base: &config::BaseUrl,
        counters: &Arc<Counters>,
    ) -> Result<Dialer> {
        let scheme = if base.is_tls() { "https" } else { "http" };
        let target: Uri = format!("{scheme}://{}/", base.authority())
            .parse()
            .context("the upstream's URL")?;
        let proxies = proxies(&config.proxy);
        let needs_proxy_tls = proxies
            .intercept(&target)
            .is_some_and(|proxy| proxy.uri().scheme_str() == Some("https"));
        let connector = if base.is_tls() || needs_proxy_tls {
            Some(TlsConnector::from(Arc::new(tls::client_config(
                &config.ca_files,
            )?)))
        } else {
            None
        };
        let server_name = server_name(base.host())?;
        Ok(Dialer {
            target,
            tls: connector
                .clone()
                .filter(|_| base.is_tls())
                .map(|tls| (tls, server_name)),
            proxy_tls: connector,
            resolver: Resolver::default(),
            proxies,
            timeout: config.connect_timeout,
            counters: Arc::clone(counters),
        })
    }

    /// Connects within the configured time.
    pub(super) async fn dial(&self) -> Result<Link, Fault> {
        let start = Instant::now();
        let connected = match tokio::time::timeout(self.timeout, self.connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(Fault::ConnectTimeout),
        };
        match &connected {
            Ok(_) => self.counters.dialled(start.elapsed()),
            Err(fault) => self.counters.dial_failed(Refusal::from(fault).kind()),
        }
        connected
    }

    async fn connect(&self) -> Result<Link, Fault> {
        let over = |io| Link::new(io, BytesMut::new());
        if let Some(proxy) = self.proxies.intercept(&self.target) {
            let tunnel = self.connect_through(&proxy).await?;
            return match &self.tls {
                Some((tls, name)) => {
                    let stream = handshake(tls, name.clone(), tunnel).await?;
                    Ok(over(Box::new(stream)))
                }
                None => Ok(over(tunnel)),
            };
        }
        let stream = self.connect_tcp(&self.target).await?;
        match &self.tls {
            Some((tls, name)) => {
                let stream = handshake(tls, name.clone(), stream).await?;
                Ok(over(Box::new(stream)))
            }
            None => Ok(Link::plain(stream)),
        }
    }

    async fn connect_tcp(&self, to: &Uri) -> Result<Plain, Fault> {
        let host = to.host().unwrap_or_default();
        let addresses = self.resolver.resolve(host, port(to)).await;
        let addresses = addresses.map_err(|error| Fault::Dns(error.to_string()))?;
        match race(addresses).await {
            Ok(stream) => {
                if let Ok(peer) = stream.peer_addr() {
                    self.resolver.prefer(host, peer.ip());
                }
                Ok(Plain::new(stream))
            }
            Err(error) => {
                self.resolver.doubt(host);
                Err(Fault::Connect(error.to_string()))
            }
        }
    }

    /// HTTP CONNECT or SOCKS, as the proxy's URL says.
    async fn connect_through(&self, proxy: &Intercept) -> Result<Box<dyn Io>, Fault> {
        let hop = self.connect_proxy(proxy.uri()).await?;
        let hop = Once(Some(TokioIo::new(hop)));
        let at = proxy.uri().clone();
        let target = with_port(&self.target);
        let opened = match (proxy.uri().scheme_str(), proxy.raw_auth()) {
            (Some("socks5" | "socks5h"), auth) => {
                let mut socks = SocksV5::new(at, hop).local_dns(false);
                if let Some((user, password)) = auth {
                    socks = socks.with_auth(user.to_owned(), password.to_owned());
                }
                socks.call(target).await.map_err(|error| innermost(&error))
            }
            (Some("socks4" | "socks4a"), _) => {
                let mut socks = SocksV4::new(at, hop).local_dns(false);
                socks.call(target).await.map_err(|error| innermost(&error))
            }
            _ => {
                let mut tunnel = Tunnel::new(at, hop);
                if let Some(auth) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(auth.clone());
                }
                tunnel.call(target).await.map_err(|error| innermost(&error))
            }
        };
        opened.map(TokioIo::into_inner).map_err(Fault::Proxy)
    }

    /// The connection to the proxy itself.
    async fn connect_proxy(&self, at: &Uri) -> Result<Box<dyn Io>, Fault> {
        let in_front = |fault: Fault| {
            let why = match fault {
                Fault::Dns(why) | Fault::Connect(why) | Fault::Tls(why) => why,
                other => other.to_string(),
            };
            let (host, port) = (at.host().unwrap_or_default(), port(at));
            Fault::Proxy(format!("{host}:{port}: {why}"))
        };
        let stream = self.connect_tcp(at).await.map_err(in_front)?;
        match (at.scheme_str(), &self.proxy_tls) {
            (Some("https"), Some(tls)) => {
                let name = server_name(at.host().unwrap_or_default())
                    .map_err(|error| Fault::Proxy(error.to_string()))?;
                let stream = handshake(tls, name, stream).await.map_err(in_front)?;
                Ok(Box::new(stream))
            }
            _ => Ok(Box::new(stream)),
        }
    }
}

async fn handshake<S: Io>(
    tls: &TlsConnector,
    name: ServerName<'static>,
    stream: S,
) -> Result<tokio_rustls::client::TlsStream<S>, Fault> {
    tls.connect(name, stream)
        .await
        .map_err(|error| Fault::Tls(innermost(&error)))
}

/// The first of these that answers: one more is tried whenever one fails, or has kept the others
/// waiting.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut rest = addresses.into_iter();
    let mut racing = JoinSet::new();
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    loop {
        if let Some(address) = rest.next() {
            racing.spawn(connect_to(address));
        }
        let wait = async {
            match rest.len() {
                0 => std::future::pending().await,
                _ => tokio::time::sleep(HAPPY_EYEBALLS).await,
            }
        };
        tokio::select! {
            () = wait => {}
            joined = racing.join_next() => match joined {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => last = error,
                Some(Err(error)) => last = io::Error::other(error),
                None => return Err(last),
            },
        }
    }
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Without it Nagle's algorithm and delayed acknowledgements add some 40 ms to an exchange.
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(TCP_KEEPALIVE);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}

fn proxies(config: &config::Proxy) -> Matcher {
    let exposed = |url: &Option<config::ProxyUrl>| {
        url.as_ref()
            .map(|url| url.expose().to_owned())
            .unwrap_or_default()
    };
    let all = exposed(&config.all);
    let https = exposed(&config.https);
    let no = config.no.clone().unwrap_or_default();
    if no.split(',').any(|host| host.trim() == "*") {
        // The matcher's own `*` leaves addresses out.
        return Matcher::builder().build();
    }
    Matcher::builder()
        .http(all.clone())
        .https(if https.is_empty() { all } else { https })
        .no(no)
        .build()
}

fn server_name(host: &str) -> Result<ServerName<'static>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare.to_owned()).with_context(|| format!("{bare} is not a host name"))
}

fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(match uri.scheme_str() {
        Some("https") => 443,
        Some("socks5" | "socks5h" | "socks4" | "socks4a") => 1080,
        _ => 80,
    })
}

/// The same URI with its port spelled out: proxies need it.
fn with_port(uri: &Uri) -> Uri {
    let host = uri.host().unwrap_or_default();
    let scheme = uri.scheme_str().unwrap_or("http");
    format!("{scheme}://{host}:{}/", port(uri))
        .parse()
        .unwrap_or_else(|_| uri.clone())
}

/// A connector that hands out one stream that stands already.
struct Once(Option<TokioIo<Box<dyn Io>>>);

impl Service<Uri> for Once {
    type Response = TokioIo<Box<dyn Io>>;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let taken = self.0.take();
        std::future::ready(taken.ok_or_else(|| io::Error::other("the stream was taken already")))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("its address");
        (listener, address)
    }

    #[tokio::test]
    async fn no_byte_to_the_upstream_waits_for_an_acknowledgement() {
        let (_listener, address) = listener().await;
        let stream = race(vec![address]).await.expect("a connection");
        assert!(stream.nodelay().expect("an option"));
    }

    #[tokio::test]
    async fn an_address_that_refuses_costs_nothing() {
        let (gone, refuses) = listener().await;
        drop(gone);
        let (_listener, address) = listener().await;
        let stream = race(vec![refuses, address]).await.expect("a connection");
        assert_eq!(stream.peer_addr().expect("a peer"), address);
        assert!(race(vec![refuses]).await.is_err());
        assert!(race(Vec::new()).await.is_err());
    }

    #[tokio::test]
    async fn an_address_that_stays_silent_costs_300_ms() {
        // A listener whose queue is full answers no more.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        socket.bind(&any.into()).expect("bound");
        socket.listen(0).expect("listening");
        let silent = socket.local_addr().expect("its address").as_socket();
        let silent = silent.expect("an address");
        let mut queued = JoinSet::new();
        for _ in 0..4 {
            queued.spawn(TcpStream::connect(silent));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let (_listener, address) = listener().await;
        let start = Instant::now();
        let stream = race(vec![silent, address]).await.expect("a connection");
        assert_eq!(stream.peer_addr().expect("a peer"), address);
        assert!(start.elapsed() >= HAPPY_EYEBALLS);
    }
}
