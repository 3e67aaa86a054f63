//! Admins, over HTTP and on the command line.

use serde_json::{Value, json};

use super::*;

const USERS: &str = "/api/v1/admin/users";

on_both! {
    async fn admins_list_search_add_change_reset_and_delete_users(home: Home) {
        let people = People::start(home).await;
        let admin = people.admin().await;
        for name in ["anna", "Bea_1", "bea%2"] {
            people.register(name).await;
        }
        let list = async |query: &str| {
            let answer = people.call("GET", &format!("{USERS}{query}"), Some(&admin.access), None).await;
            assert_eq!(answer.status, 200, "{query}: {}", answer.text());
            let json = answer.json();
            let users = json["users"].as_array().expect("a list");
            let names: Vec<String> = users.iter().map(|user| user["username"].as_str().expect("a name").to_owned()).collect();
            (names, json["total"].as_i64().expect("a number"))
        };
        assert_eq!(list("").await.1, 4);
        assert_eq!(list("?search=BEA").await, (vec!["Bea_1".to_owned(), "bea%2".to_owned()], 2));
        assert_eq!(list("?search=%25").await.0, ["bea%2"], "no pattern of its own");
        assert_eq!(list("?search=_").await.0, ["Bea_1"]);
        assert_eq!(list("?search=anna%40example").await.0, ["anna"]);
        assert_eq!(list("?limit=1&offset=1").await, (vec!["anna".to_owned()], 4));
        for query in ["?limit=0", "?limit=501", "?limit=x", "?offset=-1", "?search=%00"] {
            let answer = people.call("GET", &format!("{USERS}{query}"), Some(&admin.access), None).await;
            assert_eq!(answer.status, 422, "{query}: {}", answer.text());
        }

        let new = json!({ "username": "carl", "email": "carl@example.com", "password": PASSWORD, "role": "admin" });
        let carl = people.call("POST", USERS, Some(&admin.access), Some(&new)).await;
        assert_eq!(carl.status, 201, "{}", carl.text());
        let carl = carl.json();
        assert_eq!(carl["role"], "admin");
        let id = carl["id"].as_str().expect("an id");
        for path in [format!("{USERS}/{id}"), format!("{USERS}/carl")] {
            let answer = people.call("GET", &path, Some(&admin.access), None).await;
            assert_eq!(answer.json()["id"], carl["id"], "{}", answer.text());
        }
        let path = format!("{USERS}/carl");
        let change = json!({ "role": "user" });
        let answer = people.call("PATCH", &path, Some(&admin.access), Some(&change)).await;
        assert_eq!(answer.json()["role"], "user", "{}", answer.text());
        let answer = people.call("PATCH", &path, Some(&admin.access), Some(&json!({ "role": "king" }))).await;
        assert_eq!(answer.status, 422);

        let tokens = people.log_in("carl").await;
        let answer = people.call("POST", &format!("{path}/password"), Some(&admin.access), None).await;
        let made = answer.json()["password"].as_str().expect("a password").to_owned();
        assert!(!people.opens(&tokens).await, "a reset ends what was");
        assert_eq!(people.try_log_in("carl", &made).await.status, 200);
        let given = json!({ "new_password": "one that is given" });
        let answer = people.call("POST", &format!("{path}/password"), Some(&admin.access), Some(&given)).await;
        assert_eq!(answer.json()["password"], Value::Null);
        assert_eq!(people.try_log_in("carl", "one that is given").await.status, 200);

        assert_eq!(people.call("DELETE", &path, Some(&admin.access), None).await.status, 204);
        for method in ["GET", "DELETE"] {
            assert_eq!(people.call(method, &path, Some(&admin.access), None).await.status, 404);
        }
    }
}

