//! One new connection to the upstream: resolve, connect (through a proxy where one is set), TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV4, SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::fault::{Fault, innermost};
use super::resolve::Resolver;
use super::tls;
use crate::config;

/// RFC 8305 section 5: how long the first address family may keep the second waiting.
const HAPPY_EYEBALLS: Duration = Duration::from_millis(300);
/// Finds out about peers that vanished while a connection idles in the pool.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// A byte stream to the upstream, whatever lies under it.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Makes connections to one upstream.
pub(super) struct Dialer {
    target: Uri,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    proxy_tls: Option<TlsConnector>,
    http: HttpConnector<Resolver>,
    proxies: Matcher,
    timeout: Duration,
}

/// What a new connection is made of.
pub(super) enum Connection {
    /// Straight and in clear: gateways in the operator's own network, tests.
    Plain(TcpStream),
    /// Straight and over TLS: the common case.
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    /// Through a proxy.
    Proxied(Box<dyn Io>),
}

impl Dialer {
    /// A dialer for the configured upstream.
    pub(super) fn new(config: &config::Upstream) -> Result<Dialer> {
        let base = &config.base;
        let scheme = if base.is_tls() { "https" } else { "http" };
        let target: Uri = format!("{scheme}://{}/", base.authority())
            .parse()
            .context("OPENAI_BASE_URL")?;
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
            http: http_connector(),
            proxies,
            timeout: config.connect_timeout,
        })
    }

    /// Connects within the configured time.
    pub(super) async fn dial(&self) -> Result<Connection, Fault> {
        match tokio::time::timeout(self.timeout, self.connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(Fault::ConnectTimeout),
        }
    }

    async fn connect(&self) -> Result<Connection, Fault> {
        if let Some(proxy) = self.proxies.intercept(&self.target) {
            let tunnel = self.connect_through(&proxy).await?;
            let stream: Box<dyn Io> = match &self.tls {
                Some((tls, name)) => Box::new(handshake(tls, name.clone(), tunnel).await?),
                None => tunnel,
            };
            return Ok(Connection::Proxied(stream));
        }
        let stream = self.connect_tcp(self.target.clone()).await?;
        match &self.tls {
            Some((tls, name)) => {
                let stream = handshake(tls, name.clone(), stream).await?;
                Ok(Connection::Tls(Box::new(stream)))
            }
            None => Ok(Connection::Plain(stream)),
        }
    }

    async fn connect_tcp(&self, to: Uri) -> Result<TcpStream, Fault> {
        let mut connector = self.http.clone();
        match connector.call(to).await {
            Ok(stream) => Ok(stream.into_inner()),
            Err(error) => Err(Fault::connecting(&error)),
        }
    }

    /// HTTP CONNECT or SOCKS, as the proxy's URL says.
    async fn connect_through(&self, proxy: &Intercept) -> Result<Box<dyn Io>, Fault> {
        let hop = self.connect_proxy(proxy.uri()).await?;
        let hop = Once(Some(TokioIo::new(hop)));
        let at = proxy.uri().clone();
        let opened = match (proxy.uri().scheme_str(), proxy.raw_auth()) {
            (Some("socks5" | "socks5h"), auth) => {
                let mut socks = SocksV5::new(at, hop).local_dns(false);
                if let Some((user, password)) = auth {
                    socks = socks.with_auth(user.to_owned(), password.to_owned());
                }
                socks
                    .call(self.target.clone())
                    .await
                    .map_err(|error| innermost(&error))
            }
            (Some("socks4" | "socks4a"), _) => {
                let mut socks = SocksV4::new(at, hop).local_dns(false);
                socks
                    .call(self.target.clone())
                    .await
                    .map_err(|error| innermost(&error))
            }
            _ => {
                let mut tunnel = Tunnel::new(at, hop);
                if let Some(auth) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(auth.clone());
                }
                let target = with_port(&self.target);
                tunnel.call(target).await.map_err(|error| innermost(&error))
            }
        };
        opened.map(TokioIo::into_inner).map_err(Fault::Proxy)
    }

    /// The connection to the proxy itself.
    async fn connect_proxy(&self, at: &Uri) -> Result<Box<dyn Io>, Fault> {
        let in_front = |fault: Fault| match fault {
            Fault::ConnectTimeout => Fault::ConnectTimeout,
            other => Fault::Proxy(other.to_string()),
        };
        let stream = self.connect_tcp(with_port(at)).await.map_err(in_front)?;
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

fn http_connector() -> HttpConnector<Resolver> {
    let mut http = HttpConnector::new_with_resolver(Resolver);
    http.enforce_http(false);
    // Without it Nagle's algorithm and delayed acknowledgements add some 40 ms to an exchange.
    http.set_nodelay(true);
    http.set_happy_eyeballs_timeout(Some(HAPPY_EYEBALLS));
    http.set_keepalive(Some(TCP_KEEPALIVE));
    http
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

/// The same URI with its port spelled out: proxies need it, and connectors know two schemes only.
fn with_port(uri: &Uri) -> Uri {
    let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
        Some("https") => 443,
        Some("socks5" | "socks5h" | "socks4" | "socks4a") => 1080,
        _ => 80,
    });
    let host = uri.host().unwrap_or_default();
    let scheme = uri.scheme_str().unwrap_or("http");
    format!("{scheme}://{host}:{port}/")
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

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Connection::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Connection::Proxied(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Connection::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Connection::Proxied(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Connection::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Connection::Proxied(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Connection::Plain(stream) => stream.is_write_vectored(),
            Connection::Tls(stream) => stream.is_write_vectored(),
            Connection::Proxied(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Connection::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Connection::Proxied(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Connection::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Connection::Proxied(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_byte_to_the_upstream_waits_for_an_acknowledgement() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a listener");
        let address = listener.local_addr().expect("its address");
        let to: Uri = format!("http://{address}/").parse().expect("a URI");
        let stream = http_connector().call(to).await.expect("a connection");
        assert!(stream.inner().nodelay().expect("an option"));
    }
}
