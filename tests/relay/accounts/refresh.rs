//! P22: refresh tokens are good once, and a stolen one ends its family.

use serde_json::json;

use super::*;

async fn refresh(people: &People, token: &str) -> Answer {
    let body = json!({ "refresh_token": token });
    people.post("/api/v1/auth/refresh", &body).await
}

/// Lets every use of a token be longer ago than the grace.
async fn let_the_grace_pass(people: &People) {
    let sql = "UPDATE relay_refresh_tokens SET used_at = used_at - 11000 WHERE used_at IS NOT NULL";
    people.database.change(sql).await;
}

on_both! {
    async fn a_refresh_token_is_rotated_and_a_replay_ends_its_family(home: Home) {
        let people = People::start(home).await;
        let first = people.join("alice").await;
        let bystander = people.log_in("alice").await;
        let second = Tokens::of(&refresh(&people, &first.refresh).await);
        assert_ne!(second.refresh, first.refresh);
        assert!(people.opens(&second).await);
        let third = Tokens::of(&refresh(&people, &second.refresh).await);
        let_the_grace_pass(&people).await;
        let replay = refresh(&people, &first.refresh).await;
        let unknown = refresh(&people, "rt_unknown").await;
        assert_eq!(replay.status, 401);
        assert_eq!(replay.text(), unknown.text(), "a thief learns nothing");
        for tokens in [&first, &second, &third] {
            assert_eq!(refresh(&people, &tokens.refresh).await.status, 401);
            assert!(!people.opens(tokens).await, "its access tokens are out too");
        }
        assert!(people.opens(&bystander).await, "another login of the same user is untouched");
        Tokens::of(&refresh(&people, &bystander.refresh).await);
        people.relay.says("a refresh token was used twice").await;
    }
}

on_both! {
    async fn a_lost_answer_is_no_theft(home: Home) {
        let people = People::start(home).await;
        people.database.stretch_grace().await;
        let first = people.join("alice").await;
        let lost = Tokens::of(&refresh(&people, &first.refresh).await);
        let again = Tokens::of(&refresh(&people, &first.refresh).await);
        assert_eq!(again.refresh, lost.refresh, "the same successor");
        Tokens::of(&refresh(&people, &again.refresh).await);
        assert!(people.opens(&again).await);
    }
}

on_both! {
    async fn fifty_refreshes_at_once_have_one_successor(home: Home) {
        let people = People::start(home).await;
        people.database.stretch_grace().await;
        let tokens = people.join("alice").await;
        let body = json!({ "refresh_token": tokens.refresh }).to_string();
        let bytes = request("POST", "/api/v1/auth/refresh", &["Content-Type: application/json"], body.as_bytes());
        let tasks: Vec<_> = (0..50)
            .map(|_| tokio::spawn(send_one(people.relay.address(), bytes.clone())))
            .collect();
        let mut successors = std::collections::BTreeSet::new();
        for task in tasks {
            let answer = task.await.expect("it ends");
            successors.insert(Tokens::of(&answer).refresh);
        }
        assert_eq!(successors.len(), 1, "{successors:?}");
        let rows = "SELECT CAST(COUNT(*) AS BIGINT) FROM relay_refresh_tokens";
        assert_eq!(people.database.count(rows).await, 2);
    }
}

async fn send_one(address: std::net::SocketAddr, bytes: Vec<u8>) -> Answer {
    send(address, bytes).await.expect("an answer")
}

on_both! {
    async fn theft_is_found_across_a_kill_and_on_another_relay(home: Home) {
        let mut people = People::start(home).await;
        let first = people.join("alice").await;
        let second = Tokens::of(&refresh(&people, &first.refresh).await);
        people.relay.signal("KILL");
        people.relay.exit_code().await;
        people.relay = people.replica(&[]).await;
        let_the_grace_pass(&people).await;
        assert_eq!(refresh(&people, &first.refresh).await.status, 401);
        assert_eq!(refresh(&people, &second.refresh).await.status, 401);
        trust::record(
            "P22",
            "replay after the grace ends the family with its access tokens, across kill -9; 50 refreshes at once: 1 successor; SQLite and Postgres",
        );
    }
}

on_both! {
    async fn an_access_token_makes_a_new_pair_as_long_as_its_login_lasts(home: Home) {
        let people = People::start(home).await;
        let first = people.join("alice").await;
        let mut tokens = first.clone();
        for _ in 0..8 {
            let answer = people.call("POST", "/api/v1/auth/refresh", Some(&tokens.access), None).await;
            tokens = Tokens::of(&answer);
        }
        assert!(people.opens(&tokens).await && people.opens(&first).await);
        Tokens::of(&refresh(&people, &tokens.refresh).await);
        let unused = "SELECT CAST(COUNT(*) AS BIGINT) FROM relay_refresh_tokens WHERE used_at IS NULL";
        assert!(people.database.count(unused).await <= 6, "they do not pile up");
        let ends = "SELECT CAST(COUNT(DISTINCT expires_at) AS BIGINT) FROM relay_logins";
        assert_eq!(people.database.count(ends).await, 1, "nothing makes a login longer");
    }
}

on_both! {
    async fn a_login_ends_after_thirty_days_however_it_was_refreshed(home: Home) {
        let people = People::start(home).await;
        let tokens = people.join("alice").await;
        let sql = "UPDATE relay_logins SET expires_at = expires_at - 2592000000";
        people.database.change(sql).await;
        assert_eq!(refresh(&people, &tokens.refresh).await.status, 401);
        let near = "UPDATE relay_logins SET expires_at = expires_at + 60000";
        people.database.change(near).await;
        let answer = refresh(&people, &tokens.refresh).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let left = answer.json()["expires_in"].as_u64().expect("seconds");
        assert!(left <= 60, "an access token does not outlive its login: {left}");
    }
}

#[tokio::test]
async fn what_is_kept_of_a_refresh_token_cannot_be_used() {
    let people = People::start(Home::Sqlite).await;
    let tokens = people.join("alice").await;
    let rows = people
        .database
        .rows("SELECT hash FROM relay_refresh_tokens")
        .await;
    let hash: String = sqlx::Row::try_get(&rows[0], 0).expect("text");
    assert!(!tokens.refresh.contains(&hash));
    for shown in [hash.clone(), format!("rt_{hash}")] {
        assert_eq!(refresh(&people, &shown).await.status, 401);
    }
}
