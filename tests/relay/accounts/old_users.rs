//! P25, and the move from the earlier accounts API: its users and their passwords come along, and
//! its table stays as it is.

use serde_json::json;
use sqlx::Row;

use super::*;

/// 1,000 hashes of passlib, bcrypt for Python, bcryptjs and PHP, at cost 4, with their passwords.
const HASHES: &str = include_str!("../../fixtures/bcrypt.tsv");

fn fixtures() -> Vec<(&'static str, &'static str)> {
    let lines = HASHES.lines();
    lines
        .map(|line| line.split_once('\t').expect("two columns"))
        .collect()
}

/// A database as the earlier API left it, with these users.
async fn old_database(home: Home, users: &[(&str, &str)]) -> Database {
    let database = Database::new(home).await;
    let create = match home {
        Home::Sqlite => {
            "CREATE TABLE users (id VARCHAR PRIMARY KEY, username VARCHAR(50) UNIQUE NOT NULL, email VARCHAR UNIQUE NOT NULL, \
             hashed_password VARCHAR NOT NULL, is_active BOOLEAN, created_at DATETIME, updated_at DATETIME)"
        }
        Home::Postgres => {
            "CREATE TABLE users (id UUID PRIMARY KEY, username VARCHAR(50) UNIQUE NOT NULL, email VARCHAR UNIQUE NOT NULL, \
             hashed_password VARCHAR NOT NULL, is_active BOOLEAN, created_at TIMESTAMP, updated_at TIMESTAMP)"
        }
    };
    let mut connection = database.connect().await;
    sqlx::query(create)
        .execute(&mut connection)
        .await
        .expect(create);
    let insert = match home {
        Home::Sqlite => {
            "INSERT INTO users VALUES ($1, $2, $3, $4, 1, '2024-01-02 03:04:05.678901', NULL)"
        }
        Home::Postgres => {
            "INSERT INTO users VALUES (CAST($1 AS UUID), $2, $3, $4, TRUE, '2024-01-02 03:04:05.678901', NULL)"
        }
    };
    sqlx::Connection::ping(&mut connection)
        .await
        .expect("it answers");
    sqlx::query("BEGIN")
        .execute(&mut connection)
        .await
        .expect("a transaction");
    for (number, (name, hash)) in users.iter().enumerate() {
        sqlx::query(insert)
            .bind(format!("00000000-0000-4000-8000-{number:012}"))
            .bind(*name)
            .bind(format!("user{number}@example.com"))
            .bind(*hash)
            .execute(&mut connection)
            .await
            .expect("a user");
    }
    sqlx::query("COMMIT")
        .execute(&mut connection)
        .await
        .expect("done");
    database
}

/// The old table, as text.
async fn old_table(database: &Database) -> Vec<String> {
    let sql = "SELECT CAST(id AS TEXT) || username || email || hashed_password || CAST(is_active AS TEXT) || CAST(created_at AS TEXT) FROM users ORDER BY 1";
    let rows = database.rows(sql).await;
    rows.iter()
        .map(|row| row.try_get(0).expect("text"))
        .collect()
}

