//! P23, P24, P38 and P46: accounts in great numbers, under attack, and killed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::Row;
use crate::legit::{milliseconds, users_for};
use crate::support::people::Database;
use crate::support::{
    Answer, Connection, Home, PASSWORD, People, RELAY_TOKEN, authorization, call, kills,
};

/// Users who share one hash, and so one password; made in a moment.
async fn crowd(people: &People, count: usize) {
    people.register("model").await;
    let rows = people
        .database
        .rows("SELECT password_hash FROM relay_users")
        .await;
    let hash: String = sqlx::Row::try_get(&rows[0], 0).expect("text");
    let mut list = "username,email,hashed_password\n".to_owned();
    for number in 0..count {
        list.push_str(&format!(
            "user-{number},user-{number}@example.com,\"{hash}\"\n"
        ));
    }
    let path = std::env::temp_dir().join(format!("crowd-{}.csv", uuid::Uuid::new_v4()));
    std::fs::write(&path, list).expect("a list");
    let import = ["user", "import", path.to_str().expect("a path"), "--json"];
    let done = people.database.json(&import, "").await;
    assert_eq!(done["added"], count, "{done}");
    std::fs::remove_file(path).expect("it is there");
}

/// A login from an address of its own, and how long it took.
async fn log_in(people: &People, number: usize, name: &str, password: &str) -> (Answer, Duration) {
    let line = format!(
        "X-Forwarded-For: 203.{}.{}.{}",
        number >> 16 & 255,
        number >> 8 & 255,
        number & 255
    );
    let body = json!({ "username": name, "password": password });
    let start = Instant::now();
    let answer = call(
        &people.relay,
        "POST",
        "/api/v1/auth/login",
        &[&line],
        Some(&body),
    )
    .await;
    (answer, start.elapsed())
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The two-sided Kolmogorov–Smirnov test: how likely so large a difference is by chance.
fn likelihood(one: &[f64], other: &[f64]) -> f64 {
    let share = |times: &[f64], at: f64| {
        times.iter().filter(|time| **time <= at).count() as f64 / times.len() as f64
    };
    let points = one.iter().chain(other);
    let largest = points
        .map(|at| (share(one, *at) - share(other, *at)).abs())
        .fold(0.0, f64::max);
    let size = (one.len() * other.len()) as f64 / (one.len() + other.len()) as f64;
    let lambda = (size.sqrt() + 0.12 + 0.11 / size.sqrt()) * largest;
    let terms = (1..=100).map(|k: i32| {
        let sign = if k % 2 == 1 { 1.0 } else { -1.0 };
        sign * (-2.0 * f64::from(k * k) * lambda * lambda).exp()
    });
    (2.0 * terms.sum::<f64>()).clamp(0.0, 1.0)
}

/// P23: known and unknown names take the same time.
pub async fn nobody_is_found_by_time() -> Row {
    const LOGINS: usize = 500;
    let people = People::start(Home::Sqlite).await;
    crowd(&people, LOGINS).await;
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for number in 0..LOGINS {
        for (name, times) in [
            (format!("user-{number}"), &mut known),
            (format!("none-{number}"), &mut unknown),
        ] {
            let (answer, took) = log_in(&people, number, &name, "wrong").await;
            assert_eq!(answer.status, 401, "{}", answer.text());
            times.push(took.as_secs_f64() * 1e3);
        }
    }
    let p = likelihood(&known, &unknown);
    let (known, unknown) = (median(&mut known), median(&mut unknown));
    let apart = (known - unknown).abs() / known.max(unknown);
    Row::new(
        apart <= 0.05 && p > 0.01,
        format!(
            "2 × {LOGINS} logins: medians {known:.1} and {unknown:.1} ms, {:.1} % apart; Kolmogorov–Smirnov p = {p:.2}",
            apart * 100.0
        ),
    )
}

/// P24: guessing is slow, and its neighbours do not notice.
pub async fn guesses() -> Row {
    let people = People::start_with(Home::Sqlite, &[("RELAY_TOKEN", RELAY_TOKEN)]).await;
    people.register("victim").await;
    let owner = 1 << 20;
    let (answer, _) = log_in(&people, owner, "victim", PASSWORD).await;
    assert_eq!(answer.status, 200);
    let alone = users_for(people.relay.address(), Duration::from_secs(15)).await;
    let people = Arc::new(people);
    let start = Instant::now();
    let guessing = tokio::spawn({
        let people = Arc::clone(&people);
        async move {
            let mut tasks = JoinSet::new();
            let mut verified = 0;
            let mut ticks = tokio::time::interval(Duration::from_millis(2));
            for guess in 0..10_000_usize {
                ticks.tick().await;
                let people = Arc::clone(&people);
                tasks.spawn(async move {
                    log_in(&people, guess % 1000, "victim", &format!("guess-{guess}"))
                        .await
                        .0
                        .status
                });
                while let Some(Ok(status)) = tasks.try_join_next() {
                    verified += usize::from(status == 401);
                }
            }
            while let Some(Ok(status)) = tasks.join_next().await {
                verified += usize::from(status == 401);
            }
            verified
        }
    });
    let beside = users_for(people.relay.address(), Duration::from_secs(15)).await;
    let verified = guessing.await.expect("it ends");
    let took = start.elapsed();
    let (answer, _) = log_in(&people, owner, "victim", PASSWORD).await;
    let is_in = answer.status == 200;
    let passed = verified <= 30
        && is_in
        && beside.failures == 0
        && beside.p99 <= alone.p99 + Duration::from_millis(10);
    Row::new(
        passed,
        format!(
            "10,000 guesses from 1,000 addresses in {:.0} s: {verified} verified, the owner gets in: {is_in}; {} requests beside with {} failures, p99 {} (alone {})",
            took.as_secs_f64(),
            beside.requests,
            beside.failures,
            milliseconds(beside.p99),
            milliseconds(alone.p99)
        ),
    )
}

/// P38: fifty kills during writes.
pub async fn killed() -> Row {
    let mut people = People::start(Home::Sqlite).await;
    let (lost, acknowledged, slowest) = kills::during_writes(&mut people, 50, 200).await;
    let rows = people.database.rows("PRAGMA integrity_check").await;
    let verdict: String = sqlx::Row::try_get(&rows[0], 0).expect("text");
    Row::new(
        lost == 0 && verdict == "ok" && slowest <= 1000.0,
        format!(
            "50 × kill -9 during {acknowledged} acknowledged writes: {lost} lost, integrity {verdict}, ready within {slowest:.0} ms"
        ),
    )
}

/// P46: a hundred thousand users cost a login nothing, and a login costs a relayed request nothing.
pub async fn a_hundred_thousand() -> Row {
    const USERS: usize = 100_000;
    let few = People::start(Home::Sqlite).await;
    crowd(&few, 100).await;
    let database = Database::new(Home::Sqlite).await;
    let many = People::start_on(database, &[("RELAY_TOKEN", RELAY_TOKEN)]).await;
    crowd(&many, USERS).await;
    let (mut with_few, mut with_many) = (Vec::new(), Vec::new());
    for number in 0..100 {
        let (answer, took) = log_in(&few, number, &format!("user-{number}"), PASSWORD).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        with_few.push(took.as_secs_f64() * 1e3);
        let name = format!("user-{}", number * 997 % USERS);
        let (answer, took) = log_in(&many, number, &name, PASSWORD).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        with_many.push(took.as_secs_f64() * 1e3);
    }
    let (with_few, with_many) = (median(&mut with_few), median(&mut with_many));
    let tokens = many.log_in("user-1").await;
    let (mut by_token, mut by_account) = (Vec::new(), Vec::new());
    for _ in 0..11 {
        by_token.push(cost(&many, &authorization()).await);
        by_account.push(cost(&many, &tokens.bearer()).await);
    }
    let (by_token, by_account) = (median(&mut by_token), median(&mut by_account));
    Row::new(
        with_many <= with_few * 1.1 && by_account <= by_token * 1.1,
        format!(
            "a login takes {with_many:.1} ms among {USERS} users, {with_few:.1} ms among 100; a relayed request {by_account:.0} µs of processor by an account, {by_token:.0} µs by RELAY_TOKEN (medians of 11 pairs of 4,000)"
        ),
    )
}

/// The processor time of one relayed request, in microseconds.
async fn cost(people: &People, line: &str) -> f64 {
    const REQUESTS: u32 = 4000;
    let mut connection = Connection::open(people.relay.address()).await;
    let bytes = format!("GET /v1/models HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
    let before = people.relay.cpu();
    for _ in 0..REQUESTS {
        connection.write(bytes.as_bytes()).await;
        let answer = connection.answer(false).await.expect("an answer");
        assert_eq!(answer.status, 200);
    }
    (people.relay.cpu() - before).as_secs_f64() * 1e6 / f64::from(REQUESTS)
}
