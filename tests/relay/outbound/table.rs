//! P32: the table of upstream faults. Each row has one answer, and no row is sent twice.

use std::time::{Duration, Instant};

use fake_openai::{Certificate, FakeOpenAi, Fault, FaultProxy, Options};
use serde_json::Value;

use super::{check_fault, relay_to, tls_upstream};
use crate::support::{
    Answer, Connection, RELAY_TOKEN, Relay, SERVER_KEY, authorization, pair_with, request,
};

/// What a client sees of a fault.
enum Seen {
    /// An error of the relay's, with this status and code.
    Refused(u16, &'static str),
    /// This status of the upstream's, whole.
    Passed(u16),
    /// A head, and less than all of the body.
    Cut,
    /// All of it.
    Whole,
}

/// Long enough that no busy machine is taken for a silent upstream.
const READ: (&str, &str) = ("OPENAI_READ_TIMEOUT", "2");
const WRITE: (&str, &str) = ("OPENAI_WRITE_TIMEOUT", "300ms");
const CONNECT: (&str, &str) = ("OPENAI_CONNECT_TIMEOUT", "2");

fn post(script: &str) -> Vec<u8> {
    let script = format!("X-Fake-Script: {script}");
    request(
        "POST",
        "/v1/_fake/bytes?n=50000&chunked=1",
        &[&authorization(), &script],
        b"{}",
    )
}

async fn ask(relay: &Relay, bytes: &[u8]) -> Answer {
    let mut connection = Connection::open(relay.address()).await;
    connection.write(bytes).await;
    connection.answer(false).await.expect("an answer")
}

fn check(shown: &str, answer: &Answer, seen: &Seen) {
    match seen {
        Seen::Refused(status, code) => {
            assert_eq!(answer.status, *status, "{shown}: {}", answer.text());
            check_fault(answer, *status, code);
        }
        Seen::Passed(status) => {
            assert_eq!(
                (answer.status, answer.is_complete),
                (*status, true),
                "{shown}"
            );
            assert!(!answer.text().contains("relay_error"), "{shown}");
        }
        Seen::Cut => assert_eq!((answer.status, answer.is_complete), (200, false), "{shown}"),
        Seen::Whole => assert_eq!((answer.status, answer.is_complete), (200, true), "{shown}"),
    }
}

/// Faults that the stand-in makes itself.
const SCRIPTED: [(&str, Seen); 24] = [
    ("reset-head=0", Seen::Refused(502, "upstream_broken")),
    ("reset-head=20", Seen::Refused(502, "upstream_broken")),
    ("cut-head=0", Seen::Refused(502, "upstream_broken")),
    ("cut-head=20", Seen::Refused(502, "upstream_broken")),
    ("half-close", Seen::Refused(502, "upstream_broken")),
    ("garbage", Seen::Refused(502, "upstream_broken")),
    ("hang=head", Seen::Refused(504, "upstream_timeout")),
    ("hang=body", Seen::Cut),
    ("reset-at=1", Seen::Cut),
    ("reset-at=20000", Seen::Cut),
    ("cut-at=1", Seen::Cut),
    ("cut-at=20000", Seen::Cut),
    (
        "header=Content-Length:5",
        Seen::Refused(502, "upstream_broken"),
    ),
    (
        "header=Transfer-Encoding:gzip",
        Seen::Refused(502, "upstream_broken"),
    ),
    ("delay=100 chunk-delay=50", Seen::Whole),
    ("silence=200", Seen::Whole),
    ("status=429 retry-after=1", Seen::Passed(429)),
    ("status=429 retry-after-ms=20", Seen::Passed(429)),
    (
        "status=429 header=Retry-After:Sat,%2021%20Nov%202026%2006:00:00%20GMT",
        Seen::Passed(429),
    ),
    ("status=429 should-retry=false", Seen::Passed(429)),
    ("status=429", Seen::Passed(429)),
    ("status=500", Seen::Passed(500)),
    ("status=503 html", Seen::Passed(503)),
    ("status=520 html", Seen::Passed(520)),
];

#[tokio::test]
async fn every_fault_of_an_answer_has_its_own_end_and_no_request_goes_twice() {
    let (upstream, relay) = pair_with(&[READ]).await;
    for (script, seen) in &SCRIPTED {
        let start = Instant::now();
        let answer = ask(&relay, &post(script)).await;
        check(script, &answer, seen);
        assert!(start.elapsed() < Duration::from_secs(30), "{script}");
        assert_eq!(upstream.take_received().len(), 1, "{script}");
    }
}

#[tokio::test]
async fn a_sized_answer_of_the_wrong_length_is_cut() {
    let (upstream, relay) = pair_with(&[READ]).await;
    for (script, seen) in [
        ("wrong-length=5", Seen::Cut),
        ("cut-at=100", Seen::Cut),
        ("reset-at=100", Seen::Cut),
        // More than was announced belongs to nobody.
        ("wrong-length=-5", Seen::Whole),
    ] {
        let line = format!("X-Fake-Script: {script}");
        let bytes = request(
            "GET",
            "/v1/_fake/bytes?n=5000",
            &[&authorization(), &line],
            b"",
        );
        check(script, &ask(&relay, &bytes).await, &seen);
        assert_eq!(upstream.take_received().len(), 1, "{script}");
    }
    let next = ask(
        &relay,
        &request("GET", "/v1/models", &[&authorization()], b""),
    )
    .await;
    assert_eq!(
        next.status, 200,
        "what was left over is no answer to anybody"
    );
    assert!(next.json()["data"].is_array());
}

#[tokio::test]
async fn every_bad_certificate_is_502_and_sees_no_request() {
    for certificate in [
        Certificate::Expired,
        Certificate::NotYetValid,
        Certificate::WrongName,
        Certificate::SelfSigned,
        Certificate::OtherAuthority,
        Certificate::ForClients,
    ] {
        let options = Options {
            server_key: SERVER_KEY.to_owned(),
            tls: Some(certificate),
            ..Options::default()
        };
        let upstream = FakeOpenAi::start(options).await.expect("an upstream");
        let file = super::tls::PemFile::new(upstream.ca_pem().expect("an authority"));
        let relay = relay_to(&upstream.base_url(), &[("OPENAI_CA_FILE", file.path())]).await;
        let answer = ask(&relay, &post("")).await;
        check(
            &format!("{certificate:?}"),
            &answer,
            &Seen::Refused(502, "upstream_tls"),
        );
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert!(upstream.received().is_empty(), "{certificate:?}");
    }
}

/// Faults of the network between the relay and the upstream, in clear.
#[tokio::test]
async fn every_fault_of_the_network_has_its_own_end() {
    let none = Fault::None;
    let ms = Duration::from_millis;
    for (there, back, seen) in [
        (
            Fault::ResetAt(50),
            none,
            Seen::Refused(502, "upstream_broken"),
        ),
        (
            Fault::BlackholeAt(50),
            none,
            Seen::Refused(504, "upstream_timeout"),
        ),
        (
            none,
            Fault::ResetAt(0),
            Seen::Refused(502, "upstream_broken"),
        ),
        (none, Fault::ResetAt(5000), Seen::Cut),
        (
            none,
            Fault::HalfCloseAt(0),
            Seen::Refused(502, "upstream_broken"),
        ),
        (none, Fault::HalfCloseAt(5000), Seen::Cut),
        (
            none,
            Fault::BlackholeAt(0),
            Seen::Refused(504, "upstream_timeout"),
        ),
        (none, Fault::BlackholeAt(5000), Seen::Cut),
        (Fault::Delay(ms(100)), Fault::Delay(ms(20)), Seen::Whole),
        (Fault::Drip(Duration::from_micros(10)), none, Seen::Whole),
    ] {
        let upstream = crate::support::upstream().await;
        let proxy = FaultProxy::start(upstream.addr(), there, back)
            .await
            .expect("a proxy");
        let relay = relay_to(&format!("http://{}", proxy.addr()), &[READ]).await;
        let answer = ask(&relay, &post("")).await;
        check(&format!("{there:?} {back:?}"), &answer, &seen);
        assert!(upstream.received().len() <= 1, "{there:?} {back:?}");
    }
}

/// Faults before there is a connection; the last ones are of TLS through a bad network.
#[tokio::test]
async fn every_fault_of_connecting_has_its_own_end() {
    let nowhere = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a listener");
        format!("http://{}", listener.local_addr().expect("its address"))
    };
    let cases = [
        (nowhere, Seen::Refused(502, "upstream_unreachable")),
        (
            "http://no-such-host.invalid".to_owned(),
            Seen::Refused(502, "upstream_dns"),
        ),
    ];
    for (base_url, seen) in cases {
        let relay = relay_to(&base_url, &[CONNECT]).await;
        check(&base_url, &ask(&relay, &post("")).await, &seen);
    }
    let upstream = tls_upstream().await;
    for (fault, seen) in [
        (Fault::ResetAt(100), Seen::Refused(502, "upstream_tls")),
        (Fault::HalfCloseAt(100), Seen::Refused(502, "upstream_tls")),
        (
            Fault::BlackholeAt(0),
            Seen::Refused(504, "upstream_connect_timeout"),
        ),
        (
            Fault::BlackholeAt(100),
            Seen::Refused(504, "upstream_connect_timeout"),
        ),
    ] {
        let proxy = FaultProxy::start(upstream.addr(), Fault::None, fault)
            .await
            .expect("a proxy");
        let relay = relay_to(&format!("https://{}", proxy.addr()), &[CONNECT]).await;
        check(&format!("{fault:?}"), &ask(&relay, &post("")).await, &seen);
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn an_upload_that_the_network_swallows_is_504_and_never_whole() {
    let upstream = crate::support::upstream().await;
    let swallow = Fault::BlackholeAt(100_000);
    let proxy = FaultProxy::start(upstream.addr(), swallow, Fault::None)
        .await
        .expect("a proxy");
    let base_url = format!("http://{}", proxy.addr());
    // The hole reads on, so that only the silence behind the upload tells.
    let relay = relay_to(&base_url, &[READ, WRITE]).await;
    let bytes = request(
        "POST",
        "/v1/_fake/echo",
        &[&authorization()],
        &[b'x'; 300_000],
    );
    check(
        "swallowed",
        &ask(&relay, &bytes).await,
        &Seen::Refused(504, "upstream_timeout"),
    );
    assert!(upstream.received().iter().all(|request| !request.complete));
}

/// 10,000 POSTs over connections that the upstream keeps closing: none arrives twice, none is lost.
#[tokio::test]
async fn ten_thousand_posts_over_dying_connections_arrive_once_each() {
    let (upstream, relay) = pair_with(&[]).await;
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..20 {
        let address = relay.address();
        workers.spawn(async move {
            let mut connection = Connection::open(address).await;
            for number in 0..500 {
                let script = if number % 3 == 0 { "close" } else { "times=1" };
                let text = format!(
                    "POST /v1/_fake/echo?id={worker}-{number} HTTP/1.1\r\nHost: a\r\n\
                     Authorization: Bearer {RELAY_TOKEN}\r\nX-Fake-Script: {script}\r\n\
                     Content-Length: 2\r\n\r\n{{}}"
                );
                connection.write(text.as_bytes()).await;
                let answer = connection.answer(false).await.expect("an answer");
                assert_eq!(answer.status, 200, "{worker}-{number}: {}", answer.text());
                let json: Value = answer.json();
                let echoed = json["target"].as_str().unwrap_or_default();
                assert!(
                    echoed.ends_with(&format!("id={worker}-{number}")),
                    "{echoed}"
                );
            }
        });
    }
    workers.join_all().await;
    let mut targets: Vec<String> = upstream
        .take_received()
        .into_iter()
        .map(|request| request.target)
        .collect();
    assert_eq!(targets.len(), 10_000);
    targets.sort_unstable();
    targets.dedup();
    assert_eq!(targets.len(), 10_000);
}
