//! P27: every route × every kind of principal × every carrier. A route that is not in the table
//! fails the test, so that nobody adds one without saying who may use it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::table::{ALL, For, OWN, RELAYED, SOCKETS, Verdict, Who, verdict};
use super::*;
use crate::support::ws::Socket;

const OWN_KEY: &str = "sk-proj-a-clients-own-0123456789";

fn judged(status: u16) -> Verdict {
    match status {
        401 => Verdict::Unauthorized,
        403 => Verdict::Forbidden,
        _ => Verdict::Allowed,
    }
}

struct Cast {
    people: People,
    ended: Tokens,
    key: String,
    narrow: String,
    revoked: String,
}

impl Cast {
    async fn new() -> Cast {
        let extra = [
            ("RELAY_TOKEN", RELAY_TOKEN),
            ("RELAY_ENV", "production"),
            ("REGISTRATION", "open"),
            ("ALLOW_CLIENT_KEYS", "true"),
        ];
        let people = People::start_with(Home::Sqlite, &extra).await;
        people.admin().await;
        let ended = people.join("user").await;
        let path = "/api/v1/auth/logout";
        people.call("POST", path, Some(&ended.access), None).await;
        let make = ["key", "create", "a client", "--json"];
        let (key, over) = (
            people.database.json(&make, "").await,
            people.database.json(&make, "").await,
        );
        let revoke = [
            "key",
            "revoke",
            over["id"].as_str().expect("an id"),
            "--json",
        ];
        people.database.json(&revoke, "").await;
        let narrow = [&make[..], &["--families", "embeddings"]].concat();
        let narrow = people.database.json(&narrow, "").await;
        let shown = |made: &Value| made["key"].as_str().expect("a key").to_owned();
        Cast {
            people,
            ended,
            key: shown(&key),
            narrow: shown(&narrow),
            revoked: shown(&over),
        }
    }

    /// A token that the key makes.
    async fn mint(&self, path: &str) -> String {
        let body = json!({});
        let made = self
            .people
            .call("POST", path, Some(&self.key), Some(&body))
            .await;
        made.json()["value"].as_str().expect(path).to_owned()
    }

    /// A credential of each; fresh, as some routes use theirs up.
    async fn token(&self, who: Who) -> Option<String> {
        Some(match who {
            Who::Nobody => return None,
            Who::RelayToken => RELAY_TOKEN.to_owned(),
            Who::User => self.people.log_in("user").await.access,
            Who::Admin => self.people.log_in("root-admin").await.access,
            Who::Key => self.key.clone(),
            Who::NarrowKey => self.narrow.clone(),
            Who::RevokedKey => self.revoked.clone(),
            Who::Token => self.mint("/api/v1/tokens").await,
            Who::Secret => self.mint("/v1/realtime/client_secrets").await,
            Who::Ended => self.ended.access.clone(),
            Who::Refresher => self.people.log_in("user").await.refresh,
            Who::Ephemeral => self.people.upstream.mint_ephemeral(),
            Who::OwnKey => OWN_KEY.to_owned(),
            Who::Unknown => "nobody-knows-this".to_owned(),
            Who::UnknownRelayKey => "rk_abcdefghijklmnopqrstuvwxyz_0000".to_owned(),
        })
    }
}

fn sdp(token: Option<&str>) -> Value {
    let sdp = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\na=fingerprint:sha-256 00\r\n";
    match token {
        Some(token) => json!({ "sdp": sdp, "token": token }),
        None => json!({ "sdp": sdp }),
    }
}

fn body(path: &str) -> Value {
    match path {
        "/offer" => sdp(None),
        // Good enough for whoever may, and it changes nothing.
        _ => json!({}),
    }
}

/// The upstream refuses the client's own key, which it does not know; that is no verdict of the
/// relay's, and its error says so.
fn is_upstreams(answer: &Answer) -> bool {
    answer.json()["error"].get("request_id").is_none() && answer.json().get("detail").is_none()
}

