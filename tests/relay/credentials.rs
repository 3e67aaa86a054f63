//! Who may use the server's key (contract section 2), as a matrix: what the rule names is computed
//! here from the words of the contract, not from the code.

use fake_openai::FakeOpenAi;

use crate::support::ws::Socket;
use crate::support::{Answer, RELAY_TOKEN, Relay, SERVER_KEY, get, post, upstream};

const OWN_KEY: &str = "sk-proj-a-clients-own-0123456789";

/// How a relay is set up.
#[derive(Clone, Copy, Debug)]
struct Setup {
    has_token: bool,
    production: bool,
    allow_anonymous: bool,
    allow_client_keys: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Door {
    Api,
    RealtimeHttp,
    Offer,
    Socket,
}

/// What is shown at the door.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shown {
    Nothing,
    Token,
    WrongToken,
    UnknownRelayKey,
    UnknownSealed,
    Ephemeral,
    OwnKey,
    Basic,
    Twice,
    EmptyBearer,
}

const SHOWN: [Shown; 10] = [
    Shown::Nothing,
    Shown::Token,
    Shown::WrongToken,
    Shown::UnknownRelayKey,
    Shown::UnknownSealed,
    Shown::Ephemeral,
    Shown::OwnKey,
    Shown::Basic,
    Shown::Twice,
    Shown::EmptyBearer,
];
const DOORS: [Door; 4] = [Door::Api, Door::RealtimeHttp, Door::Offer, Door::Socket];

/// With whose credential a request is let through; `None` is 401.
#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    Server,
    Own(String),
    Unauthorized,
}

/// The contract's rule.
fn verdict(setup: Setup, door: Door, shown: Shown, is_local: bool, ephemeral: &str) -> Verdict {
    // 1. OpenAI's own ephemeral credential, on realtime, live and /offer.
    if shown == Shown::Ephemeral && door != Door::Api {
        return Verdict::Own(ephemeral.to_owned());
    }
    if shown == Shown::OwnKey && setup.allow_client_keys {
        return Verdict::Own(OWN_KEY.to_owned());
    }
    // 2. A relay credential; what looks like one and does not check out is never forwarded.
    if shown == Shown::Token && setup.has_token {
        return Verdict::Server;
    }
    if matches!(shown, Shown::UnknownRelayKey | Shown::UnknownSealed) {
        return Verdict::Unauthorized;
    }
    // 3. Nothing, or nothing that is known.
    if setup.has_token {
        return Verdict::Unauthorized;
    }
    let in_development =
        !setup.production && (is_local || matches!(door, Door::Offer | Door::Socket));
    if setup.allow_anonymous || in_development {
        return Verdict::Server;
    }
    Verdict::Unauthorized
}

fn value(shown: Shown, ephemeral: &str) -> Option<String> {
    Some(match shown {
        Shown::Nothing | Shown::Basic | Shown::EmptyBearer => return None,
        Shown::Token | Shown::Twice => RELAY_TOKEN.to_owned(),
        Shown::WrongToken => format!("{RELAY_TOKEN}x"),
        Shown::UnknownRelayKey => "rk_abcdefghijklmnopqrstuvwxyz_0000".to_owned(),
        Shown::UnknownSealed => "ek_relay_AAAABBBBCCCC".to_owned(),
        Shown::Ephemeral => ephemeral.to_owned(),
        Shown::OwnKey => OWN_KEY.to_owned(),
    })
}

fn header_lines(shown: Shown, ephemeral: &str) -> Vec<String> {
    match (shown, value(shown, ephemeral)) {
        (Shown::Basic, _) => vec!["Authorization: Basic dTpw".to_owned()],
        (Shown::EmptyBearer, _) => vec!["Authorization: Bearer ".to_owned()],
        (Shown::Twice, Some(value)) => vec![format!("Authorization: Bearer {value}"); 2],
        (_, Some(value)) => vec![format!("Authorization: Bearer {value}")],
        (_, None) => Vec::new(),
    }
}

const SDP: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\na=fingerprint:sha-256 00\r\n";

