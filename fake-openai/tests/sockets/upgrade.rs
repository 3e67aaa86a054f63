//! The answer to an upgrade, and what the record keeps of it.

use serde_json::Value;

use crate::client::{ask, open, request};
use crate::start;

const KEY: &str = "Authorization: Bearer sk-fake-server-key-0123456789abcdef";

#[tokio::test]
async fn the_101_proves_the_key_and_carries_openais_fields() {
    let fake = start().await;
    let (status, head, _client) = ask(&fake, request("/v1/_fake/echo", &[KEY])).await;
    assert_eq!(status, 101);
    for part in [
        "HTTP/1.1 101 Switching Protocols\r\n",
        "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
        "x-request-id: req_",
        "openai-processing-ms: ",
        "openai-version: 2020-10-01\r\n",
        "set-cookie: __cf_bm=",
    ] {
        assert!(head.contains(part), "{part} in {head}");
    }
    for part in [
        "protocol",
        "extensions",
        "content-length",
        "connection: close",
    ] {
        assert!(!head.contains(part), "{part} in {head}");
    }
}

#[tokio::test]
async fn realtime_is_selected_where_it_is_offered_and_deflate_never() {
    let fake = start().await;
    let offers = [
        KEY,
        "Sec-WebSocket-Protocol: realtime, openai-organization.org-1",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    ];
    let (_, head, client) = ask(&fake, request("/v1/_fake/echo", &offers)).await;
    assert!(head.contains("sec-websocket-protocol: realtime\r\n"));
    assert!(!head.contains("sec-websocket-extensions"));
    drop(client);
    let record = fake.socket_until(0, |record| !record.open).await;
    assert_eq!(
        record.subprotocols,
        ["realtime", "openai-organization.org-1"]
    );
    assert_eq!(record.selected.as_deref(), Some("realtime"));
    assert!(record.deflate_offered && record.left && record.received.close.is_none());
    assert_eq!(record.request.target, "/v1/_fake/echo");
    assert_eq!(record.request.header("Authorization"), Some(&KEY[15..]));
    assert!(fake.received()[0].complete);
}

#[tokio::test]
async fn upgrades_that_break_a_rule_are_refused_over_http() {
    let fake = start().await;
    let cases = [
        (request("/v1/_fake/echo", &[]), 401),
        (
            request("/v1/_fake/echo", &["Authorization: Bearer sk-x"]),
            401,
        ),
        (request("/v1/nothing", &[KEY]), 404),
        (request("/v1/_fake/echo", &[KEY, "Host: b"]), 400),
        (
            request("/v1/_fake/echo", &[KEY]).replace("GET", "POST"),
            400,
        ),
        (
            request("/v1/_fake/echo", &[KEY]).replace("n: 13", "n: 12"),
            426,
        ),
        (
            request("/v1/_fake/echo", &[KEY]).replace("dGhl", "dGh"),
            400,
        ),
    ];
    for (request, status) in cases {
        let (got, head, _) = ask(&fake, &request).await;
        assert_eq!(got, status, "{request}\n{head}");
    }
    assert!(fake.sockets().is_empty());
    assert_eq!(fake.received().len(), 7);
}

#[tokio::test]
async fn a_script_answers_the_upgrade_with_whatever_it_wants() {
    let fake = start().await;
    let cases = [
        ("status=401", 401, "content-type: application/json"),
        ("status=403", 403, "content-length: "),
        ("status=429 retry-after=7", 429, "retry-after: 7\r\n"),
        ("status=503 html", 503, "content-type: text/html"),
        ("status=200", 200, "x-request-id: "),
        ("wrong-accept", 101, "sec-websocket-accept: "),
        (
            "subprotocol=other",
            101,
            "sec-websocket-protocol: other\r\n",
        ),
        (
            "extension=permessage-deflate",
            101,
            "extensions: permessage-deflate\r\n",
        ),
        ("header=X-New:1", 101, "X-New: 1\r\n"),
    ];
    for (script, status, part) in cases {
        let field = format!("X-Fake-Script: {script}");
        let (got, head, _) = ask(&fake, request("/v1/_fake/echo", &[KEY, &field])).await;
        assert_eq!(got, status, "{script}");
        assert!(head.contains(part), "{script}: {head}");
        assert!(!head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") || script != "wrong-accept");
    }
}

#[tokio::test]
async fn the_control_routes_show_sockets_and_take_scripts() {
    let fake = start().await;
    let body = "flood-binary=2x3";
    let post = format!(
        "POST /__fake/scripts HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (status, ..) = ask(&fake, &post).await;
    assert_eq!(status, 200);
    let mut client = open(&fake, "/v1/anything", &[]).await;
    for _ in 0..2 {
        assert_eq!(client.frame().await.payload.len(), 3);
    }
    fake.socket_until(0, |record| record.sent.close.is_some())
        .await;
    let get = "GET /__fake/sockets HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let (_, _, mut control) = ask(&fake, get).await;
    let shown: Value =
        serde_json::from_slice(&control.rest().await.expect("a body")).expect("JSON");
    let sent = &shown[0]["sent"];
    assert_eq!(sent["binary"]["messages"], 2);
    assert_eq!(sent["binary"]["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(sent["close"]["code"], 1000);
}
