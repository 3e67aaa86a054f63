//! Fidelity: the same exchange with and without the relay between, byte for byte, but for the
//! differences that docs/compatibility.md lists.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use fake_openai::{FakeOpenAi, Received, deterministic_bytes};

use crate::support::{
    Answer, Connection, Dice, RELAY_TOKEN, Relay, SERVER_KEY, authorization, pair,
};

const EXCHANGES: usize = 300;
const MIB: usize = 1024 * 1024;

const PATHS: [&str; 14] = [
    "/v1/_fake/echo",
    "/v1/_fake/echo/a%2Fb/%E6%97%A5",
    "/v1/_fake/echo/",
    "/v1/_fake/echo/x%0Ay;z=1,2:@!$&'()*+",
    "/v1/_fake/echo/%zz%",
    "/v1/_fake/echo/.hidden/...",
    "/v1/_fake/bytes",
    "/v1/_fake/bytes",
    "/v1/_fake/bytes",
    "/v1/_fake/status/200",
    "/v1/_fake/status/204",
    "/v1/_fake/status/304",
    "/v1/models",
    "/v1/nothing/here",
];
const QUERIES: [&str; 10] = [
    "",
    "?",
    "?a=b&&c=%20d",
    "?q={\"c\":[1]}&<x>",
    "?path=/../../etc//passwd",
    "?u=http://u:p@h:1/#f",
    "?a=1&a=2&A=3",
    "?%00%0d%0a",
    "?back=\\slash|pipe^",
    "?=",
];
const METHODS: [&str; 9] = [
    "GET", "GET", "POST", "POST", "PUT", "PATCH", "DELETE", "HEAD", "X-ODD",
];
const FIELDS: [(&str, &str); 14] = [
    ("Accept", "application/json"),
    ("ACCEPT-encoding", "gzip, br"),
    ("user-agent", "OpenAI/Python 3.52.0"),
    ("X-Stainless-Retry-Count", "0"),
    ("x-twice", "1"),
    ("X-Twice", "2"),
    ("X-Empty", ""),
    ("X-Latin", "J\u{f6}rg"),
    ("OpenAI-Beta", "assistants=v2"),
    ("OpenAI-Organization", "org-1"),
    ("Content-Type", "application/octet-stream"),
    ("Idempotency-Key", "k-1"),
    ("X_Under_Score", "kept"),
    ("TE", "trailers"),
];
const SCRIPTS: [&str; 20] = [
    "",
    "",
    "",
    "close",
    "trailers",
    "status=400",
    "status=429 retry-after=1",
    "status=500",
    "status=503 html",
    "status=299 header=X-New:1",
    "header=Content-Encoding:gzip",
    "header=X-Dup:1 header=X-Dup:2",
    "header=Location:/v1/elsewhere status=307",
    "delay=20",
    "chunk-delay=1",
    "silence=5",
    "cut-at=10",
    "reset-at=700",
    "wrong-length=3",
    "header=X-Long:vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv",
];

/// One generated exchange, but for the credential.
struct Exchange {
    method: &'static str,
    target: String,
    lines: String,
    body: Vec<u8>,
}

fn body(dice: &mut Dice, number: usize) -> Vec<u8> {
    let most = match number {
        // The largest bodies are few: they cost time.
        50 => return deterministic_bytes(50, 64 * MIB),
        100 => return deterministic_bytes(100, 5 * MIB + 1),
        _ if dice.is_one_in(3) => return Vec::new(),
        _ => [1, 100, 5000, 16 * 1024, 100_000][dice.roll(5)],
    };
    let length = dice.roll(most) + 1;
    deterministic_bytes(number as u64, length)
}

