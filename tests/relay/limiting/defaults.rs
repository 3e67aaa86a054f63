//! The limits of the relays that this one replaces, at their edges.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{models, offer, retry_after, statuses};
use crate::support::ws::Socket;
use crate::support::{
    Answer, Home, PASSWORD, People, Tokens, authorization, get, pair, pair_with, request, send,
    trust,
};

/// Asks until it is refused, which is after a hundred, and one more for each time that a place took
/// to come back meanwhile.
async fn after_a_hundred(each: Duration, ask: impl AsyncFn() -> Answer) -> Answer {
    let (start, mut granted) = (Instant::now(), 0);
    loop {
        let answer = ask().await;
        let back = start.elapsed().div_duration_f64(each).ceil() as usize;
        assert!(granted <= 100 + back, "never refused: {granted}");
        if answer.status != 200 {
            assert!(
                (100..=100 + back).contains(&granted),
                "{granted}, {back} back"
            );
            return answer;
        }
        granted += 1;
    }
}

#[tokio::test]
async fn an_address_makes_a_hundred_offers_in_fifteen_minutes() {
    let (upstream, relay) = pair().await;
    let ephemeral = format!("Authorization: Bearer {}", upstream.mint_ephemeral());
    let one = "X-Forwarded-For: 203.0.113.1";
    // 900 s over 100 offers.
    let each = Duration::from_secs(9);
    let refused = after_a_hundred(each, async || {
        upstream.take_received();
        offer(&relay, &[&ephemeral, one]).await
    })
    .await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "rate_limit_exceeded")
    );
    assert!(
        (1..=9).contains(&retry_after(&refused)),
        "{:?}",
        refused.headers
    );
    // Pages read the message where it always was.
    assert!(
        refused.json()["message"]
            .as_str()
            .is_some_and(|text| text.contains("100 offers"))
    );
    assert!(upstream.take_received().is_empty());
    let other = "X-Forwarded-For: 203.0.113.2";
    assert_eq!(offer(&relay, &[&ephemeral, other]).await.status, 200);
    assert_eq!(
        offer(&relay, &[&authorization(), one]).await.status,
        200,
        "a holder of the token"
    );
}

#[tokio::test]
async fn an_address_opens_ten_sockets_a_minute_without_a_credential() {
    let (_upstream, relay) = pair_with(&[("RELAY_TOKEN", "")]).await;
    let one = "X-Forwarded-For: 2001:db8:1:2::1";
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(Socket::open(relay.address(), "/", &[one]).await.ok());
    }
    assert!(open.iter().all(Option::is_some));
    // The whole /64 network is one client.
    let neighbour = "X-Forwarded-For: 2001:db8:1:2:ffff::9";
    for path in ["/", "/realtime", "/v1/realtime"] {
        let refused = Socket::open(relay.address(), path, &[neighbour]).await;
        let refused = refused.err().expect("refused");
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (429, "rate_limit_exceeded")
        );
        assert!(
            (1..=6).contains(&retry_after(&refused)),
            "{:?}",
            refused.headers
        );
    }
    let other = "X-Forwarded-For: 2001:db8:1:3::1";
    assert!(Socket::open(relay.address(), "/", &[other]).await.is_ok());
}