async fn everybody_logs_in(home: Home, count: usize) {
    let fixtures = fixtures();
    assert_eq!(fixtures.len(), 1000);
    let names: Vec<String> = (0..count).map(|number| format!("user-{number}")).collect();
    let users: Vec<(&str, &str)> = names
        .iter()
        .map(String::as_str)
        .zip(fixtures.iter().map(|(hash, _)| *hash))
        .collect();
    let database = old_database(home, &users).await;
    let before = old_table(&database).await;
    let people = std::sync::Arc::new(People::start_on(database, &[]).await);
    let mut tasks = tokio::task::JoinSet::new();
    for (number, name) in names.into_iter().enumerate() {
        let (people, password) = (std::sync::Arc::clone(&people), fixtures[number].1);
        tasks.spawn(async move {
            let answer = people.try_log_in(&name, password).await;
            (name, answer.status)
        });
        if tasks.len() == 8 {
            let (name, status) = tasks.join_next().await.expect("one").expect("it ends");
            assert_eq!(status, 200, "{name}");
        }
    }
    while let Some(done) = tasks.join_next().await {
        let (name, status) = done.expect("it ends");
        assert_eq!(status, 200, "{name}");
    }
    let old = "SELECT CAST(COUNT(*) AS BIGINT) FROM relay_users WHERE password_hash LIKE '$2%'";
    assert_eq!(
        people.database.count(old).await,
        0,
        "every hash is a new one"
    );
    let answer = people.try_log_in("user-0", fixtures[0].1).await;
    assert_eq!(answer.status, 200, "by the new hash too");
    assert_eq!(people.try_log_in("user-1", "wrong").await.status, 401);
    assert_eq!(
        old_table(&people.database).await,
        before,
        "the old table is as it was"
    );
}

#[tokio::test]
async fn a_thousand_old_users_log_in_and_no_old_hash_remains() {
    everybody_logs_in(Home::Sqlite, 1000).await;
    trust::record(
        "P25",
        "1,000 hashes of passlib, bcrypt for Python, bcryptjs and PHP ($2a$, $2b$, $2y$; passwords beyond 72 bytes too): 1,000 log in, 0 remain",
    );
}

#[tokio::test]
async fn old_users_log_in_on_postgres_too() {
    everybody_logs_in(Home::Postgres, 100).await;
}

on_both! {
    async fn an_old_user_who_logs_in_four_times_at_once_gets_in_each_time(home: Home) {
        let (hash, password) = fixtures()[0];
        let database = old_database(home, &[("alice", hash)]).await;
        let people = std::sync::Arc::new(People::start_on(database, &[]).await);
        Tokens::of(&people.try_log_in("alice", password).await);
        let sql = "UPDATE relay_users SET password_hash = (SELECT hashed_password FROM users)";
        people.database.change(sql).await;
        let logins: Vec<_> = (0..4).map(|_| {
            let people = std::sync::Arc::clone(&people);
            tokio::spawn(async move { people.try_log_in("alice", password).await.status })
        }).collect();
        for login in logins {
            assert_eq!(login.await.expect("it ends"), 200);
        }
    }
}

on_both! {
    async fn old_users_keep_their_id_and_age_and_who_is_deleted_stays_so(home: Home) {
        let (hash, password) = fixtures()[0];
        let database = old_database(home, &[("alice", hash), ("bob", hash)]).await;
        let mut people = People::start_on(database, &[]).await;
        let tokens = Tokens::of(&people.try_log_in("alice", password).await);
        let me = people.call("GET", "/api/v1/auth/me", Some(&tokens.access), None).await.json();
        assert_eq!(me["id"], "00000000-0000-4000-8000-000000000000");
        assert_eq!(me["created_at"], "2024-01-02T03:04:05.678Z");
        people.database.json(&["user", "delete", "bob", "--json"], "").await;
        people.relay = people.replica(&[]).await;
        assert_eq!(people.try_log_in("bob", password).await.status, 401);
        let insert = match home {
            Home::Sqlite => "INSERT INTO users SELECT '7', 'carl', 'carl@example.com', hashed_password, 0, created_at, NULL FROM users WHERE username = 'alice'",
            Home::Postgres => "INSERT INTO users SELECT '00000000-0000-4000-8000-000000000007', 'carl', 'carl@example.com', hashed_password, FALSE, created_at, NULL FROM users WHERE username = 'alice'",
        };
        people.database.change(insert).await;
        people.relay = people.replica(&[]).await;
        let listed = people.database.json(&["user", "list", "--json"], "").await;
        let listed = listed.as_array().expect("a list");
        assert_eq!(listed.len(), 2, "{listed:?}");
        assert!(listed.iter().any(|user| user["username"] == "carl" && user["is_active"] == false));
    }
}