async fn knock(relay: &Relay, door: Door, lines: &[String], offer_token: Option<&str>) -> Answer {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let address = relay.address();
    match door {
        Door::Api => get(address, "/v1/models", &lines).await,
        Door::RealtimeHttp => post(address, "/v1/realtime/calls/rtc_x/hangup", &lines, "{}").await,
        Door::Offer => {
            let mut body = serde_json::json!({ "sdp": SDP });
            if let Some(token) = offer_token {
                body["token"] = token.into();
            }
            post(address, "/offer", &lines, &body.to_string()).await
        }
        Door::Socket => {
            let all = [&["X-Fake-Script: echo"], lines.as_slice()].concat();
            let socket = Socket::open(address, "/v1/realtime?model=m", &all).await;
            socket.map_or_else(|answer| answer, |socket| socket.answer)
        }
    }
}

/// Compares an answer and what reached the upstream with the verdict.
fn check(upstream: &FakeOpenAi, door: Door, answer: &Answer, verdict: &Verdict, case: &str) {
    let received = upstream.take_received();
    let expected = match verdict {
        Verdict::Unauthorized => {
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (401, "invalid_api_key"),
                "{case}"
            );
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{case}");
            assert!(received.is_empty(), "{case}: nothing may go up");
            return;
        }
        Verdict::Server => SERVER_KEY,
        Verdict::Own(own) => own,
    };
    // The stand-in knows no key of the client's own.
    if door == Door::Socket && matches!(verdict, Verdict::Server) {
        assert_eq!(answer.status, 101, "{case}");
    }
    assert_eq!(received.len(), 1, "{case}: {}", answer.text());
    let sent = format!("Bearer {expected}");
    assert_eq!(received[0].header_all("authorization"), [sent], "{case}");
    let head = String::from_utf8_lossy(&received[0].raw_head).into_owned();
    assert!(
        !head.contains(RELAY_TOKEN),
        "{case}: the relay's token went up"
    );
}

async fn start(upstream: &FakeOpenAi, setup: Setup) -> Relay {
    let base_url = upstream.base_url();
    let flag = |on: bool| if on { "true" } else { "false" };
    let mut variables = vec![
        ("OPENAI_API_KEY", SERVER_KEY),
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("RATE_LIMIT_SOCKETS", "off"),
        ("ALLOW_ANONYMOUS", flag(setup.allow_anonymous)),
        ("ALLOW_CLIENT_KEYS", flag(setup.allow_client_keys)),
        (
            "RELAY_ENV",
            if setup.production {
                "production"
            } else {
                "development"
            },
        ),
    ];
    if setup.has_token {
        variables.push(("RELAY_TOKEN", RELAY_TOKEN));
    }
    Relay::start(&variables).await
}

fn setups() -> Vec<Setup> {
    let mut all = Vec::new();
    for bits in 0..16 {
        all.push(Setup {
            has_token: bits & 1 != 0,
            production: bits & 2 != 0,
            allow_anonymous: bits & 4 != 0,
            allow_client_keys: bits & 8 != 0,
        });
    }
    all
}

