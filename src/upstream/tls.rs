//! TLS towards the upstream: the system's authorities, else built-in ones, and those of the operator.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;
use std::path::PathBuf;

use super::tickets::Tickets;

/// The client side of TLS for connections that speak HTTP/1.1.
pub(super) fn client_config(ca_files: &[PathBuf]) -> Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = verifier(ca_files, Arc::clone(&provider))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS versions")?
        // "Dangerous" is the builder's word for any verifier of one's own; this is the platform's.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::store(Arc::new(Tickets::new()));
    Ok(config)
}

fn verifier(ca_files: &[PathBuf], provider: Arc<CryptoProvider>) -> Result<Verifier> {
    let mut extra = Vec::new();
    for file in ca_files {
        extra.extend(read_authorities(file)?);
    }
    // Without a store of the system's the built-in roots stand in. They also join a file of the
    // operator's: where SSL_CERT_FILE is set, the system's store is that file alone.
    if !ca_files.is_empty() || Verifier::new(Arc::clone(&provider)).is_err() {
        extra.extend_from_slice(webpki_root_certs::TLS_SERVER_ROOT_CERTS);
    }
    Verifier::new_with_extra_roots(extra, provider).context("loading certificate authorities")
}

fn read_authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let name = path.display();
    let pem = std::fs::read(path)
        .with_context(|| format!("OPENAI_CA_FILE or SSL_CERT_FILE: cannot read {name}"))?;
    let found = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("{name} is not a PEM file of certificates"))?;
    if found.is_empty() {
        bail!("{name} holds no certificate");
    }
    Ok(found)
}