fn exchange(dice: &mut Dice, number: usize) -> Exchange {
    let method = METHODS[dice.roll(METHODS.len())];
    let path = dice.pick(&PATHS);
    let mut target = format!("{path}{}", dice.pick(&QUERIES));
    if path == "/v1/_fake/bytes" {
        let n = [0, 1, 999, 16 * 1024, 300_000][dice.roll(5)];
        let n = if number == 150 { 64 * MIB } else { n };
        let chunked = if dice.is_one_in(2) { "&chunked=1" } else { "" };
        target = format!("{path}?n={n}&seed={number}{chunked}");
    }
    let mut lines = String::new();
    for (name, value) in FIELDS {
        if dice.is_one_in(3) {
            let _ = write!(lines, "{name}: {value}\r\n");
        }
    }
    let script = dice.pick(&SCRIPTS);
    if !script.is_empty() {
        let _ = write!(lines, "X-Fake-Script: {script}\r\n");
    }
    let body = body(dice, number);
    let (framing, framed) = frame(dice, &body);
    lines.push_str(&framing);
    Exchange {
        method,
        target,
        lines,
        body: framed,
    }
}

/// Sized or in chunks of odd sizes, with or without trailers.
fn frame(dice: &mut Dice, body: &[u8]) -> (String, Vec<u8>) {
    if body.is_empty() && dice.is_one_in(2) {
        return (String::new(), Vec::new());
    }
    if dice.is_one_in(2) {
        return (format!("Content-Length: {}\r\n", body.len()), body.to_vec());
    }
    let mut framed = Vec::with_capacity(body.len() + 1024);
    let mut rest = body;
    while !rest.is_empty() {
        let size = (dice.roll(MIB) + 1).min(dice.roll(rest.len()) + 1);
        framed.extend(format!("{size:X};ext=1\r\n").into_bytes());
        framed.extend(&rest[..size]);
        framed.extend(b"\r\n");
        rest = &rest[size..];
    }
    let trailers = if dice.is_one_in(3) {
        "X-Trailer: 1\r\nx-trailer: 2\r\n"
    } else {
        ""
    };
    framed.extend(format!("0\r\n{trailers}\r\n").into_bytes());
    ("Transfer-Encoding: chunked\r\n".to_owned(), framed)
}

impl Exchange {
    fn bytes(&self, credential: &str) -> Vec<u8> {
        let mut text = format!(
            "{} {} HTTP/1.1\r\nHost: a\r\n{credential}\r\n{}\r\n",
            self.method, self.target, self.lines
        )
        .into_bytes();
        text.extend(&self.body);
        text
    }

    /// One run: what the client saw, and what the upstream got.
    async fn run(
        &self,
        upstream: &FakeOpenAi,
        address: std::net::SocketAddr,
        credential: &str,
    ) -> (Option<Answer>, Received) {
        let mut connection = Connection::open(address).await;
        connection.write(&self.bytes(credential)).await;
        let answer = connection.answer(self.method == "HEAD").await;
        let mut received = upstream.take_received();
        assert_eq!(received.len(), 1, "{} {}", self.method, self.target);
        (answer, received.remove(0))
    }
}

/// Section 5 of what the relay promises, in both directions; ids and dates differ per answer.
const NOT_COMPARED_UP: [&str; 4] = ["host", "authorization", "connection", "te"];
const NOT_COMPARED_DOWN: [&str; 10] = [
    "alt-svc",
    "access-control-expose-headers",
    "connection",
    "date",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "vary",
    "x-content-type-options",
    "x-request-id",
];

fn up(received: &Received) -> Vec<(String, Vec<u8>)> {
    let fields = received.headers.iter();
    let fields = fields.map(|(name, value)| (name.to_lowercase(), value.clone()));
    let mut fields: Vec<_> = fields
        .filter(|(name, _)| !NOT_COMPARED_UP.contains(&name.as_str()))
        .collect();
    // Order counts among fields of one name only (RFC 9110 section 5.3).
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields
}

/// An echo tells of the whole request, credential included, which is compared on its own.
fn is_echo(exchange: &Exchange) -> bool {
    exchange.target.starts_with("/v1/_fake/echo")
}

fn down(exchange: &Exchange, answer: &Answer) -> Vec<(String, String)> {
    let mut fields: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| !NOT_COMPARED_DOWN.contains(&name.as_str()))
        .filter(|(name, _)| !(is_echo(exchange) && name == "content-length"))
        .cloned()
        .collect();
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields
}

