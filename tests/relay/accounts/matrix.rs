//! P27: every route × every kind of principal × every carrier. A route that is not in the table
//! fails the test, so that nobody adds one without saying who may use it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::support::ws::Socket;

const OWN_KEY: &str = "sk-proj-a-clients-own-0123456789";

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq)]
enum For {
    /// Everybody.
    All,
    /// Who is logged in.
    Users,
    /// Admins who are logged in.
    Admins,
    /// RELAY_TOKEN and admins.
    Operators,
    /// Whoever the server's key is lent to, and who brings a key.
    Callers,
    /// The same, and a key that opens nothing else.
    Embeddings,
    /// The same, and who brings an ephemeral credential.
    Realtime,
    /// The same, but for sealed tokens, which make no others.
    Mint,
    /// RELAY_TOKEN, and who brings a credential of OpenAI's.
    Lenders,
    /// RELAY_TOKEN, accounts and relay keys.
    Sealers,
}

/// The relay's own routes.
const OWN: [(&str, &str, For); 41] = [
    ("GET", "/", For::All),
    ("GET", "/docs", For::All),
    ("GET", "/docs/docs.js", For::All),
    ("GET", "/docs/docs.css", For::All),
    ("GET", "/docs/icon.svg", For::All),
    ("GET", "/openapi.json", For::All),
    ("GET", "/health", For::All),
    ("GET", "/ready", For::All),
    ("GET", "/stats", For::All),
    ("GET", "/metrics", For::Operators),
    ("GET", "/api/v1/health", For::All),
    ("GET", "/api/v1/health/detailed", For::Operators),
    ("POST", "/api/v1/auth/register", For::All),
    ("POST", "/api/v1/auth/login", For::All),
    ("POST", "/api/v1/auth/refresh", For::Users),
    ("POST", "/api/v1/auth/logout", For::Users),
    ("GET", "/api/v1/auth/me", For::Users),
    ("DELETE", "/api/v1/auth/me", For::Users),
    ("POST", "/api/v1/auth/password", For::Users),
    ("POST", "/api/v1/chat/completions", For::Users),
    ("POST", "/api/v1/chat/completions/stream", For::Users),
    ("GET", "/api/v1/chat/models", For::Users),
    ("GET", "/api/v1/admin/users", For::Admins),
    ("POST", "/api/v1/admin/users", For::Admins),
    ("GET", "/api/v1/admin/users/{id}", For::Admins),
    ("PATCH", "/api/v1/admin/users/{id}", For::Admins),
    ("DELETE", "/api/v1/admin/users/{id}", For::Admins),
    ("POST", "/api/v1/admin/users/{id}/password", For::Admins),
    ("GET", "/api/v1/keys", For::Users),
    ("POST", "/api/v1/keys", For::Users),
    ("GET", "/api/v1/keys/{id}", For::Users),
    ("DELETE", "/api/v1/keys/{id}", For::Users),
    ("POST", "/api/v1/keys/{id}/rotate", For::Users),
    ("GET", "/api/v1/admin/keys", For::Admins),
    ("POST", "/api/v1/admin/keys", For::Admins),
    ("GET", "/api/v1/admin/keys/{id}", For::Admins),
    ("DELETE", "/api/v1/admin/keys/{id}", For::Admins),
    ("POST", "/api/v1/admin/keys/{id}/rotate", For::Admins),
    ("POST", "/api/v1/tokens", For::Sealers),
    ("POST", "/offer", For::Realtime),
    ("POST", "/v1/realtime/client_secrets", For::Mint),
];

/// What is relayed.
const RELAYED: [(&str, &str, For); 12] = [
    ("GET", "/v1/models", For::Callers),
    ("POST", "/v1/chat/completions", For::Callers),
    ("POST", "/v1/responses", For::Callers),
    ("POST", "/v1/embeddings", For::Embeddings),
    ("GET", "/v1/files", For::Callers),
    ("DELETE", "/v1/what-comes-next", For::Callers),
    ("POST", "/v1/realtime/calls", For::Realtime),
    ("POST", "/v1/realtime/calls/rtc_x/hangup", For::Realtime),
    ("POST", "/v1/live/sessions", For::Realtime),
    ("POST", "/v1/live/sessions/live_x/hangup", For::Realtime),
    ("POST", "/v1/realtime/sessions", For::Mint),
    ("POST", "/v1/chatkit/sessions", For::Lenders),
];

const SOCKETS: [(&str, For); 4] = [
    ("/", For::Realtime),
    ("/realtime", For::Realtime),
    ("/v1/realtime?model=gpt-realtime-2.1-mini", For::Realtime),
    ("/v1/responses", For::Callers),
];

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Nobody,
    RelayToken,
    User,
    Admin,
    /// Holds a relay key.
    Key,
    /// Holds one that opens embeddings alone.
    NarrowKey,
    /// Holds a sealed token.
    Token,
    /// Holds one with OpenAI's ephemeral credential inside.
    Secret,
    /// Held a key that was revoked.
    RevokedKey,
    /// Was logged in.
    Ended,
    /// Shows a refresh token in place of an access token.
    Refresher,
    Ephemeral,
    OwnKey,
    Unknown,
    UnknownRelayKey,
}

const ALL: [Who; 15] = [
    Who::Nobody,
    Who::RelayToken,
    Who::User,
    Who::Admin,
    Who::Key,
    Who::NarrowKey,
    Who::Token,
    Who::Secret,
    Who::RevokedKey,
    Who::Ended,
    Who::Refresher,
    Who::Ephemeral,
    Who::OwnKey,
    Who::Unknown,
    Who::UnknownRelayKey,
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Allowed,
    Unauthorized,
    Forbidden,
}

/// The contract's rule.
fn verdict(open: For, who: Who) -> Verdict {
    let is_unknown = matches!(
        who,
        Who::Nobody
            | Who::RevokedKey
            | Who::Ended
            | Who::Refresher
            | Who::Unknown
            | Who::UnknownRelayKey
    );
    let may = match open {
        For::All => return Verdict::Allowed,
        _ if is_unknown => return Verdict::Unauthorized,
        For::Users => matches!(who, Who::User | Who::Admin),
        For::Admins => who == Who::Admin,
        For::Operators => matches!(who, Who::RelayToken | Who::Admin),
        For::Embeddings => !matches!(who, Who::Ephemeral | Who::Secret),
        For::Callers => !matches!(who, Who::Ephemeral | Who::Secret | Who::NarrowKey),
        For::Realtime => who != Who::NarrowKey,
        For::Mint => !matches!(who, Who::NarrowKey | Who::Token | Who::Secret),
        For::Lenders => matches!(who, Who::RelayToken | Who::OwnKey | Who::Ephemeral),
        For::Sealers => matches!(
            who,
            Who::RelayToken | Who::User | Who::Admin | Who::Key | Who::NarrowKey
        ),
    };
    match may {
        true => Verdict::Allowed,
        // Where an ephemeral credential opens nothing, it is none.
        false if who == Who::Ephemeral => Verdict::Unauthorized,
        false => Verdict::Forbidden,
    }
}

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
