//! P17: the server's key leaves in one header, towards the upstream.

use std::collections::BTreeMap;

use super::*;
use crate::support::relay::command;
use crate::support::{
    Dice, RELAY_TOKEN, Relay, SERVER_KEY, authorization, pair_with, request, trust,
};

const METHODS: [&str; 9] = [
    "GET", "GET", "POST", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "FOO",
];
/// None that shows a request's own headers to whoever asks: a body passes as the upstream made it.
const TARGETS: [&str; 27] = [
    "/v1/models",
    "/v1/models/none",
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/files",
    "/v1/realtime/client_secrets",
    "/v1/realtime/calls",
    "/v1/realtime",
    "/v1/_fake/redirect",
    "/v1/_fake/informational",
    "/v1/_fake/status/204",
    "/v1/_fake/status/304",
    "/v1/_fake/status/500",
    "/v1/_fake/status/599",
    "/v1/_fake/bytes?n=2000&chunked=1",
    "/v1/nothing?key=1",
    "/v1/../admin",
    "/v1/%00",
    "/v1//x",
    "/",
    "/health",
    "/stats",
    "/ready",
    "/nothing",
    "/offer",
    "/api/v1/health",
];
const SCRIPTS: [&str; 17] = [
    "",
    "status=401",
    "status=403",
    "status=429 retry-after=1",
    "status=500",
    "status=502 html",
    "garbage",
    "cut-at=3",
    "reset-at=2",
    "wrong-length=5",
    "no-request-id",
    "trailers",
    "close",
    "header=Connection:Authorization",
    "header=X-Evil:a%00b",
    "header=Location:http://elsewhere.invalid/",
    "no-such-word",
];
const CREDENTIALS: [&str; 9] = [
    "Authorization: Bearer relay-token-for-tests-0123456789",
    "Authorization: Bearer relay-token-for-tests-0123456789",
    "Authorization: Bearer relay-token-for-tests-0123456789",
    "authorization: bearer   relay-token-for-tests-0123456789 ",
    "Authorization: Bearer wrong",
    "Authorization: Basic dTpw",
    "X-Nothing: 1",
    "Authorization: Bearer rk_unknown",
    "Authorization: Bearer ek_relay_unknown",
];
const EXTRAS: [&str; 10] = [
    "X-Nothing: 2",
    "Connection: authorization",
    "TE: trailers",
    "Expect: 100-continue",
    "Origin: https://app.example",
    "Origin: https://other.example",
    "Upgrade: websocket\r\nConnection: upgrade",
    "Transfer-Encoding: gzip",
    "Content-Type: multipart/form-data",
    "Host: second.test",
];
const BODIES: [&str; 7] = [
    "",
    "{\"model\":",
    "{\"model\":\"gpt-6-luna\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
    "{\"model\":\"gpt-6-luna\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
    "{\"sdp\":\"v=0\\r\\n\"}",
    "\u{0}\u{1}\u{2}",
    "--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n",
];

/// The next request of the fuzzed thousands, and its credential.
fn next_request(dice: &mut Dice) -> Vec<u8> {
    let script = format!("X-Fake-Script: {}", dice.pick(&SCRIPTS));
    let mut lines = vec![dice.pick(&CREDENTIALS), script.as_str()];
    if dice.roll(3) == 0 {
        lines.push(dice.pick(&EXTRAS));
    }
    let (method, target) = (dice.pick(&METHODS), dice.pick(&TARGETS));
    let body = if matches!(method, "POST" | "PUT" | "DELETE") {
        dice.pick(&BODIES)
    } else {
        ""
    };
    request(method, target, &lines, body.as_bytes())
}

