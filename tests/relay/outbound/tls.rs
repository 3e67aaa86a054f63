//! TLS towards the upstream: whom the relay trusts.

use std::path::PathBuf;

use fake_openai::{Certificate, FakeOpenAi, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{check_fault, relay_to, tls_upstream};
use crate::support::ws::Socket;
use crate::support::{SERVER_KEY, authorization, get, post};

/// A PEM file of an authority, removed with the test.
pub(super) struct PemFile(PathBuf);

impl PemFile {
    pub(super) fn new(pem: &str) -> PemFile {
        let name = format!("openai-relay-ca-{}.pem", uuid::Uuid::new_v4().simple());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, pem).expect("a file");
        PemFile(path)
    }

    pub(super) fn path(&self) -> &str {
        self.0.to_str().expect("a path")
    }
}

impl Drop for PemFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn an_authority_of_the_operators_is_trusted_by_either_name() {
    let upstream = tls_upstream().await;
    let file = PemFile::new(upstream.ca_pem().expect("an authority"));
    for name in ["OPENAI_CA_FILE", "SSL_CERT_FILE"] {
        let relay = relay_to(&upstream.base_url(), &[(name, file.path())]).await;
        let answer = get(relay.address(), "/v1/models", &[&authorization()]).await;
        assert_eq!(answer.status, 200, "{name}");
    }
}

#[tokio::test]
async fn one_tls_connection_serves_exchange_after_exchange() {
    let upstream = tls_upstream().await;
    let file = PemFile::new(upstream.ca_pem().expect("an authority"));
    let relay = relay_to(&upstream.base_url(), &[("OPENAI_CA_FILE", file.path())]).await;
    for _ in 0..5 {
        let answer = post(relay.address(), "/v1/_fake/echo", &[&authorization()], "{}").await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(upstream.connections(), 1);
}

/// Ten sockets at once, five times: each connection brings tickets for those that come after it.
#[tokio::test]
async fn of_many_tls_connections_only_the_first_ones_shake_hands_in_full() {
    const AT_ONCE: usize = 10;
    let upstream = tls_upstream().await;
    let file = PemFile::new(upstream.ca_pem().expect("an authority"));
    let relay = relay_to(&upstream.base_url(), &[("OPENAI_CA_FILE", file.path())]).await;
    let mut sockets = Vec::new();
    for _ in 0..5 {
        let mut opening = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE {
            let address = relay.address();
            opening.spawn(async move {
                let headers = [&authorization(), "X-Fake-Script: echo"];
                Socket::open(address, "/v1/realtime?model=m", &headers).await
            });
        }
        for socket in opening.join_all().await {
            let mut socket = socket.unwrap_or_else(|no| panic!("refused: {}", no.text()));
            // Tickets come with the first bytes behind a handshake.
            socket.say("hello").await;
            assert_eq!(socket.message().await.text(), "hello");
            sockets.push(socket);
        }
    }
    let (all, resumed) = (upstream.connections(), upstream.resumed());
    assert_eq!(all, 5 * AT_ONCE);
    assert!(resumed >= 4 * AT_ONCE, "{resumed} of {all}");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_502_and_not_to_be_retried() {
    let upstream = tls_upstream().await;
    let relay = relay_to(&upstream.base_url(), &[]).await;
    let answer = get(relay.address(), "/v1/models", &[&authorization()]).await;
    check_fault(&answer, 502, "upstream_tls");
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_certificate_for_another_name_is_502() {
    // A loopback address that the certificate does not name.
    let options = Options {
        listen: "127.0.0.2:0".parse().expect("an address"),
        server_key: SERVER_KEY.to_owned(),
        tls: Some(Certificate::Good),
        ..Options::default()
    };
    let upstream = FakeOpenAi::start(options).await.expect("an upstream");
    let file = PemFile::new(upstream.ca_pem().expect("an authority"));
    let relay = relay_to(&upstream.base_url(), &[("OPENAI_CA_FILE", file.path())]).await;
    let answer = get(relay.address(), "/v1/models", &[&authorization()]).await;
    check_fault(&answer, 502, "upstream_tls");
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn an_upstream_that_speaks_no_tls_is_502() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let refusal = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        let _ = stream.write_all(refusal).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let relay = relay_to(&format!("https://{address}"), &[]).await;
    let answer = get(relay.address(), "/v1/models", &[&authorization()]).await;
    check_fault(&answer, 502, "upstream_tls");
}
