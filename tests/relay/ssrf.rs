//! P19: nothing that a client or the upstream sends chooses where the relay connects to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::net::TcpListener;

use crate::support::{Connection, Home, People, RELAY_TOKEN, request, trust};

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
fn attempts(trap: &str, key: &str) -> Vec<Vec<u8>> {
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
                &[key, "Content-Type: application/json"],
                body.as_bytes(),
            ));
            all.push(request(
                "GET",
                &format!("/v1/models?{name}={url}"),
                &[key],
                b"",
            ));
        }
        for field in ["token", "model", "sdp", "session"] {
            let mut body = json!({ "sdp": super::offer::SDP });
            body[field] = json!(url);
            all.push(request(
                "POST",
                "/offer",
                &[key],
                body.to_string().as_bytes(),
            ));
        }
        let absolute = format!(
            "GET {url}/v1/models HTTP/1.1\r\nHost: {trap}\r\nConnection: close\r\n{key}\r\n\r\n"
        );
        all.push(absolute.into_bytes());
        all.push(request("GET", &format!("/v1/@{trap}/x"), &[key], b""));
        all.push(request("GET", &format!("/v1/{url}"), &[key], b""));
    }
    let candidate = format!(
        "{}a=candidate:1 1 udp 1 {} 9 typ host\r\n",
        super::offer::SDP,
        trap.split(':').next().unwrap_or_default()
    );
    all.push(request(
        "POST",
        "/offer",
        &[key],
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
            key,
            &format!("X-Fake-Script: status=307 header=Location:http://{trap}/v1/models"),
        ],
        b"",
    ));
    all.push(request(
        "POST",
        "/v1/responses",
        &[
            key,
            &format!("X-Fake-Script: status=302 header=Location:http://{trap}/"),
        ],
        b"{}",
    ));
    all
}

/// What makes credentials, and what they say.
fn makings(trap: &str, key: &str) -> Vec<Vec<u8>> {
    let lines = [key, "Content-Type: application/json"];
    let mut all = Vec::new();
    for url in [
        format!("http://{trap}"),
        format!("wss://{trap}/v1/realtime"),
    ] {
        for (path, body) in [
            ("/api/v1/tokens", json!({ "rules": { "origins": [url] } })),
            ("/api/v1/tokens", json!({ "base_url": url })),
            (
                "/v1/realtime/client_secrets",
                json!({ "session": { "type": "realtime", "model": url } }),
            ),
            (
                "/v1/realtime/client_secrets",
                json!({ "session": { "type": "realtime" }, "relay_rules": { "models": [url] } }),
            ),
            (
                "/v1/realtime/client_secrets",
                json!({ "session": { "type": "realtime" }, "upstream": url }),
            ),
            (
                "/v1/live/sessions",
                json!({ "session": { "model": "gpt-live-1" }, "transport": { "type": "webrtc", "sdp": url } }),
            ),
        ] {
            all.push(request("POST", path, &lines, body.to_string().as_bytes()));
        }
        let path = format!("/v1/realtime/calls/{}/hangup", url.replace('/', "%2F"));
        all.push(request("POST", &path, &lines, b"{}"));
        all.push(request(
            "GET",
            &format!("/v1/realtime?call_id={url}"),
            &lines,
            b"",
        ));
    }
    all
}

/// RELAY_TOKEN, a relay key, one whose bodies are held and read, and sealed tokens without and with
/// OpenAI's credential inside.
async fn credentials(people: &People) -> Vec<String> {
    let mut all = vec![RELAY_TOKEN.to_owned()];
    for words in [&[][..], &["--models", "gpt-6-luna,gpt-realtime-*"]] {
        let words = [&["key", "create", "a client", "--json"], words].concat();
        let made = people.database.json(&words, "").await;
        all.push(made["key"].as_str().expect("a key").to_owned());
    }
    let session = json!({ "session": { "type": "realtime", "model": "gpt-realtime-2.1-mini" } });
    for (path, body) in [
        ("/api/v1/tokens", json!({})),
        ("/v1/realtime/client_secrets", session),
    ] {
        let made = people.call("POST", path, Some(&all[1]), Some(&body)).await;
        all.push(made.json()["value"].as_str().expect(path).to_owned());
    }
    people.upstream.take_received();
    all
}

#[tokio::test]
async fn no_attempt_reaches_anything_but_the_configured_upstream() {
    let people = People::start_with(Home::Sqlite, &[("RELAY_TOKEN", RELAY_TOKEN)]).await;
    let (trap, caught) = trap().await;
    let host = people.upstream.addr().to_string();
    let credentials = credentials(&people).await;
    let (mut count, mut went_up) = (0, 0);
    for credential in &credentials {
        let key = format!("Authorization: Bearer {credential}");
        let mut attempts = attempts(&trap, &key);
        attempts.extend(makings(&trap, &key));
        assert!(attempts.len() >= 120, "{}", attempts.len());
        count += attempts.len();
        for attempt in attempts {
            let text = String::from_utf8_lossy(&attempt).into_owned();
            let mut connection = Connection::open(people.relay.address()).await;
            connection.write(&attempt).await;
            while connection.more().await.is_some() {}
            for received in people.upstream.take_received() {
                assert_eq!(received.header_all("host"), [host.as_str()], "{text}");
                assert!(received.target.starts_with("/v1/"), "{text}");
                went_up += 1;
            }
            assert_eq!(caught.load(Ordering::SeqCst), 0, "{text}");
        }
    }
    trust::record(
        "P19",
        &format!(
            "{count} attempts with {} kinds of credential, {went_up} of which went up: 0 connected elsewhere",
            credentials.len()
        ),
    );
}
