//! P23 and P24: nobody learns who has an account, and guessing is slow without locking anybody out.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;

/// A login from this address, which a trusted proxy tells of.
async fn log_in_from(people: &People, address: &str, name: &str, password: &str) -> Answer {
    let line = format!("X-Forwarded-For: {address}");
    let body = json!({ "username": name, "password": password });
    call(
        &people.relay,
        "POST",
        "/api/v1/auth/login",
        &[&line],
        Some(&body),
    )
    .await
}

/// An address of a guesser's.
fn address(number: usize) -> String {
    format!("203.0.{}.{}", number / 250, number % 250 + 1)
}

on_both! {
    async fn ten_thousand_guesses_verify_less_than_thirty_and_the_owner_still_gets_in(home: Home) {
        let people = People::start(home).await;
        people.register("victim").await;
        let owner = "198.51.100.7";
        assert_eq!(log_in_from(&people, owner, "victim", PASSWORD).await.status, 200);
        let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
        let people = std::sync::Arc::new(people);
        for round in 0..10 {
            let tasks: Vec<_> = (0..1000).map(|number| {
                let people = std::sync::Arc::clone(&people);
                tokio::spawn(async move {
                    log_in_from(&people, &address(number), "victim", &format!("guess-{round}-{number}")).await
                })
            }).collect();
            for task in tasks {
                let answer = task.await.expect("it ends");
                *statuses.entry(answer.status).or_default() += 1;
                if answer.status == 429 {
                    let json = answer.json();
                    let wait = json["retry_after"].as_u64().expect("seconds");
                    assert!((1..=180).contains(&wait), "{json}");
                    assert_eq!(answer.header("retry-after"), Some(wait.to_string().as_str()));
                }
            }
        }
        let verified = statuses.get(&401).copied().unwrap_or_default();
        assert!(verified <= 30, "{statuses:?}");
        assert_eq!(verified + statuses[&429], 10_000, "{statuses:?}");
        let answer = log_in_from(&people, owner, "victim", PASSWORD).await;
        assert_eq!(answer.status, 200, "the owner, from where it always logs in: {}", answer.text());
        trust::record("P24", &format!("10,000 guesses from 1,000 addresses on one account: {verified} verified, the owner still gets in from an address of its own"));
    }
}

#[tokio::test]
async fn one_address_gets_tired_of_guessing_at_many_names() {
    let people = People::start(Home::Sqlite).await;
    people.register("alice").await;
    let mut verified = 0;
    for number in 0..200 {
        let answer = log_in_from(&people, "203.0.113.9", &format!("name-{number}"), "guess").await;
        assert!([401, 429].contains(&answer.status), "{}", answer.text());
        verified += usize::from(answer.status == 401);
    }
    assert!((20..30).contains(&verified), "{verified}");
    let same_network = log_in_from(&people, "2001:db8::1", "name-1", "guess").await;
    assert_eq!(same_network.status, 401, "another address is not it");
    assert_eq!(
        log_in_from(&people, "203.0.113.8", "alice", PASSWORD)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn addresses_of_one_ipv6_network_are_one() {
    let people = People::start(Home::Sqlite).await;
    let mut verified = 0;
    for number in 0..100 {
        let answer = log_in_from(
            &people,
            &format!("2001:db8:1:1::{number:x}"),
            &format!("name-{number}"),
            "guess",
        )
        .await;
        verified += usize::from(answer.status == 401);
    }
    assert!((20..30).contains(&verified), "{verified}");
}

#[tokio::test]
async fn the_current_password_cannot_be_guessed_by_who_found_an_open_login() {
    let people = People::start(Home::Sqlite).await;
    let tokens = people.join("alice").await;
    let mut statuses = Vec::new();
    for number in 0..20 {
        let body = json!({ "current_password": format!("guess {number}"), "new_password": "another good one" });
        let answer = people
            .call(
                "POST",
                "/api/v1/auth/password",
                Some(&tokens.access),
                Some(&body),
            )
            .await;
        statuses.push(answer.status);
    }
    // Twenty would take half an hour.
    let compared = statuses.iter().filter(|status| **status == 403).count();
    assert!((4..15).contains(&compared), "{statuses:?}");
    assert!(
        statuses.iter().all(|status| [403, 429].contains(status)),
        "{statuses:?}"
    );
    people.log_in("alice").await;
}

on_both! {
    async fn unknown_wrong_and_disabled_are_answered_in_the_same_bytes(home: Home) {
        let people = People::start(home).await;
        people.register("alice").await;
        people.register("carol").await;
        people.database.json(&["user", "disable", "carol", "--json"], "").await;
        let mut answers = Vec::new();
        for (name, password) in [("alice", "wrong"), ("nobody", "wrong"), ("carol", PASSWORD), ("carol", "wrong")] {
            let answer = people.try_log_in(name, password).await;
            let mut headers = answer.headers.clone();
            headers.retain(|(name, _)| name != "x-request-id");
            answers.push((answer.status, headers, answer.text()));
        }
        assert_eq!(answers[0].0, 401);
        for other in &answers[1..] {
            assert_eq!(*other, answers[0]);
        }
    }
}

on_both! {
    async fn a_tired_address_tells_nobody_who_logs_in_from_it_and_the_owner_still_gets_in(home: Home) {
        let people = People::start(home).await;
        people.register("alice").await;
        let office = "203.0.113.9";
        assert_eq!(log_in_from(&people, office, "alice", PASSWORD).await.status, 200);
        let guess = async |name: &str| {
            let answer = log_in_from(&people, office, name, "guess").await;
            (answer.status, answer.json()["detail"].clone())
        };
        let mut number = 0;
        // Its patience may come back between two of them.
        let tired = loop {
            number += 1;
            let before = guess(&format!("nobody-{number}")).await;
            if before.0 != 429 {
                continue;
            }
            let alice = guess("alice").await;
            if guess(&format!("somebody-{number}")).await.0 == 429 {
                assert_eq!(alice, before);
                break before;
            }
        };
        assert_eq!(tired.0, 429);
        let answer = log_in_from(&people, office, "alice", PASSWORD).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

on_both! {
    async fn a_user_may_log_in_many_times_at_once(home: Home) {
        let people = std::sync::Arc::new(People::start(home).await);
        people.register("alice").await;
        for round in ["from a new address", "from a known one"] {
            let tasks: Vec<_> = (0..12).map(|_| {
                let people = std::sync::Arc::clone(&people);
                tokio::spawn(async move { people.try_log_in("alice", PASSWORD).await.status })
            }).collect();
            for task in tasks {
                assert_eq!(task.await.expect("it ends"), 200, "{round}");
            }
        }
    }
}
