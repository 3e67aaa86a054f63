//! Outbound proxies: HTTP CONNECT and SOCKS 5, with and without a password, and those that refuse.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::{check_fault, relay_to};
use crate::support::{authorization, get, upstream};

/// How a proxy of the tests answers.
#[derive(Clone, Copy)]
enum Kind {
    Connect,
    RefusesConnect,
    Socks5,
}

/// A proxy that opens the way for one connection after another and keeps what it was asked.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start(kind: Kind) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("its address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                tokio::spawn(async move {
                    match kind {
                        Kind::Connect | Kind::RefusesConnect => connect(stream, kind, &kept).await,
                        Kind::Socks5 => socks5(stream, &kept).await,
                    }
                });
            }
        });
        Proxy { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn connect(mut stream: TcpStream, kind: Kind, kept: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    let head = String::from_utf8(head).expect("text");
    let target = head.split(' ').nth(1).expect("a target").to_owned();
    kept.lock().unwrap().push(head);
    if matches!(kind, Kind::RefusesConnect) {
        let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(refusal).await.expect("written");
        return;
    }
    let mut up = TcpStream::connect(target).await.expect("the target");
    stream
        .write_all(b"HTTP/1.1 200 OK\r\n\r\n")
        .await
        .expect("written");
    let _ = copy_bidirectional(&mut stream, &mut up).await;
}

/// RFC 1928 with RFC 1929: user and password where the client offers them.
async fn socks5(mut stream: TcpStream, kept: &Mutex<Vec<String>>) {
    let mut hello = [0; 2];
    stream.read_exact(&mut hello).await.expect("a greeting");
    let mut methods = vec![0; usize::from(hello[1])];
    stream.read_exact(&mut methods).await.expect("methods");
    let mut said = String::new();
    if methods.contains(&2) {
        stream.write_all(&[5, 2]).await.expect("written");
        assert_eq!(stream.read_u8().await.expect("version"), 1);
        for _ in 0..2 {
            let length = stream.read_u8().await.expect("a length");
            let mut text = vec![0; usize::from(length)];
            stream.read_exact(&mut text).await.expect("text");
            said.push_str(&String::from_utf8(text).expect("text"));
            said.push(' ');
        }
        stream.write_all(&[1, 0]).await.expect("written");
    } else {
        stream.write_all(&[5, 0]).await.expect("written");
    }
    let mut wanted = [0; 4];
    stream.read_exact(&mut wanted).await.expect("a request");
    let host = match wanted[3] {
        1 => {
            let mut ip = [0; 4];
            stream.read_exact(&mut ip).await.expect("an address");
            std::net::Ipv4Addr::from(ip).to_string()
        }
        _ => {
            let length = stream.read_u8().await.expect("a length");
            let mut name = vec![0; usize::from(length)];
            stream.read_exact(&mut name).await.expect("a name");
            String::from_utf8(name).expect("text")
        }
    };
    let port = stream.read_u16().await.expect("a port");
    kept.lock().unwrap().push(format!("{said}{host}:{port}"));
    let mut up = TcpStream::connect((host, port)).await.expect("the target");
    stream
        .write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
        .await
        .expect("written");
    let _ = copy_bidirectional(&mut stream, &mut up).await;
}

#[tokio::test]
async fn https_goes_through_a_connect_proxy_and_shows_it_nothing_else() {
    let proxy = Proxy::start(Kind::Connect).await;
    let upstream = super::tls_upstream().await;
    let url = format!("http://user:p%40ss@{}", proxy.address);
    let relay = relay_to(&upstream.base_url(), &[("HTTPS_PROXY", &url)]).await;
    let answer = get(relay.address(), "/v1/models", &[&authorization()]).await;
    // The certificate is not trusted here; that it was seen at all went through the proxy.
    check_fault(&answer, 502, "upstream_tls");
    let asked = proxy.asked().remove(0);
    let address = upstream.addr();
    assert!(
        asked.starts_with(&format!("CONNECT {address} HTTP/1.1\r\n")),
        "{asked}"
    );
    assert!(
        asked.to_lowercase().contains("proxy-authorization: basic "),
        "{asked}"
    );
    assert!(
        !asked.to_lowercase().contains("\r\nauthorization"),
        "{asked}"
    );
}

#[tokio::test]
async fn a_proxy_for_everything_carries_plain_upstreams_too() {
    let proxy = Proxy::start(Kind::Connect).await;
    let upstream = upstream().await;
    let url = format!("http://{}", proxy.address);
    let relay = relay_to(&upstream.base_url(), &[("ALL_PROXY", &url)]).await;
    for _ in 0..3 {
        let answer = get(relay.address(), "/v1/models", &[&authorization()]).await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(proxy.asked().len(), 1, "one tunnel serves them all");
}

#[tokio::test]
async fn a_socks_proxy_opens_the_way_with_and_without_a_password() {
    let upstream = upstream().await;
    for (user, said) in [("", ""), ("me:secret@", "me secret ")] {
        let proxy = Proxy::start(Kind::Socks5).await;
        let url = format!("socks5://{user}{}", proxy.address);
        let relay = relay_to(&upstream.base_url(), &[("ALL_PROXY", &url)]).await;
        let answer = get(relay.address(), "/v1/models", &[&authorization()]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(proxy.asked(), [format!("{said}{}", upstream.addr())]);
    }
}

#[tokio::test]
async fn hosts_of_no_proxy_are_dialled_straight() {
    let proxy = Proxy::start(Kind::Connect).await;
    let upstream = upstream().await;
    let url = format!("http://{}", proxy.address);
    for no in ["127.0.0.1", "127.0.0.0/8", "*", "other.test, 127.0.0.1"] {
        let extra = [("ALL_PROXY", url.as_str()), ("NO_PROXY", no)];
        let relay = relay_to(&upstream.base_url(), &extra).await;
        let answer = get(relay.address(), "/v1/models", &[&authorization()]).await;
        assert_eq!((answer.status, proxy.asked().len()), (200, 0), "{no}");
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_is_502_and_not_to_be_retried() {
    let proxy = Proxy::start(Kind::RefusesConnect).await;
    let upstream = upstream().await;
    let url = format!("http://user:secret-of-proxy@{}", proxy.address);
    let relay = relay_to(&upstream.base_url(), &[("ALL_PROXY", &url)]).await;
    let answer = get(relay.address(), "/v1/models", &[&authorization()]).await;
    check_fault(&answer, 502, "upstream_proxy");
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert!(!relay.whole_log().await.contains("secret-of-proxy"));
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_502() {
    let upstream = upstream().await;
    for scheme in ["http", "socks5"] {
        let url = format!("{scheme}://127.0.0.1:1");
        let relay = relay_to(&upstream.base_url(), &[("ALL_PROXY", &url)]).await;
        let answer = get(relay.address(), "/v1/models", &[&authorization()]).await;
        check_fault(&answer, 502, "upstream_proxy");
    }
}
