//! P31: the database goes away, hangs, or is not there yet; known accounts go on.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::support::people::PATIENT;
use crate::support::relay::SOON;

/// The default: here it is waited for.
const PATIENCE: (&str, &str) = ("DATABASE_TIMEOUT", "5");
/// So long that every answer of the database's is older than what counts as fresh.
const LONG: Duration = Duration::from_secs(62);

async fn on_a_server_of_its_own(extra: &[(&str, &str)]) -> (Postgres, People) {
    let postgres = Postgres::start();
    let database = Database::at(postgres.database());
    let people = People::start_on(database, &[&[PATIENCE], extra].concat()).await;
    (postgres, people)
}

/// What routes of accounts say while the database is away.
fn assert_unavailable(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 503, "{what}: {}", answer.text());
    let wait = answer
        .header("retry-after")
        .and_then(|text| text.parse::<u64>().ok());
    assert!(wait.is_some_and(|wait| wait > 0), "{what}");
    assert!(
        answer.json()["detail"].is_string(),
        "{what}: {}",
        answer.text()
    );
}

async fn routes_of_accounts_are_503(people: &People, known: &Tokens) {
    let log_in = json!({ "username": "alice", "password": PASSWORD });
    let new = json!({ "username": "new", "email": "new@example.com", "password": PASSWORD });
    let refresh = json!({ "refresh_token": known.refresh });
    for (method, path, token, body) in [
        ("POST", "/api/v1/auth/login", None, Some(&log_in)),
        ("POST", "/api/v1/auth/register", None, Some(&new)),
        ("POST", "/api/v1/auth/refresh", None, Some(&refresh)),
        ("POST", "/api/v1/auth/refresh", Some(&known.access), None),
        ("GET", "/api/v1/auth/me", Some(&known.access), None),
        ("POST", "/api/v1/auth/logout", Some(&known.access), None),
    ] {
        let token = token.map(String::as_str);
        let answer = people.call(method, path, token, body).await;
        assert_unavailable(&answer, path);
    }
}

#[tokio::test]
async fn known_accounts_go_on_while_the_database_is_stopped_and_all_is_well_when_it_is_back() {
    let (postgres, mut people) = on_a_server_of_its_own(&[("RELAY_TOKEN", RELAY_TOKEN)]).await;
    let known = people.join("alice").await;
    let unknown = people.join("bob").await;
    let make = ["key", "create", "a client", "--json"];
    let (key, unseen) = (
        people.database.json(&make, "").await,
        people.database.json(&make, "").await,
    );
    let shown = |made: &serde_json::Value| made["key"].as_str().expect("a key").to_owned();
    let (key, unseen) = (shown(&key), shown(&unseen));
    let made = people
        .call("POST", "/api/v1/tokens", Some(&key), None)
        .await;
    let token = made.json()["value"].as_str().expect("a token").to_owned();
    let seen = [known.access.clone(), key, token];
    for credential in &seen {
        let answer = people
            .call("GET", "/v1/models", Some(credential), None)
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    postgres.tell("stop");
    let start = Instant::now();
    let mut served = 0;
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    while start.elapsed() < LONG {
        ticks.tick().await;
        for credential in &seen {
            let answer = people
                .call("GET", "/v1/models", Some(credential), None)
                .await;
            assert_eq!(
                answer.status,
                200,
                "after {:?}: {}",
                start.elapsed(),
                answer.text()
            );
            served += 1;
        }
    }
    let answer = people
        .call("GET", "/v1/models", Some(RELAY_TOKEN), None)
        .await;
    assert_eq!(answer.status, 200);
    for credential in [&unknown.access, &unseen] {
        let answer = people
            .call("GET", "/v1/models", Some(credential), None)
            .await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (503, "database_unavailable"),
            "never 401"
        );
        assert!(answer.header("retry-after").is_some());
    }
    routes_of_accounts_are_503(&people, &known).await;
    let health = people
        .call("GET", "/api/v1/health/detailed", None, None)
        .await;
    assert_eq!(health.status, 503);
    assert_eq!(health.json()["services"]["database"]["status"], "unhealthy");
    postgres.tell("start");
    people
        .relay
        .line(|line| line["message"] == "the database answers again")
        .await;
    assert!(people.opens(&known).await && people.opens(&unknown).await);
    let answer = people.call("GET", "/v1/models", Some(&unseen), None).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    people.log_in("alice").await;
    let log = people.relay.whole_log().await;
    let said = log
        .lines()
        .filter(|line| line.contains("the database does not answer:"))
        .count();
    assert_eq!(said, 1, "once per change: {log}");
    trust::record(
        "P31",
        &format!(
            "Postgres stopped for {} s: {served} requests of a known account, relay key and sealed token, 0 failures; others 503, never 401; routes of accounts 503 with Retry-After; back by itself",
            LONG.as_secs()
        ),
    );
}

#[tokio::test]
async fn a_database_that_hangs_holds_nobody_up_who_is_known() {
    let (postgres, mut people) = on_a_server_of_its_own(&[]).await;
    let known = people.join("alice").await;
    assert!(people.opens(&known).await);
    postgres.tell("pause");
    let refresh = json!({ "refresh_token": known.refresh });
    let answer = people.post("/api/v1/auth/refresh", &refresh).await;
    assert_unavailable(&answer, "refresh");
    for _ in 0..20 {
        assert!(people.opens(&known).await);
    }
    routes_of_accounts_are_503(&people, &known).await;
    postgres.tell("continue");
    people
        .relay
        .line(|line| line["message"] == "the database answers again")
        .await;
    Tokens::of(&people.post("/api/v1/auth/refresh", &refresh).await);
}

