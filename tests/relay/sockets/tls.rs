//! TLS on the listener: HTTP/1.1, HTTP/2 and sockets on one port, with a pair that can be renewed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::relay::command;
use crate::support::ws::{Frame, TEXT, upgrade};
use crate::support::{
    Connection, Relay, authorization, eventually, get, pair, pair_with, upstream,
};

/// A self-signed pair in a folder of its own.
struct Files {
    folder: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new() -> Files {
        let folder = std::env::temp_dir().join(uuid::Uuid::new_v4().to_string());
        std::fs::create_dir_all(&folder).expect("a folder");
        let files = Files {
            cert: folder.join("cert.pem"),
            key: folder.join("key.pem"),
            folder,
        };
        files.renew();
        files
    }

    /// Makes a new pair in the place of the old one; returns the certificate.
    fn renew(&self) -> CertificateDer<'static> {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a pair");
        std::fs::write(&self.key, made.signing_key.serialize_pem()).expect("a key");
        std::fs::write(&self.cert, made.cert.pem()).expect("a certificate");
        made.cert.der().clone()
    }

    fn variables(&self) -> [(&str, &str); 2] {
        [("TLS_CERT", text(&self.cert)), ("TLS_KEY", text(&self.key))]
    }

    fn current(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(&self.cert).expect("a certificate")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

/// A connection that trusts this certificate alone.
async fn connect(
    relay: &Relay,
    trusted: CertificateDer<'static>,
    alpn: &[&str],
) -> TlsStream<TcpStream> {
    let connected = try_connect(relay, trusted, alpn).await;
    connected.expect("a handshake")
}

async fn try_connect(
    relay: &Relay,
    trusted: CertificateDer<'static>,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(relay.address()).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

async fn status(stream: &mut TlsStream<TcpStream>, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.expect("an answer");
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn requests_sockets_and_http2_share_the_port() {
    let files = Files::new();
    let (_upstream, relay) = pair_with(&files.variables()).await;
    let key = authorization();
    let mut plain = connect(&relay, files.current(), &["http/1.1"]).await;
    let request = format!("GET /v1/models HTTP/1.1\r\nHost: localhost\r\n{key}\r\n\r\n");
    assert_eq!(status(&mut plain, &request).await, "HTTP/1.1 200");
    let mut h2 = connect(&relay, files.current(), &["h2", "http/1.1"]).await;
    assert_eq!(h2.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    h2.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .expect("written");
    let mut settings = [0; 9];
    h2.read_exact(&mut settings).await.expect("settings");
    assert_eq!(settings[3], 4, "a SETTINGS frame");
    let mut socket = connect(&relay, files.current(), &[]).await;
    let ask = upgrade("/v1/realtime?model=m", &[&key, "X-Fake-Script: echo"]);
    assert_eq!(status(&mut socket, &ask).await, "HTTP/1.1 101");
    let frame = Frame::whole(TEXT, "over TLS").masked(*b"abcd");
    socket.write_all(&frame).await.expect("written");
    let mut read = Vec::new();
    while !read.ends_with(b"\x81\x08over TLS") {
        assert!(socket.read_buf(&mut read).await.expect("an echo") > 0);
    }
}

#[tokio::test]
async fn a_renewed_pair_is_used_and_a_broken_one_is_not() {
    let files = Files::new();
    let old = files.current();
    let (_upstream, mut relay) = pair_with(&files.variables()).await;
    let mut open = connect(&relay, old.clone(), &[]).await;
    let key = authorization();
    let request = format!("GET /v1/models HTTP/1.1\r\nHost: localhost\r\n{key}\r\n\r\n");
    assert_eq!(status(&mut open, &request).await, "HTTP/1.1 200");
    std::fs::write(&files.cert, "-----BEGIN CERTIFICATE-----\nnonsense").expect("written");
    let refused = "TLS_CERT and TLS_KEY changed and cannot be used: the old pair stays";
    relay.line(|line| line["message"] == refused).await;
    connect(&relay, old.clone(), &[]).await;
    let new = files.renew();
    relay
        .line(|line| line["message"] == "TLS_CERT and TLS_KEY changed and are in use")
        .await;
    connect(&relay, new, &[]).await;
    assert!(try_connect(&relay, old, &[]).await.is_err());
}

#[tokio::test]
async fn plain_http_on_a_port_of_tls_is_told_so() {
    let files = Files::new();
    let (_upstream, relay) = pair_with(&files.variables()).await;
    let answer = get(relay.address(), "/health", &[]).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.is_complete && answer.text().contains("https://"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn tls_on_a_port_of_plain_http_is_answered_at_once_and_named_in_the_log() {
    let (_upstream, mut relay) = pair().await;
    let mut connection = Connection::open(relay.address()).await;
    // The head of a record that carries a ClientHello, without a line end in it.
    connection.write(b"\x16\x03\x01\x02\x00\x01\x00").await;
    let answer = connection.answer(false).await.expect("an answer");
    assert_eq!(
        (answer.status, answer.code()),
        (400, "malformed_request".to_owned())
    );
    assert!(answer.text().contains("TLS_CERT"), "{}", answer.text());
    let line = relay.line(|line| line["status"] == 400).await;
    assert!(
        line["cause"]
            .as_str()
            .is_some_and(|cause| cause.contains("TLS")),
        "{line}"
    );
}

#[tokio::test]
async fn the_healthcheck_knows_its_own_certificate() {
    let files = Files::new();
    let (_upstream, relay) = pair_with(&files.variables()).await;
    let port = relay.address().port().to_string();
    let mut variables = vec![("PORT", port.as_str()), ("HOST", "127.0.0.1")];
    variables.extend(files.variables());
    let check = command(&files.folder, &variables)
        .arg("healthcheck")
        .output()
        .await;
    let check = check.expect("the binary");
    assert!(
        check.status.success(),
        "{}",
        String::from_utf8_lossy(&check.stderr)
    );
    let other = Files::new();
    let mut variables = vec![("PORT", port.as_str()), ("HOST", "127.0.0.1")];
    variables.extend(other.variables());
    let check = command(&other.folder, &variables)
        .arg("healthcheck")
        .output()
        .await;
    assert!(!check.expect("the binary").status.success());
}

#[tokio::test]
async fn a_pair_that_does_not_fit_stops_the_start() {
    let (files, other) = (Files::new(), Files::new());
    let upstream = upstream().await;
    let base = upstream.base_url();
    for (cert, key, named) in [
        (Some(&files.cert), Some(&other.key), "TLS_KEY"),
        (Some(&files.cert), None, "TLS_KEY"),
        (None, Some(&files.key), "TLS_CERT"),
        (Some(&files.key), Some(&files.key), "TLS_CERT"),
        (Some(&files.cert), Some(&files.cert), "TLS_KEY"),
    ] {
        let mut variables = vec![("OPENAI_BASE_URL", base.as_str()), ("PORT", "0")];
        variables.extend(cert.map(|path| ("TLS_CERT", text(path))));
        variables.extend(key.map(|path| ("TLS_KEY", text(path))));
        let output = command(&files.folder, &variables)
            .output()
            .await
            .expect("the binary");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(named), "{error}");
    }
    eventually("nothing was dialled", || upstream.connections() == 0).await;
}
