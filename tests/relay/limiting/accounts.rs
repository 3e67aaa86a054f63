//! Limits on the accounts API: what is held while a request runs, and what costs nothing.

use serde_json::json;

use super::{retry_after, statuses};
use crate::support::{Answer, Connection, Home, People, Tokens, call, request};

const ME: &str = "/api/v1/auth/me";
const LOGOUT: &str = "/api/v1/auth/logout";
const PAGE: &str = "https://app.example.com";

async fn me(people: &People, tokens: &Tokens) -> Answer {
    people.call("GET", ME, Some(&tokens.access), None).await
}

#[tokio::test]
async fn a_request_of_a_user_holds_its_place_until_it_is_answered() {
    let limits = ("RATE_LIMITS", "concurrent accounts=1");
    let people = People::start_with(Home::Sqlite, &[limits]).await;
    let (alice, bob) = (people.join("alice").await, people.join("bob").await);
    let body =
        json!({ "current_password": "not it", "new_password": "long enough too" }).to_string();
    let lines = [
        alice.bearer(),
        "Content-Type: application/json".to_owned(),
        "Expect: 100-continue".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let bytes = request("POST", "/api/v1/auth/password", &lines, body.as_bytes());
    let (head, body) = bytes.split_at(bytes.len() - body.len());
    let mut slow = Connection::open(people.relay.address()).await;
    slow.write(head).await;
    // Somebody waits for the body by now.
    let go_on = slow.more().await.expect("a head");
    assert!(go_on.starts_with(b"HTTP/1.1 100 "));
    let refused = me(&people, &alice).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.json()["detail"].is_string());
    assert!(retry_after(&refused) > 0);
    assert_eq!(me(&people, &bob).await.status, 200, "another user");
    slow.write(body).await;
    assert_eq!(slow.answer(false).await.expect("an answer").status, 403);
    assert_eq!(me(&people, &alice).await.status, 200);
}

#[tokio::test]
async fn users_hear_what_is_left_of_their_limit_and_pages_can_read_it() {
    let variables = [("RATE_LIMIT_REQUESTS", "2"), ("ALLOWED_ORIGINS", PAGE)];
    let people = People::start_with(Home::Sqlite, &variables).await;
    let alice = people.join("alice").await;
    let lines = [alice.bearer(), format!("Origin: {PAGE}")];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for (status, left) in [(200, "1"), (200, "0"), (429, "0")] {
        let answer = call(&people.relay, "GET", ME, &lines, None).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.header("x-ratelimit-limit-requests"), Some("2"));
        assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some(left));
        assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE));
        let exposed = answer.header("access-control-expose-headers");
        let exposed = exposed.expect("a list");
        for name in ["retry-after", "x-ratelimit-remaining-requests"] {
            assert!(exposed.contains(name), "{name}: {exposed}");
        }
    }
    // The chat routes are users' too.
    let chat = Some(json!({ "messages": [] }));
    let path = "/api/v1/chat/completions";
    let refused = call(&people.relay, "POST", path, &lines, chat.as_ref()).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("access-control-allow-origin"), Some(PAGE));
    assert!(refused.json()["detail"].is_string());
}

#[tokio::test]
async fn who_has_used_up_a_limit_can_still_log_out() {
    let people = People::start_with(Home::Sqlite, &[("RATE_LIMIT_REQUESTS", "4")]).await;
    let alice = people.join("alice").await;
    // Leaving by a refresh token is tried at the cost of the address, and given back.
    for _ in 0..8 {
        let login = people.log_in("alice").await;
        let shown = json!({ "refresh_token": login.refresh });
        let answer = people.post(LOGOUT, &shown).await;
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
    let unknown = json!({ "refresh_token": "guessed" });
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(people.post(LOGOUT, &unknown).await);
    }
    // Registering was the first of the address.
    assert_eq!(statuses(&answers), [(204, 3), (429, 2)].into());
    for expected in [200, 200, 200, 200, 429] {
        assert_eq!(me(&people, &alice).await.status, expected);
    }
    let out = people.call("POST", LOGOUT, Some(&alice.access), None).await;
    assert_eq!(out.status, 204, "{}", out.text());
    assert_eq!(me(&people, &alice).await.status, 401);
}
