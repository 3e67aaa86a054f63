//! An authority and a certificate of the stand-in's own, made at start.

use std::io;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};
use tokio_rustls::TlsAcceptor;

/// The names that the certificate is for.
const NAMES: [&str; 4] = ["localhost", "127.0.0.1", "::1", "api.openai.test"];

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What is wrong with the certificate, if anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// Nothing.
    #[default]
    Good,
    /// It ended a day ago.
    Expired,
    /// It begins in a day.
    NotYetValid,
    /// It is for another host.
    WrongName,
    /// It vouches for itself.
    SelfSigned,
    /// Another authority vouches for it than the one that is handed out.
    OtherAuthority,
    /// It is for clients, not for servers.
    ForClients,
}

/// What the stand-in shows to its clients.
pub(crate) struct Identity {
    pub(crate) ca_pem: String,
    config: Arc<ServerConfig>,
}

impl Identity {
    pub(crate) fn generate(certificate: Certificate) -> io::Result<Identity> {
        Identity::try_generate(certificate).map_err(io::Error::other)
    }

    fn try_generate(certificate: Certificate) -> Result<Identity, BoxError> {
        let (ca, other) = (authority()?, authority()?);
        let key = KeyPair::generate()?;
        let params = params(certificate)?;
        let leaf = match certificate {
            Certificate::SelfSigned => params.self_signed(&key)?,
            Certificate::OtherAuthority => params.signed_by(&key, &other)?,
            _ => params.signed_by(&key, &ca)?,
        };
        let chain = vec![CertificateDer::from(leaf)];
        let key = PrivateKeyDer::try_from(key.serialize_der())?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Without limits to how many sessions are remembered, as those who serve many do it.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        Ok(Identity {
            ca_pem: ca.pem(),
            config: Arc::new(config),
        })
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, BoxError> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "fake-openai authority");
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn params(certificate: Certificate) -> Result<CertificateParams, BoxError> {
    let names: Vec<String> = match certificate {
        Certificate::WrongName => vec!["api.elsewhere.test".to_owned()],
        _ => NAMES.iter().map(|name| (*name).to_owned()).collect(),
    };
    let mut params = CertificateParams::new(names)?;
    let now = OffsetDateTime::now_utc();
    match certificate {
        Certificate::Expired => params.not_after = now - Duration::DAY,
        Certificate::NotYetValid => params.not_before = now + Duration::DAY,
        Certificate::ForClients => {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
        _ => {}
    }
    Ok(params)
}