#[tokio::test]
async fn every_carrier_and_credential_ends_as_the_contract_names() {
    let upstream = upstream().await;
    let ephemeral = upstream.mint_ephemeral();
    let far = "X-Forwarded-For: 203.0.113.9".to_owned();
    for setup in setups() {
        let relay = start(&upstream, setup).await;
        for door in DOORS {
            for shown in SHOWN {
                for is_local in [true, false] {
                    let case = format!("{setup:?} {door:?} {shown:?} local={is_local}");
                    let expected = verdict(setup, door, shown, is_local, &ephemeral);
                    let mut lines = header_lines(shown, &ephemeral);
                    if !is_local {
                        lines.push(far.clone());
                    }
                    let answer = knock(&relay, door, &lines, None).await;
                    check(
                        &upstream,
                        door,
                        &answer,
                        &expected,
                        &format!("{case} in the header"),
                    );
                    let Some(value) = value(shown, &ephemeral) else {
                        continue;
                    };
                    let mut lines: Vec<String> = if is_local { vec![] } else { vec![far.clone()] };
                    match door {
                        Door::Offer => {
                            let once = if shown == Shown::Twice {
                                Shown::Token
                            } else {
                                shown
                            };
                            let expected = verdict(setup, door, once, is_local, &ephemeral);
                            let answer = knock(&relay, door, &lines, Some(&value)).await;
                            check(
                                &upstream,
                                door,
                                &answer,
                                &expected,
                                &format!("{case} in the body"),
                            );
                        }
                        Door::Socket => {
                            let entry = format!("openai-insecure-api-key.{value}");
                            let list = if shown == Shown::Twice {
                                format!("{entry}, {entry}")
                            } else {
                                entry
                            };
                            lines.push(format!("Sec-WebSocket-Protocol: realtime, {list}"));
                            let answer = knock(&relay, door, &lines, None).await;
                            check(
                                &upstream,
                                door,
                                &answer,
                                &expected,
                                &format!("{case} in the subprotocol"),
                            );
                        }
                        Door::Api | Door::RealtimeHttp => {}
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_credential_in_the_query_counts_for_nothing() {
    let upstream = upstream().await;
    let setup = Setup {
        has_token: true,
        production: true,
        allow_anonymous: false,
        allow_client_keys: true,
    };
    let relay = start(&upstream, setup).await;
    for name in ["token", "api_key", "key", "access_token", "authorization"] {
        let answer = get(
            relay.address(),
            &format!("/v1/models?{name}={RELAY_TOKEN}"),
            &[],
        )
        .await;
        assert_eq!(answer.status, 401, "{name}");
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn organization_headers_go_up_for_the_token_and_own_credentials_but_not_for_strangers() {
    let upstream = upstream().await;
    let lines = ["OpenAI-Organization: org-1", "OpenAI-Project: proj-1"];
    for (has_token, expected) in [(true, Some("org-1")), (false, None)] {
        let setup = Setup {
            has_token,
            production: false,
            allow_anonymous: true,
            allow_client_keys: false,
        };
        let relay = start(&upstream, setup).await;
        let bearer = format!("Authorization: Bearer {RELAY_TOKEN}");
        get(
            relay.address(),
            "/v1/models",
            &[&bearer, lines[0], lines[1]],
        )
        .await;
        let received = upstream.take_received();
        assert_eq!(received[0].header("openai-organization"), expected);
        assert_eq!(received[0].header("openai-project").is_some(), has_token);
    }
}

#[tokio::test]
async fn without_a_key_to_lend_the_token_opens_nothing_and_says_so() {
    let upstream = upstream().await;
    let base_url = upstream.base_url();
    let relay = Relay::start(&[("OPENAI_BASE_URL", &base_url), ("RELAY_TOKEN", RELAY_TOKEN)]).await;
    let bearer = format!("Authorization: Bearer {RELAY_TOKEN}");
    let answer = get(relay.address(), "/v1/models", &[&bearer]).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "server_key_missing")
    );
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    let own = format!("Authorization: Bearer {}", upstream.mint_ephemeral());
    let answer = post(
        relay.address(),
        "/v1/realtime/calls/rtc_x/hangup",
        &[&own],
        "{}",
    )
    .await;
    assert_eq!(
        answer.status, 404,
        "an ephemeral credential needs no key of the server's"
    );
}

#[tokio::test]
async fn strangers_from_pages_that_are_not_listed_are_refused_before_any_dial() {
    let upstream = upstream().await;
    let base_url = upstream.base_url();
    let variables = [
        ("OPENAI_API_KEY", SERVER_KEY),
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("ALLOWED_ORIGINS", "https://app.example"),
    ];
    let relay = Relay::start(&variables).await;
    let evil = "Origin: https://evil.example".to_owned();
    for door in DOORS {
        let answer = knock(&relay, door, std::slice::from_ref(&evil), None).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (403, "origin_not_allowed"),
            "{door:?}"
        );
    }
    let token = format!("Authorization: Bearer {}", upstream.mint_ephemeral());
    let answer = knock(&relay, Door::Socket, &[evil, token], None).await;
    assert_eq!(
        answer.status, 403,
        "an upgrade from there needs the list, credential or not"
    );
    assert_eq!(upstream.connections(), 0);
}
