//! What somebody asked for is done, whether or not it stays to hear so.

use serde_json::{Value, json};

use super::*;
use crate::support::Connection;

/// Asks, and hangs up without waiting for the answer.
async fn ask_and_leave(
    relay: &Relay,
    method: &str,
    path: &str,
    tokens: &Tokens,
    body: Option<&Value>,
) {
    let lines = [tokens.bearer(), "Content-Type: application/json".to_owned()];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut connection = Connection::open(relay.address()).await;
    connection
        .write(&request(method, path, &lines, body.as_bytes()))
        .await;
}

/// Whether these tokens are soon good for nothing on the relay that was told.
async fn are_out(people: &People, tokens: &Tokens) -> bool {
    let asking = async { while people.opens(tokens).await {} };
    tokio::time::timeout(crate::support::relay::SOON, asking)
        .await
        .is_ok()
}

on_both! {
    async fn a_logout_whose_client_hangs_up_is_done(home: Home) {
        let people = People::start(home).await;
        people.register("alice").await;
        for round in 0..20 {
            let tokens = people.log_in("alice").await;
            assert!(people.opens(&tokens).await);
            ask_and_leave(&people.relay, "POST", "/api/v1/auth/logout", &tokens, None).await;
            assert!(are_out(&people, &tokens).await, "round {round}");
        }
    }
}

on_both! {
    async fn whoever_an_admin_puts_out_is_out_even_if_the_admin_hangs_up(home: Home) {
        let people = People::start(home).await;
        let admin = people.admin().await;
        let password = json!({ "new_password": PASSWORD });
        let (disabled, enabled) = (json!({ "is_active": false }), json!({ "is_active": true }));
        let path = "/api/v1/admin/users/alice";
        let reset = format!("{path}/password");
        people.register("alice").await;
        for round in 0..5 {
            for (method, path, body) in [("PATCH", path, &disabled), ("POST", reset.as_str(), &password)] {
                let tokens = people.log_in("alice").await;
                assert!(people.opens(&tokens).await);
                ask_and_leave(&people.relay, method, path, &admin, Some(body)).await;
                assert!(are_out(&people, &tokens).await, "round {round}: {method} {path}");
                people.call("PATCH", "/api/v1/admin/users/alice", Some(&admin.access), Some(&enabled)).await;
            }
        }
        let tokens = people.log_in("alice").await;
        assert!(people.opens(&tokens).await);
        ask_and_leave(&people.relay, "DELETE", path, &admin, None).await;
        assert!(are_out(&people, &tokens).await);
    }
}

#[tokio::test]
async fn what_a_client_has_not_sent_to_its_end_is_not_done() {
    let people = People::start(Home::Sqlite).await;
    let admin = people.admin().await;
    let tokens = people.join("alice").await;
    let lines = [admin.bearer(), "Content-Length: 40".to_owned()];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let half = br#"{"is_active":false}"#;
    let mut connection = Connection::open(people.relay.address()).await;
    let mut bytes = request("PATCH", "/api/v1/admin/users/alice", &lines, b"");
    bytes.extend_from_slice(half);
    connection.write(&bytes).await;
    connection.finish().await;
    assert!(connection.is_closed().await);
    assert!(people.opens(&tokens).await);
    people.log_in("alice").await;
}