/// Longer than the default.
#[tokio::test]
async fn a_slow_database_is_waited_for_as_long_as_is_said() {
    let (postgres, people) = on_a_server_of_its_own(&[PATIENT]).await;
    let known = people.join("alice").await;
    postgres.tell("pause");
    let body = json!({ "refresh_token": known.refresh });
    let asking = people.post("/api/v1/auth/refresh", &body);
    let waking = async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        postgres.tell("continue");
    };
    let (answer, ()) = tokio::join!(asking, waking);
    Tokens::of(&answer);
}

#[tokio::test]
async fn a_relay_that_starts_before_its_database_serves_and_waits() {
    let postgres = Postgres::start();
    let database = Database::at(postgres.database());
    postgres.tell("stop");
    let mut people = People::start_on(database, &[("RELAY_TOKEN", RELAY_TOKEN), PATIENCE]).await;
    let answer = people
        .call("GET", "/v1/models", Some(RELAY_TOKEN), None)
        .await;
    assert_eq!(answer.status, 200);
    assert_unavailable(&people.try_log_in("alice", PASSWORD).await, "login");
    postgres.tell("start");
    people
        .relay
        .line(|line| line["message"] == "the database was migrated")
        .await;
    eventually_joins(&people).await;
    people.relay.signal("TERM");
    assert_eq!(people.relay.exit_code().await, Some(0));
}

/// The moment between the migration and the first answer is short, but there is one.
async fn eventually_joins(people: &People) {
    let body = json!({ "username": "alice", "email": "a@example.com", "password": PASSWORD });
    let start = Instant::now();
    loop {
        let answer = people.post("/api/v1/auth/register", &body).await;
        match answer.status {
            201 => return,
            503 if start.elapsed() < SOON => tokio::task::yield_now().await,
            _ => panic!("{}", answer.text()),
        }
    }
}

#[tokio::test]
async fn a_database_that_says_no_is_an_error_at_start() {
    let postgres = Postgres::shared().database();
    let missing = postgres.replace("/relay_", "/missing_");
    for (url, says) in [
        (missing.as_str(), "does not exist"),
        ("sqlite:////nonexistent/folder/app.db", "cannot be opened"),
    ] {
        let database = Database::at(url.to_owned());
        let output = database.command(&["serve"], "").await;
        assert_eq!(output.status.code(), Some(1), "{url}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.contains("DATABASE_URL") && said.contains(says),
            "{said}"
        );
    }
}

#[tokio::test]
async fn ten_relays_that_start_at_once_on_one_database_share_it() {
    for home in [Home::Postgres, Home::Sqlite] {
        let database = Database::new(home).await;
        let upstream = crate::support::upstream().await;
        let base_url = upstream.base_url();
        let variables = [
            ("OPENAI_API_KEY", SERVER_KEY),
            ("OPENAI_BASE_URL", base_url.as_str()),
            ("SECRET_KEY", crate::support::people::SECRET_KEY),
            ("DATABASE_URL", database.url.as_str()),
            PATIENT,
        ];
        let starts = (0..10).map(|_| Relay::start(&variables));
        let mut relays = Vec::new();
        let mut starts: Vec<_> = starts.map(Box::pin).collect();
        std::future::poll_fn(|cx| {
            starts.retain_mut(|start| match start.as_mut().poll(cx) {
                std::task::Poll::Ready(relay) => {
                    relays.push(relay);
                    false
                }
                std::task::Poll::Pending => true,
            });
            match starts.is_empty() {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
            }
        })
        .await;
        let body = json!({ "username": "alice", "email": "a@example.com", "password": PASSWORD });
        let made = call(
            &relays[0],
            "POST",
            "/api/v1/auth/register",
            &[],
            Some(&body),
        )
        .await;
        assert_eq!(made.status, 201, "{}", made.text());
        for relay in &relays {
            let answer = call(relay, "POST", "/api/v1/auth/login", &[], Some(&body)).await;
            let tokens = Tokens::of(&answer);
            for other in &relays {
                let line = tokens.bearer();
                assert_eq!(
                    get(other.address(), "/v1/models", &[&line]).await.status,
                    200
                );
            }
        }
        let versions = "SELECT CAST(COUNT(*) AS BIGINT) FROM relay_migrations";
        assert_eq!(database.count(versions).await, 2, "{home:?}");
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let people = People::start(Home::Sqlite).await;
    people
        .database
        .change("INSERT INTO relay_migrations VALUES (999, 0)")
        .await;
    let output = people.database.command(&["user", "list"], "").await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("newer version"), "{said}");
}

#[tokio::test]
async fn one_slow_writer_holds_up_writers_alone() {
    let people = std::sync::Arc::new(People::start_with(Home::Sqlite, &[PATIENCE]).await);
    let unseen = people.join("alice").await;
    let mut writer = people.database.connect().await;
    let execute = sqlx::query("BEGIN IMMEDIATE").execute(&mut writer);
    execute.await.expect("the lock for writing");
    let logins: Vec<_> = (0..2)
        .map(|_| {
            let people = std::sync::Arc::clone(&people);
            tokio::spawn(async move { people.try_log_in("alice", PASSWORD).await })
        })
        .collect();
    for login in logins {
        assert_unavailable(&login.await.expect("it ends"), "a login meanwhile");
        assert!(people.opens(&unseen).await, "a token that was not seen yet");
        let me = people.call("GET", "/api/v1/auth/me", Some(&unseen.access), None);
        assert_eq!(me.await.status, 200);
    }
    let execute = sqlx::query("ROLLBACK").execute(&mut writer);
    execute.await.expect("the lock is free");
    people.log_in("alice").await;
}