#[tokio::test]
async fn a_holder_of_the_token_has_no_limit_and_hears_of_none() {
    let (_upstream, relay) = pair().await;
    let key = authorization();
    let script = "X-Fake-Script: no-rate-limits";
    for _ in 0..300 {
        let answer = get(relay.address(), "/v1/models", &[&key, script]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-ratelimit-limit-requests"), None);
    }
    for _ in 0..20 {
        let opened = Socket::open(relay.address(), "/v1/realtime", &[&key]).await;
        assert!(opened.is_ok());
    }
}

#[tokio::test]
async fn a_user_makes_a_hundred_requests_an_hour_to_the_accounts_api() {
    let people = People::start_with(Home::Sqlite, &[("RATE_LIMIT_REQUESTS", "100")]).await;
    let (alice, bob) = (people.join("alice").await, people.join("bob").await);
    let me = async |tokens: &Tokens| {
        let path = "/api/v1/auth/me";
        people.call("GET", path, Some(&tokens.access), None).await
    };
    // 3,600 s over 100 requests.
    let each = Duration::from_secs(36);
    let refused = after_a_hundred(each, async || me(&alice).await).await;
    assert_eq!(refused.status, 429);
    let body = refused.json();
    assert!(
        body["detail"].is_string() && body.get("error").is_none(),
        "{body}"
    );
    assert!((1..=36).contains(&retry_after(&refused)));
    assert_eq!(body["retry_after"], json!(retry_after(&refused)));
    // The chat routes are the same bucket, all else of hers is not.
    let chat = json!({ "messages": [] });
    let path = "/api/v1/chat/completions";
    assert_eq!(
        people
            .call("POST", path, Some(&alice.access), Some(&chat))
            .await
            .status,
        429
    );
    assert!(people.opens(&alice).await);
    assert_eq!(me(&bob).await.status, 200);
    // Logging in has limits of its own, and a login does not make a new bucket.
    let again = people.log_in("alice").await;
    assert_eq!(me(&again).await.status, 429);
}

#[tokio::test]
async fn strangers_share_the_bucket_of_their_address_at_the_accounts_api() {
    let people = People::start_with(Home::Sqlite, &[("RATE_LIMIT_REQUESTS", "3")]).await;
    let register = |number: u32, address: &'static str| {
        let body = json!({
            "username": format!("user{number}"),
            "email": format!("user{number}@example.com"),
            "password": PASSWORD,
        });
        let lines = [
            format!("X-Forwarded-For: {address}"),
            "Content-Type: application/json".to_owned(),
        ];
        let relay = people.relay.address();
        async move {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let bytes = request(
                "POST",
                "/api/v1/auth/register",
                &lines,
                body.to_string().as_bytes(),
            );
            send(relay, bytes).await.expect("an answer").status
        }
    };
    for number in 0..3 {
        assert_eq!(register(number, "203.0.113.1").await, 201);
    }
    assert_eq!(register(3, "203.0.113.1").await, 429);
    assert_eq!(register(3, "203.0.113.2").await, 201);
    // Refresh tokens that are good cost nothing: many users may sit behind one address.
    let mut tokens = people.log_in("user0").await;
    for _ in 0..10 {
        let shown = json!({ "refresh_token": tokens.refresh });
        let answer = people.post("/api/v1/auth/refresh", &shown).await;
        tokens = Tokens::of(&answer);
    }
    let bad = json!({ "refresh_token": "guessed" });
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(people.post("/api/v1/auth/refresh", &bad).await);
    }
    assert_eq!(statuses(&answers), [(401, 3), (429, 2)].into());
}

#[tokio::test]
async fn each_default_can_be_changed_and_switched_off() {
    let off = [
        ("RELAY_TOKEN", ""),
        ("RATE_LIMIT_OFFER", "2/1h"),
        ("RATE_LIMIT_SOCKETS", "off"),
    ];
    let (_upstream, relay) = pair_with(&off).await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(offer(&relay, &[]).await);
    }
    assert_eq!(statuses(&answers), [(200, 2), (429, 1)].into());
    for _ in 0..15 {
        assert!(
            Socket::open(relay.address(), "/realtime", &[])
                .await
                .is_ok()
        );
    }
}

#[tokio::test]
async fn a_bucket_lets_one_more_in_as_time_goes_by() {
    let (_upstream, relay) = pair_with(&[("RATE_LIMITS", "models=2/2s")]).await;
    let mut granted = 0;
    let mut refused = 0;
    while granted < 4 {
        let answer = models(&relay).await;
        match answer.status {
            200 => granted += 1,
            429 => {
                refused += 1;
                assert_eq!(retry_after(&answer), 1);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            status => panic!("{status}"),
        }
    }
    assert!(refused > 0, "the third had to wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_clients_at_once_never_get_more_than_the_limit() {
    let limits = "models=70/1h per user; all=60/1h per ip";
    let (_upstream, relay) = pair_with(&[("RATE_LIMITS", limits)]).await;
    let address = relay.address();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..50 {
        clients.spawn(async move {
            let mut answers = Vec::new();
            for _ in 0..4 {
                answers.push(get(address, "/v1/models", &[&authorization()]).await);
            }
            answers
        });
    }
    let answers: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
    assert_eq!(statuses(&answers), [(200, 60), (429, 140)].into());
    // What the second limit refused was given back to the first.
    let forwarded = "X-Forwarded-For: 203.0.113.1";
    for _ in 0..10 {
        let answer = get(address, "/v1/models", &[&authorization(), forwarded]).await;
        assert_eq!(answer.status, 200);
    }
    let answer = get(address, "/v1/models", &[&authorization(), forwarded]).await;
    assert_eq!(answer.status, 429);
    trust::record_part(
        "P47",
        "clients",
        "50 parallel clients: 60 of 200 requests admitted at a limit of 60",
    );
}