#[tokio::test]
async fn three_hundred_exchanges_are_the_same_with_and_without_the_relay() {
    let (upstream, relay) = pair().await;
    let mut dice = Dice::new(20_261_121);
    let key = format!("Authorization: Bearer {SERVER_KEY}");
    let (mut whole, mut cut) = (0, 0);
    for number in 0..EXCHANGES {
        let exchange = exchange(&mut dice, number);
        let shown = format!(
            "{number}: {} {} {:?}",
            exchange.method, exchange.target, exchange.lines
        );
        let (direct, sent) = exchange.run(&upstream, upstream.addr(), &key).await;
        let (relayed, arrived) = exchange
            .run(&upstream, relay.address(), &authorization())
            .await;
        assert_eq!(
            (&arrived.method, &arrived.target),
            (&sent.method, &sent.target),
            "{shown}"
        );
        assert_eq!(up(&arrived), up(&sent), "{shown}");
        assert_eq!(arrived.complete, sent.complete, "{shown}");
        assert_eq!(arrived.chunked, sent.chunked, "{shown}");
        assert_eq!(arrived.body_len, sent.body_len, "{shown}");
        assert_eq!(arrived.body_sha256, sent.body_sha256, "{shown}");
        let lower = |trailers: &[(String, Vec<u8>)]| {
            let named = trailers.iter();
            named
                .map(|(name, value)| (name.to_lowercase(), value.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(lower(&arrived.trailers), lower(&sent.trailers), "{shown}");
        let (direct, relayed) = (direct.expect("an answer"), relayed.expect("an answer"));
        assert_eq!(
            (relayed.status, &relayed.reason),
            (direct.status, &direct.reason),
            "{shown}"
        );
        assert_eq!(
            down(&exchange, &relayed),
            down(&exchange, &direct),
            "{shown}"
        );
        assert_eq!(relayed.is_complete, direct.is_complete, "{shown}");
        if direct.is_complete {
            whole += 1;
            let is_same = is_echo(&exchange) || relayed.body == direct.body;
            assert!(is_same, "{shown}: the body differs");
            if exchange.lines.contains("TE: trailers") {
                assert_eq!(relayed.trailers, direct.trailers, "{shown}");
            }
        } else {
            cut += 1;
            assert!(
                is_echo(&exchange) || direct.body.starts_with(&relayed.body),
                "{shown}: the cut body differs"
            );
        }
    }
    assert!(whole >= 200 && cut >= 5, "{whole} whole, {cut} cut");
}

/// The pauses between one-byte writes of an upstream, as the client sees them.
async fn pauses(address: std::net::SocketAddr, credential: &str) -> Vec<Duration> {
    let mut connection = Connection::open(address).await;
    let text = format!(
        "GET /v1/_fake/bytes?n=200 HTTP/1.1\r\nHost: a\r\n{credential}\r\n\
         X-Fake-Script: chunk-delay=0\r\nConnection: close\r\n\r\n"
    );
    let mut took = Vec::new();
    for _ in 0..50 {
        let start = Instant::now();
        let mut connection = Connection::open(address).await;
        connection.write(text.as_bytes()).await;
        connection.answer(false).await.expect("an answer");
        took.push(start.elapsed());
    }
    drop(connection.more());
    took.sort_unstable();
    took
}

/// A stall is 40 ms and more: Nagle's algorithm waiting for a delayed acknowledgement.
#[tokio::test]
async fn small_writes_do_not_wait_for_acknowledgements() {
    let (upstream, relay): (FakeOpenAi, Relay) = pair().await;
    let key = format!("Authorization: Bearer {SERVER_KEY}");
    let direct = pauses(upstream.addr(), &key).await;
    let relayed = pauses(
        relay.address(),
        &format!("Authorization: Bearer {RELAY_TOKEN}"),
    )
    .await;
    // It meets each of them, a busy machine only most.
    let added = relayed[5].saturating_sub(direct[5]);
    assert!(
        added < Duration::from_millis(20),
        "{added:?} in the fastest tenth"
    );
}