on_both! {
    async fn users_are_imported_from_another_database_or_a_list(home: Home) {
        let fixtures = fixtures();
        let old = old_database(home, &[("alice", fixtures[0].0), ("bob", fixtures[1].0), ("odd", "plain")]).await;
        let people = People::start(Home::Sqlite).await;
        people.register("bob").await;
        let done = people.database.json(&["user", "import", &old.url, "--json"], "").await;
        let skipped = json!([
            { "line": null, "username": "bob", "why": "another user has this name" },
            { "line": null, "username": "odd", "why": "no password can match its hash: it is neither bcrypt's nor argon2id's, or not whole" },
        ]);
        assert_eq!(done, json!({ "read": 3, "added": 1, "known": 0, "taken": 1, "unusable": 1, "skipped": skipped }));
        let again = people.database.json(&["user", "import", &old.url, "--json"], "").await;
        assert_eq!(again, json!({ "read": 3, "added": 0, "known": 1, "taken": 1, "unusable": 1, "skipped": skipped }));
        assert_eq!(people.try_log_in("alice", fixtures[0].1).await.status, 200);

        let list = std::env::temp_dir().join(format!("users-{}.csv", uuid::Uuid::new_v4()));
        let text = format!("username,email,hashed_password,is_active\ncarl,carl@example.com,{},true\ndora,dora@example.com,{},false\n", fixtures[2].0, fixtures[3].0);
        std::fs::write(&list, text).expect("a list");
        let done = people.database.json(&["user", "import", list.to_str().expect("a path"), "--json"], "").await;
        assert_eq!(done["added"], 2, "{done}");
        std::fs::remove_file(&list).expect("it is there");
        assert_eq!(people.try_log_in("carl", fixtures[2].1).await.status, 200);
        assert_eq!(people.try_log_in("dora", fixtures[3].1).await.status, 401);
        for source in ["/nonexistent.csv", "/nonexistent.db", "mysql://h/d", "postgres://postgres@127.0.0.1:1/none"] {
            let output = people.database.command(&["user", "import", source], "").await;
            assert_eq!(output.status.code(), Some(1), "{source}: {output:?}");
        }
    }
}

on_both! {
    async fn an_import_names_whom_it_leaves_out_and_says_the_same_when_it_is_repeated(home: Home) {
        let fixtures = fixtures();
        let database = Database::new(home).await;
        let add = ["user", "add", "alice", "alice@example.com", "--generate", "--json"];
        database.json(&add, "").await;
        let text = format!(
            "username,email,hashed_password\ndora,dora@example.com,{hash}\ned,ed@example.com,plain\n\
             alice,other@example.com,{hash}\nann,alice@example.com,{hash}\nbare,,{hash}\ncut,cut@example.com,$2b$04$abc\n",
            hash = fixtures[0].0,
        );
        let list = std::env::temp_dir().join(format!("users-{}.csv", uuid::Uuid::new_v4()));
        std::fs::write(&list, text).expect("a list");
        let import = ["user", "import", list.to_str().expect("a path")];
        for (added, known) in [(1, 0), (0, 1), (0, 1)] {
            let output = database.command(&import, "").await;
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{output:?}");
            assert_eq!(
                said.lines().collect::<Vec<_>>(),
                [
                    "left out: line 3: ed: no password can match its hash: it is neither bcrypt's nor argon2id's, or not whole",
                    "left out: line 4: alice: another user has this name",
                    "left out: line 5: ann: another user has this address",
                    "left out: line 6: bare: it has no address",
                    "left out: line 7: cut: no password can match its hash: it is neither bcrypt's nor argon2id's, or not whole",
                    &format!("6 users read: {added} added, {known} taken over before, 2 whose name or address somebody else has, 3 without what every user needs"),
                ]
            );
        }
        database.json(&["user", "delete", "dora", "--json"], "").await;
        let import = [import[0], import[1], import[2], "--json"];
        let again = database.json(&import, "").await;
        assert_eq!((&again["added"], &again["known"]), (&json!(0), &json!(1)), "who is deleted stays so");
        std::fs::remove_file(&list).expect("it is there");
    }
}