#[tokio::test]
async fn the_servers_key_goes_into_one_header_upstream_and_nowhere_else() {
    let (upstream, mut relay) = pair_with(&[
        ("LOG_LEVEL", "trace"),
        ("ALLOWED_ORIGINS", "https://app.example"),
    ])
    .await;
    let mut dice = Dice::new(17);
    let mut statuses: BTreeMap<String, usize> = BTreeMap::new();
    let mut went_up = 0;
    for _ in 0..10_000 {
        let request = next_request(&mut dice);
        let shown = String::from_utf8_lossy(&request).into_owned();
        let seen = all_bytes(&relay, &request).await;
        assert!(
            !holds(&seen, SERVER_KEY),
            "the client sees the key: {shown}"
        );
        assert!(!holds(&seen, RELAY_TOKEN), "the token comes back: {shown}");
        let status = seen.get(9..12).map(String::from_utf8_lossy);
        *statuses
            .entry(status.unwrap_or_default().into_owned())
            .or_default() += 1;
        for received in upstream.take_received() {
            went_up += 1;
            let carried = received.header_all("authorization");
            assert_eq!(carried, [format!("Bearer {SERVER_KEY}")], "{shown}");
            let head = String::from_utf8_lossy(&received.raw_head).into_owned();
            assert_eq!(head.matches(SERVER_KEY).count(), 1, "{head}");
            assert!(!head.contains(RELAY_TOKEN), "{head}");
            assert!(!holds(&received.body, SERVER_KEY), "{shown}");
        }
    }
    let (sockets_up, opened) = sockets::fuzz(&upstream, &relay, 2000).await;
    // The dice reached what they were made for.
    assert!(
        sockets_up > 1000 && opened > 500,
        "{sockets_up} sockets up, {opened} opened"
    );
    assert!(went_up > 500, "{went_up} went up");
    for status in [
        "200", "302", "400", "401", "404", "405", "429", "500", "502",
    ] {
        assert!(statuses.contains_key(status), "no {status} in {statuses:?}");
    }
    all_bytes(
        &relay,
        &request("GET", "/v1/last", &[&authorization()], b""),
    )
    .await;
    relay.line(|line| line["path"] == "/v1/last").await;
    let log = relay.log_text();
    assert!(
        log.lines().count() > 1000,
        "a log of {} lines",
        log.lines().count()
    );
    assert!(!log.contains(SERVER_KEY), "the key is in the log");
    assert!(!log.contains(RELAY_TOKEN), "the token is in the log");
    trust::record(
        "P17",
        &format!(
            "10,000 fuzzed exchanges, {went_up} of them upstream, and 2,000 sockets, {sockets_up} of them upstream: 0 hits but the one header"
        ),
    );
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_does_not_show_the_key() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    for base in [
        format!("http://127.0.0.1:{port}/v1"),
        format!("https://127.0.0.1:{port}/v1"),
        "http://no-such-host.invalid/v1".to_owned(),
    ] {
        let relay = Relay::start(&[
            ("OPENAI_API_KEY", SERVER_KEY),
            ("OPENAI_BASE_URL", &base),
            ("RELAY_TOKEN", RELAY_TOKEN),
            ("LOG_LEVEL", "trace"),
        ])
        .await;
        let bytes = request("GET", "/v1/models", &[&authorization()], b"");
        let seen = all_bytes(&relay, &bytes).await;
        assert!(seen.starts_with(b"HTTP/1.1 502 "), "{base}");
        let log = relay.whole_log().await;
        for secret in [SERVER_KEY, RELAY_TOKEN] {
            assert!(!holds(&seen, secret), "{base}: {secret} came down");
            assert!(!log.contains(secret), "{base}: in the log");
        }
    }
}

#[tokio::test]
async fn no_command_prints_a_secret_even_of_a_broken_configuration() {
    let folder = std::env::temp_dir();
    let spaced_key = format!("{SERVER_KEY} and more");
    let proxy = format!("http://user:{SERVER_KEY}@proxy.invalid:3128");
    let base = format!("https://user:{SERVER_KEY}@host.invalid/v1");
    let settings: [&[(&str, &str)]; 6] = [
        &[("OPENAI_API_KEY", SERVER_KEY), ("RELAY_TOKEN", RELAY_TOKEN)],
        &[("OPENAI_API_KEY", &spaced_key)],
        &[("OPENAI_BASE_URL", &base)],
        &[("HTTPS_PROXY", &proxy), ("OPENAI_API_KEY", SERVER_KEY)],
        &[("OPENAI_API_KEY", SERVER_KEY), ("PORT", SERVER_KEY)],
        &[("OPENAI_API_KEY", SERVER_KEY), ("TRUSTED_PROXIES", "x")],
    ];
    for variables in settings {
        let output = command(&folder, variables)
            .arg("config")
            .stdin(std::process::Stdio::null())
            .output()
            .await
            .expect("it runs");
        let printed = [output.stdout, output.stderr].concat();
        assert!(!printed.is_empty(), "{variables:?}");
        for secret in [SERVER_KEY, RELAY_TOKEN] {
            let shown = String::from_utf8_lossy(&printed);
            assert!(!holds(&printed, secret), "{variables:?} printed {shown}");
        }
    }
}
