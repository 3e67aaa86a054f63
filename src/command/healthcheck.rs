//! `healthcheck`: one request to a running relay on this machine; the exit code is the answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::runtime;
use crate::config::Config;

const TIMEOUT: Duration = Duration::from_secs(3);
/// What of an error is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

pub(super) fn run(config: &Config) -> Result<ExitCode> {
    let address = SocketAddr::new(reachable(config.server.host), config.server.port);
    let tls = config.server.tls_cert.as_deref().map(pinned).transpose()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{address}/health");
    let runtime = runtime()?;
    runtime.block_on(async {
        match tokio::time::timeout(TIMEOUT, ask(address, tls)).await {
            Ok(Ok(())) => Ok(ExitCode::SUCCESS),
            Ok(Err(error)) => Err(error.context(url)),
            Err(_) => bail!("{url} did not answer within 3 s"),
        }
    })
}

/// TLS to oneself: the certificate names a host of the outside, so it is compared with the file.
fn pinned(cert: &Path) -> Result<TlsConnector> {
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .with_context(|| format!("TLS_CERT: cannot read {}", cert.display()))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { chain, provider }))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Trusts one chain, whatever it says.
#[derive(Debug)]
struct Pinned {
    chain: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        if self.chain.first() == Some(end_entity) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(TlsError::General(
                "it serves another certificate than TLS_CERT".to_owned(),
            ))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// Where a relay that listens on this address is reached from its own machine.
fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

async fn ask(address: SocketAddr, tls: Option<TlsConnector>) -> Result<()> {
    let stream = TcpStream::connect(address)
        .await
        .context("cannot connect")?;
    match tls {
        None => ask_over(stream, address).await,
        Some(tls) => {
            let name = ServerName::from(address.ip());
            let stream = tls.connect(name, stream).await.context("TLS")?;
            ask_over(stream, address).await
        }
    }
}

async fn ask_over<S>(stream: S, address: SocketAddr) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/health")
        .header(header::HOST, address.to_string())
        .header(header::CONNECTION, "close")
        .body(Empty::<bytes::Bytes>::new())?;
    let answered = async move {
        let answer = sender.send_request(request).await.context("no answer")?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        anyhow::Ok((
            head.status,
            body.map(|body| body.to_bytes()).unwrap_or_default(),
        ))
    };
    // The connection may end with the answer.
    let (answered, _) = tokio::join!(answered, connection);
    let (status, body) = answered?;
    if status == StatusCode::OK {
        return Ok(());
    }
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    match json["error"]["message"].as_str() {
        Some(message) => bail!("it answers {status}: {message}"),
        None => bail!("it answers {status}"),
    }
}
