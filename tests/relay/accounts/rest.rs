//! What rests in the database: nothing that could be used, and nothing for longer than it means
//! something.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::*;

/// All that is on the disk of a SQLite database.
fn bytes_of(database: &Database) -> Vec<u8> {
    let path = database.url.trim_start_matches("sqlite:///").to_owned();
    let mut bytes = Vec::new();
    for ending in ["", "-wal", "-shm"] {
        bytes.extend(std::fs::read(format!("{path}{ending}")).unwrap_or_default());
    }
    bytes
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn nothing_in_the_database_can_be_used_in_place_of_a_credential() {
    let people = People::start(Home::Sqlite).await;
    let tokens = people.join("alice").await;
    let invite = people
        .database
        .json(&["invite", "create", "--json"], "")
        .await;
    let code = invite["code"].as_str().expect("a code").to_owned();
    let made = people
        .database
        .json(&["user", "passwd", "alice", "--generate", "--json"], "")
        .await;
    let made = made["password"].as_str().expect("a password").to_owned();
    let bytes = bytes_of(&people.database);
    assert!(
        holds(&bytes, "alice@example.com"),
        "it is what was looked at"
    );
    let signature = tokens.access.rsplit('.').next().expect("a signature");
    for secret in [
        tokens.refresh.as_str(),
        tokens.refresh.trim_start_matches("rt_"),
        &tokens.access,
        signature,
        PASSWORD,
        &made,
        &code,
        code.trim_start_matches("invite_"),
        crate::support::people::SECRET_KEY,
        SERVER_KEY,
        "127.0.0.1",
    ] {
        assert!(!holds(&bytes, secret), "{secret}");
    }
    trust::record(
        "P20",
        "accounts: a SQLite file with its log holds no password, token, invite, key or address; tokens and invites as SHA-256, passwords as argon2id",
    );
}

#[tokio::test]
async fn nobody_else_on_the_machine_may_read_the_database() {
    use std::os::unix::fs::PermissionsExt;
    let people = People::start(Home::Sqlite).await;
    people.join("alice").await;
    let path = PathBuf::from(people.database.url.trim_start_matches("sqlite:///"));
    let folder = path.parent().expect("a folder");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.file_name().to_string_lossy().starts_with("app.db") {
            let mode = entry.metadata().expect("a file").permissions().mode();
            assert_eq!(mode & 0o077, 0, "{:?}: {mode:o}", entry.path());
            files += 1;
        }
    }
    assert_eq!(files, 3, "{}", Path::new(folder).display());
}

/// Asks the database until it says so.
async fn counts(people: &People, sql: &'static str, wanted: i64) {
    let search = async {
        while people.database.count(sql).await != wanted {
            tokio::task::yield_now().await;
        }
    };
    let found = tokio::time::timeout(crate::support::relay::SOON, search).await;
    assert!(found.is_ok(), "{sql}: {}", people.database.count(sql).await);
}

on_both! {
    async fn logins_that_are_over_are_forgotten_and_nobody_keeps_more_than_a_thousand(home: Home) {
        let mut people = People::start(home).await;
        let (gone, kept) = (people.join("alice").await, people.log_in("alice").await);
        people.database.json(&["invite", "create", "--json"], "").await;
        people.database.change("UPDATE relay_logins SET expires_at = 1 WHERE id = (SELECT id FROM relay_logins ORDER BY created_at, id LIMIT 1)").await;
        people.database.change("UPDATE relay_invites SET expires_at = 1").await;
        people.register("busy").await;
        let many = match home {
            Home::Sqlite => "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 1005) \
                INSERT INTO relay_logins (id, user_id, created_at, expires_at) SELECT 'l' || n, (SELECT id FROM relay_users WHERE username = 'busy'), n, 9999999999999 FROM number",
            Home::Postgres => "INSERT INTO relay_logins (id, user_id, created_at, expires_at) \
                SELECT 'l' || n, (SELECT id FROM relay_users WHERE username = 'busy'), n, 9999999999999 FROM generate_series(1, 1005) AS n",
        };
        assert_eq!(people.database.change(many).await, 1005);
        people.relay = people.replica(&[]).await;
        counts(&people, "SELECT CAST(COUNT(*) AS BIGINT) FROM relay_logins", 1001).await;
        counts(&people, "SELECT CAST(COUNT(*) AS BIGINT) FROM relay_invites", 0).await;
        let oldest = "SELECT CAST(MIN(created_at) AS BIGINT) FROM relay_logins";
        assert_eq!(people.database.count(oldest).await, 6, "the oldest go first");
        let usable = [people.opens(&gone).await, people.opens(&kept).await];
        assert_eq!(usable.iter().filter(|usable| **usable).count(), 1);
    }
}

on_both! {
    async fn only_the_latest_addresses_of_a_user_are_remembered(home: Home) {
        let people = People::start(home).await;
        people.register("alice").await;
        for number in 0..25 {
            let line = format!("X-Forwarded-For: 203.0.113.{number}");
            let body = json!({ "username": "alice", "password": PASSWORD });
            let answer = call(&people.relay, "POST", "/api/v1/auth/login", &[&line], Some(&body)).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let addresses = "SELECT CAST(COUNT(*) AS BIGINT) FROM relay_login_addresses";
        assert_eq!(people.database.count(addresses).await, 20);
    }
}
