//! TLS towards clients: a pair of files, read again when they change. What cannot be read leaves
//! the old pair in use.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config;
use crate::wire::Plain;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What a client hears that speaks HTTP where TLS is spoken.
const PLAIN: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 53\r\nConnection: close\r\n\r\n\
      This port speaks TLS: use https:// and wss:// with it";

/// How long it may take to hear it, and how much it may have said meanwhile, in bytes.
const PLAIN_PATIENCE: Duration = Duration::from_secs(1);
const PLAIN_BYTES: u64 = 64 * 1024;

/// The server side of TLS.
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    pair: Arc<Pair>,
}

/// A certificate chain with its key, and the files that they come from.
struct Pair {
    cert: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("cert", &self.cert).finish()
    }
}

impl ResolvesServerCert for Pair {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

impl Tls {
    /// TLS as configured; `None` where it is not.
    pub(super) fn new(config: &config::Server) -> Result<Option<Tls>> {
        let (Some(cert), Some(key)) = (&config.tls_cert, &config.tls_key) else {
            return Ok(None);
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let current = load(cert, key, &provider)?;
        let pair = Arc::new(Pair {
            cert: cert.clone(),
            key: key.clone(),
            provider: Arc::clone(&provider),
            current: RwLock::new(Arc::new(current)),
        });
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("TLS versions")?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&pair) as Arc<dyn ResolvesServerCert>);
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Some(Tls {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            pair,
        }))
    }

    /// Shakes hands. A client that speaks plain HTTP hears so.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<Plain>> {
        let mut first = [0];
        // A handshake begins with 22, a method with a letter.
        if stream.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase() {
            let told = tell_plain(stream);
            let _ = tokio::time::timeout(PLAIN_PATIENCE, told).await;
            return Err(io::Error::other("a client speaks plain HTTP"));
        }
        self.acceptor.accept(Plain::new(stream)).await
    }

    /// Reads the files again whenever they change; never ends.
    pub(super) async fn watch(&self) {
        let mut seen = self.pair.stamp();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let stamp = self.pair.stamp();
            if stamp == seen {
                continue;
            }
            seen = stamp;
            self.pair.reload();
        }
    }
}

/// What the client sent is read, since a connection that closes on unread bytes takes the answer
/// back with a reset.
async fn tell_plain(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(PLAIN).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(PLAIN_BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}

impl Pair {
    /// What changes when a file is replaced or written.
    fn stamp(&self) -> [Option<(SystemTime, u64)>; 2] {
        [&self.cert, &self.key].map(|path| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.modified().ok()?, found.len()))
        })
    }

    fn reload(&self) {
        match load(&self.cert, &self.key, &self.provider) {
            Ok(pair) => {
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                *current = Arc::new(pair);
                tracing::info!("TLS_CERT and TLS_KEY changed and are in use");
            }
            // The second file of a pair mostly follows in a moment.
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                "TLS_CERT and TLS_KEY changed and cannot be used: the old pair stays"
            ),
        }
    }
}

fn load(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey> {
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .with_context(|| format!("TLS_CERT: cannot read {}", cert.display()))?;
    let private = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("TLS_KEY: cannot read {}", key.display()))?;
    CertifiedKey::from_der(chain, private, provider)
        .context("TLS_KEY: it is not the key of TLS_CERT")
}