on_both! {
    async fn the_last_admin_stays(home: Home) {
        let people = People::start(home).await;
        let admin = people.admin().await;
        let path = format!("{USERS}/root-admin");
        for (method, body) in [
            ("PATCH", json!({ "role": "user" })),
            ("PATCH", json!({ "is_active": false })),
            ("DELETE", json!({})),
        ] {
            let answer = people.call(method, &path, Some(&admin.access), Some(&body)).await;
            assert_eq!(answer.status, 409, "{method} {body}: {}", answer.text());
        }
        let own = json!({ "password": PASSWORD });
        let answer = people.call("DELETE", "/api/v1/auth/me", Some(&admin.access), Some(&own)).await;
        assert_eq!(answer.status, 409, "{}", answer.text());
        people.register("second").await;
        let promoted = json!({ "role": "admin" });
        people.call("PATCH", &format!("{USERS}/second"), Some(&admin.access), Some(&promoted)).await;
        let answer = people.call("DELETE", &path, Some(&admin.access), None).await;
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
}

#[tokio::test]
async fn a_role_that_was_given_counts_at_once_and_one_that_was_taken_too() {
    let people = People::start(Home::Sqlite).await;
    let admin = people.admin().await;
    let tokens = people.join("alice").await;
    let list = async || {
        people
            .call("GET", USERS, Some(&tokens.access), None)
            .await
            .status
    };
    assert_eq!(list().await, 403);
    for (role, status) in [("admin", 200), ("user", 403)] {
        let change = json!({ "role": role });
        let path = format!("{USERS}/alice");
        people
            .call("PATCH", &path, Some(&admin.access), Some(&change))
            .await;
        assert_eq!(list().await, status);
    }
    assert!(
        people.opens(&tokens).await,
        "what it does otherwise goes on"
    );
}

on_both! {
    async fn the_command_line_looks_after_users_beside_the_relay(home: Home) {
        let people = People::start(home).await;
        let database = &people.database;
        let alice = database.json(&["user", "add", "alice", "alice@example.com", "--generate", "--json"], "").await;
        let made = alice["password"].as_str().expect("a password").to_owned();
        assert_eq!(people.try_log_in("alice", &made).await.status, 200);
        let output = database.command(&["user", "add", "bob", "bob@example.com"], &format!("{PASSWORD}\r\n")).await;
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "bob is added as user\n");
        people.log_in("bob").await;

        for (arguments, says) in [
            (&["user", "add", "bob", "x@example.com"][..], "already registered"),
            (&["user", "add", "x", "x"], "username: Use 3 to 50 characters."),
            (&["user", "disable", "nobody"], "There is no such user."),
            (&["invite", "revoke", "none"], "There is no such invite"),
        ] {
            let output = database.command(arguments, &format!("{PASSWORD}\n")).await;
            assert_eq!(output.status.code(), Some(1), "{arguments:?}");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains(says), "{arguments:?}: {said}");
        }

        database.json(&["user", "role", "bob", "admin", "--json"], "").await;
        let listed = database.json(&["user", "list", "--json"], "").await;
        let roles: Vec<_> = listed.as_array().expect("a list").iter().map(|user| user["role"].clone()).collect();
        assert_eq!(roles, [json!("user"), json!("admin")]);
        let table = database.command(&["user", "list", "bo"], "").await;
        let table = String::from_utf8_lossy(&table.stdout).into_owned();
        let mut lines = table.lines();
        assert!(lines.next().is_some_and(|head| head.starts_with("NAME  EMAIL")), "{table}");
        assert!(lines.next().is_some_and(|row| row.starts_with("bob   bob@example.com  admin  active")), "{table}");
        assert_eq!(lines.next(), None, "{table}");

        database.json(&["user", "disable", "bob", "--json"], "").await;
        assert_eq!(people.try_log_in("bob", PASSWORD).await.status, 401);
        database.json(&["user", "enable", "bob", "--json"], "").await;
        people.log_in("bob").await;
        let other = database.command(&["user", "passwd", "bob"], "another good one\n").await;
        assert!(other.status.success(), "{other:?}");
        assert_eq!(people.try_log_in("bob", "another good one").await.status, 200);
        let made = database.json(&["user", "passwd", "bob", "--generate", "--json"], "").await;
        let made = made["password"].as_str().expect("a password");
        assert_eq!(people.try_log_in("bob", made).await.status, 200);
        database.json(&["user", "delete", "bob", "--json"], "").await;
        assert_eq!(people.try_log_in("bob", made).await.status, 401);
        let listed = database.json(&["user", "list", "--json"], "").await;
        assert_eq!(listed.as_array().map(Vec::len), Some(1));
    }
}

on_both! {
    async fn a_change_is_made_whole_or_not_at_all(home: Home) {
        let people = People::start(home).await;
        let admin = people.admin().await;
        let out = json!({ "role": "user", "is_active": false });
        let path = format!("{USERS}/root-admin");
        let answer = people.call("PATCH", &path, Some(&admin.access), Some(&out)).await;
        assert_eq!(answer.status, 409, "{}", answer.text());
        let answer = people.call("GET", &path, Some(&admin.access), None).await;
        assert_eq!((&answer.json()["role"], &answer.json()["is_active"]), (&json!("admin"), &json!(true)));

        people.register("second").await;
        let path = format!("{USERS}/second");
        people.call("PATCH", &path, Some(&admin.access), Some(&json!({ "role": "admin" }))).await;
        let tokens = people.log_in("second").await;
        let answer = people.call("PATCH", &path, Some(&admin.access), Some(&out)).await;
        assert_eq!(answer.status, 200, "one of two: {}", answer.text());
        assert_eq!((&answer.json()["role"], &answer.json()["is_active"]), (&json!("user"), &json!(false)));
        assert!(!people.opens(&tokens).await);
    }
}