on_both! {
    async fn names_that_differ_in_case_alone_come_along_and_count_as_they_are_written(home: Home) {
        let fixtures = fixtures();
        let old = [("anna", fixtures[0].0), ("Anna", fixtures[1].0)];
        let people = People::start_on(old_database(home, &old).await, &[]).await;
        for (name, (_, password)) in ["anna", "Anna"].into_iter().zip(&fixtures) {
            assert_eq!(people.try_log_in(name, password).await.status, 200, "{name}");
            assert_eq!(people.try_log_in("ANNA", password).await.status, 401);
        }
        let third = json!({ "username": "ANNA", "email": "third@example.com", "password": PASSWORD });
        let answer = people.call("POST", "/api/v1/auth/register", None, Some(&third)).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
}

on_both! {
    async fn users_move_from_one_relays_database_to_anothers_with_roles_and_states(home: Home) {
        let from = People::start(Home::Sqlite).await;
        from.join("alice").await;
        from.join("bob").await;
        from.database.json(&["user", "role", "alice", "admin", "--json"], "").await;
        from.database.json(&["user", "disable", "bob", "--json"], "").await;
        let to = People::start(home).await;
        let import = ["user", "import", &from.database.url, "--json"];
        let done = to.database.json(&import, "").await;
        assert_eq!((&done["read"], &done["added"]), (&json!(2), &json!(2)), "{done}");
        let listed = |database| async move { Database::json(database, &["user", "list", "--json"], "").await };
        let (mut before, mut after) = (listed(&from.database).await, listed(&to.database).await);
        for users in [&mut before, &mut after] {
            for user in users.as_array_mut().expect("a list") {
                user["last_login_at"].take();
            }
        }
        assert_eq!(before, after, "ids, addresses, roles, states and times");
        let admin = to.log_in("alice").await;
        let answer = to.call("GET", "/api/v1/admin/users", Some(&admin.access), None).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(to.try_log_in("bob", PASSWORD).await.status, 401);
        assert_eq!(to.database.json(&import, "").await["known"], 2);
        let itself = ["user", "import", &to.database.url, "--json"];
        assert_eq!(to.database.json(&itself, "").await["known"], 2);
    }
}

#[tokio::test]
async fn a_database_whose_newest_entries_cannot_be_read_is_not_imported_without_them() {
    let from = Database::new(Home::Sqlite).await;
    let add = [
        "user",
        "add",
        "alice",
        "alice@example.com",
        "--generate",
        "--json",
    ];
    from.json(&add, "").await;
    let to = Database::new(Home::Sqlite).await;
    let copy = std::env::temp_dir().join(format!("copy-{}.db", uuid::Uuid::new_v4()));
    let wal = copy.with_extension("db-wal");
    std::fs::copy(from.url.trim_start_matches("sqlite:///"), &copy).expect("a copy");
    std::fs::create_dir(&wal).expect("something in the way");
    let import = ["user", "import", copy.to_str().expect("a path")];
    let output = to.command(&import, "").await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("ends with -wal"), "{said}");
    assert_eq!(said.matches("unable to open").count(), 1, "{said}");
    std::fs::remove_dir(&wal).expect("it is there");
    std::fs::remove_file(&copy).expect("it is there");
}

#[tokio::test]
async fn tables_that_are_not_the_earlier_apis_are_left_alone() {
    let database = Database::new(Home::Sqlite).await;
    database
        .change("CREATE TABLE users (id INTEGER, name TEXT)")
        .await;
    let people = People::start_on(database, &[]).await;
    people.join("alice").await;
    let users = "SELECT CAST(COUNT(*) AS BIGINT) FROM relay_users";
    assert_eq!(people.database.count(users).await, 1);
}