#[tokio::test]
async fn every_route_is_open_to_whom_the_table_says_and_to_nobody_else() {
    let cast = Cast::new().await;
    let relay = &cast.people.relay;
    let mut cases = 0;
    for (method, path, open) in OWN.into_iter().chain(RELAYED) {
        for who in ALL {
            let token = cast.token(who).await;
            let expected = verdict(open, who);
            let path = path.replace("{id}", "no-such-user");
            let case = format!("{method} {path} {who:?}");
            let line = token
                .as_ref()
                .map(|token| format!("Authorization: Bearer {token}"));
            let lines: Vec<&str> = line.as_deref().into_iter().collect();
            cast.people.upstream.take_received();
            let body = body(&path);
            let body = (method != "GET").then_some(&body);
            let answer = call(relay, method, &path, &lines, body).await;
            let found = match judged(answer.status) {
                Verdict::Unauthorized if is_upstreams(&answer) => Verdict::Allowed,
                found => found,
            };
            assert_eq!(
                found,
                expected,
                "{case}: {} {}",
                answer.status,
                answer.text()
            );
            if expected != Verdict::Allowed {
                let received = cast.people.upstream.take_received();
                assert!(received.is_empty(), "{case}: nothing may go up");
            }
            cases += 1;
            // Never in the query.
            if let Some(token) = token.filter(|_| open != For::All) {
                for name in ["token", "access_token", "api_key"] {
                    let path = format!("{path}?{name}={token}");
                    let answer = call(relay, method, &path, &[], body).await;
                    assert_eq!(
                        judged(answer.status),
                        Verdict::Unauthorized,
                        "{case} in the query"
                    );
                    cases += 1;
                }
            }
        }
    }
    cases += offers_by_token(&cast).await;
    cases += sockets(&cast).await;
    trust::record(
        "P27",
        &format!(
            "{} routes and sockets, {} kinds of principal, each carrier: {cases} cases as the table says; a route that is not in it fails",
            OWN.len() + RELAYED.len() + SOCKETS.len(),
            ALL.len()
        ),
    );
}

async fn offers_by_token(cast: &Cast) -> usize {
    for who in ALL.into_iter().filter(|who| *who != Who::Nobody) {
        let token = cast.token(who).await;
        let answer = call(
            &cast.people.relay,
            "POST",
            "/offer",
            &[],
            Some(&sdp(token.as_deref())),
        )
        .await;
        let found = match judged(answer.status) {
            Verdict::Unauthorized if is_upstreams(&answer) => Verdict::Allowed,
            found => found,
        };
        assert_eq!(
            found,
            verdict(For::Realtime, who),
            "{who:?}: {}",
            answer.text()
        );
    }
    ALL.len() - 1
}

async fn sockets(cast: &Cast) -> usize {
    let mut cases = 0;
    for (target, open) in SOCKETS {
        for who in ALL {
            let token = cast.token(who).await;
            let lines = match &token {
                None => vec![None],
                Some(token) => vec![
                    Some(format!("Authorization: Bearer {token}")),
                    Some(format!(
                        "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{token}"
                    )),
                    Some(format!(
                        "Sec-WebSocket-Protocol: openai-insecure-api-key.{token}, realtime"
                    )),
                ],
            };
            for line in lines {
                let lines: Vec<&str> = line.as_deref().into_iter().collect();
                let opened = Socket::open(cast.people.relay.address(), target, &lines).await;
                let found = match &opened {
                    Ok(_) => Verdict::Allowed,
                    Err(answer) if is_upstreams(answer) => Verdict::Allowed,
                    Err(answer) => judged(answer.status),
                };
                assert_eq!(found, verdict(open, who), "{target} {who:?} {line:?}");
                cases += 1;
            }
        }
    }
    cases
}

#[tokio::test]
async fn every_route_that_is_described_is_in_the_table_and_the_other_way_round() {
    let people = People::start(Home::Sqlite).await;
    let answer = people.call("GET", "/openapi.json", None, None).await;
    let mut described = BTreeSet::new();
    for (path, item) in answer.json()["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("methods").keys() {
            described.insert((method.to_uppercase(), path.clone()));
        }
    }
    let known: BTreeSet<_> = OWN
        .iter()
        .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    let unknown: Vec<_> = described.difference(&known).collect();
    assert!(unknown.is_empty(), "say who may use them: {unknown:?}");
    let is_described_elsewhere = |path: &str| {
        path == "/"
            || path.starts_with("/docs")
            || path == "/openapi.json"
            || path.starts_with("/v1/")
    };
    let missing: Vec<_> = known
        .difference(&described)
        .filter(|(_, path)| !is_described_elsewhere(path))
        .collect();
    assert!(missing.is_empty(), "not described: {missing:?}");
    // What the router serves is what is described: nothing answers but these.
    for path in [
        "/api/v1",
        "/api/v1/",
        "/api/v1/auth",
        "/api/v1/admin",
        "/api/v1/users",
        "/admin",
        "/metrics/",
        "/docs/",
        "/docs/index.html",
        "/api/v2/auth/me",
        "/debug",
    ] {
        let answer = people.call("GET", path, None, None).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
}