on_both! {
    async fn two_admins_who_put_each_other_out_leave_one(home: Home) {
        let people = People::start(home).await;
        let other = people.replica(&[]).await;
        let first = people.admin().await;
        let second = people.join("second").await;
        let out = json!({ "role": "user" });
        for round in 0..10 {
            for name in ["root-admin", "second"] {
                people.database.json(&["user", "role", name, "admin", "--json"], "").await;
            }
            let (one, two) = (first.bearer(), second.bearer());
            let (one, two) = ([one.as_str()], [two.as_str()]);
            let (second_path, first_path) = (format!("{USERS}/second"), format!("{USERS}/root-admin"));
            let (first_answer, second_answer) = tokio::join!(
                call(&people.relay, "PATCH", &second_path, &one, Some(&out)),
                call(&other, "PATCH", &first_path, &two, Some(&out)),
            );
            let admins = people.database.count("SELECT CAST(COUNT(*) AS BIGINT) FROM relay_users WHERE role = 'admin'").await;
            assert!(admins >= 1, "round {round}: {} {}", first_answer.text(), second_answer.text());
        }
    }
}

on_both! {
    async fn logins_end_although_the_user_was_kept_out_before(home: Home) {
        let people = People::start(home).await;
        let admin = people.admin().await;
        let tokens = people.join("alice").await;
        people.database.change("UPDATE relay_users SET is_active = 0 WHERE username = 'alice'").await;
        let path = format!("{USERS}/alice");
        for is_active in [false, true] {
            let change = json!({ "is_active": is_active });
            let answer = people.call("PATCH", &path, Some(&admin.access), Some(&change)).await;
            assert_eq!(answer.json()["is_active"], is_active, "{}", answer.text());
        }
        assert!(!people.opens(&tokens).await, "a login from before stays ended");
    }
}

#[tokio::test]
async fn commands_that_add_nothing_make_no_database_and_say_which_one_they_mean() {
    let database = Database::new(Home::Sqlite).await;
    let file = database.url.trim_start_matches("sqlite:///").to_owned();
    let cases: [&[&str]; 5] = [
        &["user", "list"],
        &["user", "disable", "alice"],
        &["user", "delete", "alice"],
        &["invite", "list"],
        &["invite", "revoke", "1"],
    ];
    for arguments in cases {
        let output = database.command(arguments, "").await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(
            said.contains(&format!("there is no database {file}")),
            "{arguments:?}: {said}"
        );
        assert!(!std::path::Path::new(&file).exists(), "{arguments:?}");
    }
    database.json(&["invite", "create", "--json"], "").await;
    let output = database.command(&["user", "list"], "").await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains(&format!("database: {file}")),
        "{said}"
    );
}

#[tokio::test]
async fn why_postgres_cannot_be_used_is_said_once_with_what_helps() {
    let good = Postgres::shared().database();
    let (server, _) = good.rsplit_once('/').expect("a path");
    for (url, cause, advice) in [
        (format!("{server}/nowhere"), "does not exist", "createdb"),
        (
            "postgres://postgres@127.0.0.1:1/none".to_owned(),
            "Connection refused",
            "DATABASE_URL (",
        ),
    ] {
        let output = Database::at(url).command(&["user", "list"], "").await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said.matches(cause).count(), 1, "{said}");
        assert!(said.contains(advice) && !said.contains("at line"), "{said}");
    }
}

#[tokio::test]
async fn the_command_line_warns_when_no_admin_is_left_and_tells_what_was_so_already() {
    let database = Database::new(Home::Sqlite).await;
    for name in ["alice", "bob"] {
        let email = format!("{name}@example.com");
        let add = [
            "user",
            "add",
            name,
            &email,
            "--admin",
            "--generate",
            "--json",
        ];
        database.json(&add, "").await;
    }
    for (arguments, says, warns) in [
        (
            &["user", "disable", "bob"] as &[_],
            "bob is disabled",
            false,
        ),
        (
            &["user", "disable", "bob"],
            "bob was disabled already",
            false,
        ),
        (&["user", "disable", "alice"], "alice is disabled", true),
        (&["user", "enable", "alice"], "alice is let in", false),
        (
            &["user", "enable", "alice"],
            "alice was let in already",
            false,
        ),
        (&["user", "role", "alice", "user"], "alice is a user", true),
        (
            &["user", "role", "alice", "admin"],
            "alice is an admin",
            false,
        ),
        (&["user", "delete", "alice"], "alice is deleted", true),
    ] {
        let output = database.command(arguments, "").await;
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert_eq!(out.trim(), says, "{err}");
        assert_eq!(err.contains("no admin is left"), warns, "{says}: {err}");
    }
}
