//! P19: nothing that a client or the upstream sends chooses where the relay connects to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::net::TcpListener;

use crate::support::{Connection, authorization, pair, request, trust};

/// A listener that nobody should ever reach.
async fn trap() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.66:0").await.expect("a trap");
    let address = listener.local_addr().expect("its address").to_string();
    let caught = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&caught);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (address, caught)
}

/// Everything by which clients have tried to choose a gateway's upstream.
fn attempts(trap: &str) -> Vec<Vec<u8>> {
    let key = authorization();
    let urls = [
        format!("http://{trap}"),
        format!("http://{trap}/v1"),
        format!("https://{trap}/"),
        format!("//{trap}/"),
        trap.to_owned(),
    ];
    let mut all = Vec::new();
    for url in &urls {
        for name in [
            "Host",
            "X-Forwarded-Host",
            "X-Host",
            "X-Original-URL",
            "X-Rewrite-URL",
            "Forwarded",
            "X-Upstream",
            "X-Base-Url",
            "Proxy",
            "X-HTTP-Host-Override",
            "X-Forwarded-Server",
            "OpenAI-Base-Url",
            "Location",
            "Destination",
        ] {
            let value = if name == "Forwarded" {
                format!("host={url}")
            } else {
                url.clone()
            };
            let mut text = format!(
                "GET /v1/models HTTP/1.1\r\nConnection: close\r\n{key}\r\n{name}: {value}\r\n"
            );
            if name != "Host" {
                text.push_str("Host: relay.test\r\n");
            }
            all.push(format!("{text}\r\n").into_bytes());
        }
        for name in [
            "api_base", "base_url", "baseURL", "endpoint", "url", "proxy", "model", "host",
        ] {
            let body = json!({ "model": "gpt-6-luna", "messages": [{ "role": "user", "content": "x" }], name: url }).to_string();
            all.push(request(
                "POST",
                "/v1/chat/completions",
                &[&key, "Content-Type: application/json"],
                body.as_bytes(),
            ));
            all.push(request(
                "GET",
                &format!("/v1/models?{name}={url}"),
                &[&key],
                b"",
            ));
        }
        for field in ["token", "model", "sdp", "session"] {
            let mut body = json!({ "sdp": super::offer::SDP });
            body[field] = json!(url);
            all.push(request(
                "POST",
                "/offer",
                &[&key],
                body.to_string().as_bytes(),
            ));
        }
        let absolute = format!(
            "GET {url}/v1/models HTTP/1.1\r\nHost: {trap}\r\nConnection: close\r\n{key}\r\n\r\n"
        );
        all.push(absolute.into_bytes());
        all.push(request("GET", &format!("/v1/@{trap}/x"), &[&key], b""));
        all.push(request("GET", &format!("/v1/{url}"), &[&key], b""));
    }
    let candidate = format!(
        "{}a=candidate:1 1 udp 1 {} 9 typ host\r\n",
        super::offer::SDP,
        trap.split(':').next().unwrap_or_default()
    );
    all.push(request(
        "POST",
        "/offer",
        &[&key],
        json!({ "sdp": candidate }).to_string().as_bytes(),
    ));
    all.push(
        format!("CONNECT {trap} HTTP/1.1\r\nHost: {trap}\r\nConnection: close\r\n{key}\r\n\r\n")
            .into_bytes(),
    );
    all.push(request(
        "GET",
        "/v1/models",
        &[
            &key,
            &format!("X-Fake-Script: status=307 header=Location:http://{trap}/v1/models"),
        ],
        b"",
    ));
    all.push(request(
        "POST",
        "/v1/responses",
        &[
            &key,
            &format!("X-Fake-Script: status=302 header=Location:http://{trap}/"),
        ],
        b"{}",
    ));
    all
}

#[tokio::test]
async fn no_attempt_reaches_anything_but_the_configured_upstream() {
    let (upstream, relay) = pair().await;
    let (trap, caught) = trap().await;
    let attempts = attempts(&trap);
    assert!(attempts.len() >= 120, "{}", attempts.len());
    let host = upstream.addr().to_string();
    let count = attempts.len();
    for attempt in attempts {
        let text = String::from_utf8_lossy(&attempt).into_owned();
        let mut connection = Connection::open(relay.address()).await;
        connection.write(&attempt).await;
        while connection.more().await.is_some() {}
        for received in upstream.take_received() {
            assert_eq!(received.header_all("host"), [host.as_str()], "{text}");
            assert!(received.target.starts_with("/v1/"), "{text}");
        }
        assert_eq!(caught.load(Ordering::SeqCst), 0, "{text}");
    }
    trust::record("P19", &format!("{count} attempts: 0 connected elsewhere"));
}
