//! The routes under `/api/v1/auth`, in the shapes that clients of the earlier accounts API test for.

use serde_json::{Value, json};

use super::*;

on_both! {
    async fn a_user_registers_logs_in_and_sees_itself(home: Home) {
        let people = People::start(home).await;
        let body = json!({ "username": "alice", "email": "Alice@EXAMPLE.com", "password": PASSWORD });
        let answer = people.post("/api/v1/auth/register", &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let user = answer.json();
        assert_eq!(user["username"], "alice");
        assert_eq!(user["email"], "Alice@example.com");
        assert_eq!(user["is_active"], true);
        assert!(uuid::Uuid::parse_str(user["id"].as_str().expect("an id")).is_ok());
        assert!(user["created_at"].as_str().expect("a time").contains('T'));
        assert!(!answer.text().contains("password"), "{}", answer.text());

        let answer = people.try_log_in("alice", PASSWORD).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let login = answer.json();
        assert_eq!(login["token_type"], "bearer");
        assert_eq!(login["expires_in"], 3600);
        let tokens = Tokens::of(&answer);

        let me = people.call("GET", "/api/v1/auth/me", Some(&tokens.access), None).await;
        assert_eq!(me.status, 200, "{}", me.text());
        let me = me.json();
        for field in ["id", "username", "email", "is_active", "created_at"] {
            assert_eq!(me[field], user[field], "{field}");
        }
        assert_eq!(me["role"], "user");
    }
}

on_both! {
    async fn a_name_or_an_address_is_taken_once_in_any_case_of_letters(home: Home) {
        let people = People::start(home).await;
        people.register("alice").await;
        for (name, email, says) in [
            ("alice", "other@example.com", "username"),
            ("ALICE", "other@example.com", "username"),
            ("other", "alice@example.com", "email"),
            ("other", "Alice@Example.COM", "email"),
        ] {
            let body = json!({ "username": name, "email": email, "password": PASSWORD });
            let answer = people.post("/api/v1/auth/register", &body).await;
            assert_eq!(answer.status, 400, "{name} {email}: {}", answer.text());
            let detail = answer.json()["detail"].as_str().expect("words").to_owned();
            assert!(detail.contains(says), "{detail}");
        }
        let tasks: Vec<_> = (0..20)
            .map(|number| {
                let body = json!({ "username": "racer", "email": format!("r{number}@example.com"), "password": PASSWORD });
                let bytes = request("POST", "/api/v1/auth/register", &["Content-Type: application/json"], body.to_string().as_bytes());
                let address = people.relay.address();
                tokio::spawn(async move { send(address, bytes).await.expect("an answer").status })
            })
            .collect();
        let mut created = 0;
        for task in tasks {
            let status = task.await.expect("it ends");
            assert!([201, 400, 503].contains(&status), "{status}");
            created += usize::from(status == 201);
        }
        assert_eq!(created, 1, "one of twenty at once");
    }
}

#[tokio::test]
async fn login_takes_json_and_the_oauth2_form() {
    let people = People::start(Home::Sqlite).await;
    people.register("a b+c").await;
    let form =
        "grant_type=password&username=a+b%2Bc&password=correct%20horse+battery&scope=&client_id=";
    for kind in [
        "application/x-www-form-urlencoded",
        "Application/X-WWW-Form-Urlencoded; charset=utf-8",
    ] {
        let kind = format!("Content-Type: {kind}");
        let bytes = request("POST", "/api/v1/auth/login", &[&kind], form.as_bytes());
        let answer = send(people.relay.address(), bytes)
            .await
            .expect("an answer");
        Tokens::of(&answer);
    }
    let json = json!({ "username": "a b+c", "password": PASSWORD, "remember": true }).to_string();
    for line in [
        "Content-Type: application/json",
        "X-None: 1",
        "Content-Type: application/x-www-form-urlencoded",
    ] {
        let bytes = request("POST", "/api/v1/auth/login", &[line], json.as_bytes());
        let answer = send(people.relay.address(), bytes)
            .await
            .expect("an answer");
        Tokens::of(&answer);
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_used_are_422_with_the_fields_at_fault() {
    let people = People::start(Home::Sqlite).await;
    let cases: [(&str, &str, &str); 13] = [
        (
            "/api/v1/auth/register",
            r#"{"email":"a@example.com","password":"correct horse"}"#,
            "username",
        ),
        (
            "/api/v1/auth/register",
            r#"{"username":"al","email":"a@example.com","password":"correct horse"}"#,
            "username",
        ),
        (
            "/api/v1/auth/register",
            r#"{"username":"alice","email":"nowhere","password":"correct horse"}"#,
            "email",
        ),
        (
            "/api/v1/auth/register",
            r#"{"username":"alice","email":"a@example.com","password":"short"}"#,
            "password",
        ),
        (
            "/api/v1/auth/register",
            r#"{"username":"alice","email":"a@example.com","password":"password1"}"#,
            "password",
        ),
        (
            "/api/v1/auth/register",
            r#"{"username":7,"email":"a@example.com","password":"correct horse"}"#,
            "username",
        ),
        (
            "/api/v1/auth/register",
            r#"{"username":"al\u0000ice","email":"a@example.com","password":"correct horse"}"#,
            "username",
        ),
        ("/api/v1/auth/register", "{", ""),
        ("/api/v1/auth/register", "[]", ""),
        ("/api/v1/auth/register", "", "username"),
        ("/api/v1/auth/login", r#"{"username":"alice"}"#, "password"),
        (
            "/api/v1/auth/login",
            r#"{"username":["alice"],"password":"x"}"#,
            "username",
        ),
        (
            "/api/v1/auth/refresh",
            r#"{"refresh_token":7}"#,
            "refresh_token",
        ),
    ];
    for (path, body, field) in cases {
        let answer = post(people.relay.address(), path, &[], body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text());
        let detail = answer.json()["detail"].clone();
        let first = &detail[0];
        let mut place = vec![json!("body")];
        if !field.is_empty() {
            place.push(json!(field));
        }
        assert_eq!(first["loc"], json!(place), "{body}: {detail}");
        assert!(
            first["msg"].as_str().is_some_and(|msg| !msg.is_empty()),
            "{detail}"
        );
        assert_eq!(first["type"], "value_error");
    }
    let large = format!(r#"{{"username":"{}"}}"#, "x".repeat(70_000));
    let answer = post(people.relay.address(), "/api/v1/auth/login", &[], &large).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
}

#[tokio::test]
async fn without_a_good_token_it_is_401_with_detail_and_a_challenge() {
    let people = People::start(Home::Sqlite).await;
    let tokens = people.join("alice").await;
    let refresh = tokens.refresh.as_str();
    for token in [
        None,
        Some("nonsense"),
        Some(SERVER_KEY),
        Some(refresh),
        Some("rk_x"),
    ] {
        for (method, path) in [
            ("GET", "/api/v1/auth/me"),
            ("POST", "/api/v1/auth/refresh"),
            ("POST", "/api/v1/auth/logout"),
            ("POST", "/api/v1/chat/completions"),
            ("POST", "/api/v1/chat/completions/stream"),
            ("GET", "/api/v1/chat/models"),
            ("GET", "/api/v1/admin/users"),
        ] {
            let answer = people.call(method, path, token, None).await;
            assert_eq!(
                answer.status,
                401,
                "{method} {path} {token:?}: {}",
                answer.text()
            );
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{path}");
            assert!(
                answer.json()["detail"].is_string(),
                "{path}: {}",
                answer.text()
            );
        }
    }
    assert!(people.upstream.received().is_empty());
}

#[tokio::test]
async fn who_may_register_is_as_configured() {
    let closed = People::start_with(Home::Sqlite, &[("RELAY_ENV", "production")]).await;
    let body = json!({ "username": "alice", "email": "a@example.com", "password": PASSWORD });
    let answer = closed.post("/api/v1/auth/register", &body).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(answer.text().contains("REGISTRATION"), "{}", answer.text());
    let open = [("RELAY_ENV", "production"), ("REGISTRATION", "open")];
    let open = People::start_with(Home::Sqlite, &open).await;
    open.register("alice").await;
}

on_both! {
    async fn an_invite_lets_in_as_many_as_it_says_and_no_longer_than_it_says(home: Home) {
        let people = People::start_with(home, &[("REGISTRATION", "invite")]).await;
        let make = ["invite", "create", "--uses", "2", "--note", "for the team", "--json"];
        let invite = people.database.json(&make, "").await;
        let code = invite["code"].as_str().expect("a code");
        let body = |name: &str, invite: &Value| {
            json!({ "username": name, "email": format!("{name}@example.com"), "password": PASSWORD, "invite": invite })
        };
        let attempt = async |name: &str, invite: Value| {
            people.post("/api/v1/auth/register", &body(name, &invite)).await.status
        };
        assert_eq!(attempt("none", Value::Null).await, 403);
        assert_eq!(attempt("none", json!("invite_0123")).await, 403);
        assert_eq!(attempt("first", json!(code)).await, 201);
        assert_eq!(attempt("first", json!(code)).await, 400, "a taken name uses nothing up");
        assert_eq!(attempt("second", json!(code)).await, 201);
        assert_eq!(attempt("third", json!(code)).await, 403);
        let listed = people.database.json(&["invite", "list", "--json"], "").await;
        assert_eq!(listed[0]["state"], "used");
        assert_eq!(listed[0]["note"], "for the team");

        let taken_back = people.database.json(&["invite", "create", "--json"], "").await;
        let id = taken_back["id"].as_str().expect("an id");
        people.database.json(&["invite", "revoke", id, "--json"], "").await;
        assert_eq!(attempt("third", taken_back["code"].clone()).await, 403);
        let late = people.database.json(&["invite", "create", "--expires", "1h", "--json"], "").await;
        people.database.change("UPDATE relay_invites SET expires_at = 1").await;
        assert_eq!(attempt("third", late["code"].clone()).await, 403);
    }
}

on_both! {
    async fn passwords_are_changed_and_accounts_deleted_by_who_knows_the_password(home: Home) {
        let people = People::start(home).await;
        let (mine, other) = (people.join("alice").await, people.log_in("alice").await);
        let change = |current: &str, new: &str| json!({ "current_password": current, "new_password": new });
        let path = "/api/v1/auth/password";
        let answer = people.call("POST", path, Some(&mine.access), Some(&change("wrong", "another good one"))).await;
        assert_eq!(answer.status, 403, "{}", answer.text());
        let answer = people.call("POST", path, Some(&mine.access), Some(&change(PASSWORD, "short"))).await;
        assert_eq!(answer.status, 422, "{}", answer.text());
        assert_eq!(answer.json()["detail"][0]["loc"], json!(["body", "new_password"]));
        let answer = people.call("POST", path, Some(&mine.access), Some(&change(PASSWORD, "another good one"))).await;
        assert_eq!(answer.status, 204, "{}", answer.text());
        assert!(people.opens(&mine).await, "the login that changed it stays");
        assert!(!people.opens(&other).await, "every other one ends");
        let refresh = json!({ "refresh_token": other.refresh });
        assert_eq!(people.post("/api/v1/auth/refresh", &refresh).await.status, 401);
        assert_eq!(people.try_log_in("alice", PASSWORD).await.status, 401);
        assert_eq!(people.try_log_in("alice", "another good one").await.status, 200);

        let gone = |password: &str| json!({ "password": password });
        let path = "/api/v1/auth/me";
        let answer = people.call("DELETE", path, Some(&mine.access), Some(&gone(PASSWORD))).await;
        assert_eq!(answer.status, 403, "{}", answer.text());
        let answer = people.call("DELETE", path, Some(&mine.access), Some(&gone("another good one"))).await;
        assert_eq!(answer.status, 204, "{}", answer.text());
        assert!(!people.opens(&mine).await);
        assert_eq!(people.try_log_in("alice", "another good one").await.status, 401);
        for table in ["SELECT CAST(COUNT(*) AS BIGINT) FROM relay_users", "SELECT CAST(COUNT(*) AS BIGINT) FROM relay_logins", "SELECT CAST(COUNT(*) AS BIGINT) FROM relay_refresh_tokens"] {
            assert_eq!(people.database.count(table).await, 0, "{table}");
        }
        people.register("alice").await;
    }
}

#[tokio::test]
async fn without_a_secret_key_no_database_is_opened_and_the_routes_say_why() {
    let people = People::start_with(
        Home::Sqlite,
        &[("SECRET_KEY", ""), ("RELAY_TOKEN", RELAY_TOKEN)],
    )
    .await;
    for (method, path) in [
        ("POST", "/api/v1/auth/register"),
        ("POST", "/api/v1/auth/login"),
        ("GET", "/api/v1/auth/me"),
        ("POST", "/api/v1/auth/refresh"),
        ("POST", "/api/v1/auth/logout"),
        ("POST", "/api/v1/chat/completions"),
        ("POST", "/api/v1/chat/completions/stream"),
        ("GET", "/api/v1/chat/models"),
        ("GET", "/api/v1/admin/users"),
    ] {
        let answer = people
            .call(method, path, Some(RELAY_TOKEN), Some(&json!({})))
            .await;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
        let detail = answer.json()["detail"].as_str().expect("words").to_owned();
        assert!(detail.contains("SECRET_KEY"), "{detail}");
    }
    let path = people.database.url.trim_start_matches("sqlite:///");
    assert!(!std::path::Path::new(path).exists(), "{path}");
    let answer = people
        .call("GET", "/v1/models", Some(RELAY_TOKEN), None)
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn strangers_from_pages_that_are_not_listed_neither_register_nor_log_in() {
    let extra = [("ALLOWED_ORIGINS", "https://app.example")];
    let people = People::start_with(Home::Sqlite, &extra).await;
    people.register("alice").await;
    let body = json!({ "username": "alice", "password": PASSWORD });
    for (origin, status) in [("https://app.example", 200), ("https://evil.example", 403)] {
        let line = format!("Origin: {origin}");
        let answer = call(
            &people.relay,
            "POST",
            "/api/v1/auth/login",
            &[&line],
            Some(&body),
        )
        .await;
        assert_eq!(answer.status, status, "{}", answer.text());
        let cors = answer.header("access-control-allow-origin");
        assert_eq!(cors.is_some(), status == 200);
    }
}

#[tokio::test]
async fn logging_out_ends_the_login_by_either_token() {
    let people = People::start(Home::Sqlite).await;
    people.register("alice").await;
    let (one, two, three) = (
        people.log_in("alice").await,
        people.log_in("alice").await,
        people.log_in("alice").await,
    );
    let answer = people
        .call("POST", "/api/v1/auth/logout", Some(&one.access), None)
        .await;
    assert_eq!((answer.status, answer.text().as_str()), (204, ""));
    let body = json!({ "refresh_token": two.refresh });
    assert_eq!(people.post("/api/v1/auth/logout", &body).await.status, 204);
    for gone in [&one, &two] {
        assert!(!people.opens(gone).await);
        let body = json!({ "refresh_token": gone.refresh });
        assert_eq!(people.post("/api/v1/auth/refresh", &body).await.status, 401);
    }
    assert!(people.opens(&three).await);
    let body = json!({ "refresh_token": "rt_unknown" });
    assert_eq!(
        people.post("/api/v1/auth/logout", &body).await.status,
        204,
        "it tells nothing"
    );
}

on_both! {
    async fn of_two_names_that_differ_in_case_alone_one_registers_whichever_relay_is_asked(home: Home) {
        let people = People::start(home).await;
        let other = people.replica(&[]).await;
        for number in 0..20 {
            let register = |relay: &Relay, name: String| {
                let body = json!({ "username": name, "email": format!("{name}@{name}.example"), "password": PASSWORD });
                let bytes = request("POST", "/api/v1/auth/register", &["Content-Type: application/json"], body.to_string().as_bytes());
                send(relay.address(), bytes)
            };
            let (one, two) = tokio::join!(
                register(&people.relay, format!("Person{number}")),
                register(&other, format!("person{number}")),
            );
            let mut statuses = [one, two].map(|answer| answer.expect("an answer").status);
            statuses.sort_unstable();
            assert_eq!(statuses, [201, 400], "pair {number}");
        }
    }
}

on_both! {
    async fn whoever_has_no_invite_learns_no_name_and_a_taken_name_uses_none_up(home: Home) {
        let people = People::start_with(home, &[("REGISTRATION", "invite")]).await;
        let invite = people.database.json(&["invite", "create", "--json"], "").await;
        let add = ["user", "add", "alice", "alice@example.com", "--generate", "--json"];
        people.database.json(&add, "").await;
        let register = async |name: &str, email: &str, invite: &Value| {
            let body = json!({ "username": name, "email": email, "password": PASSWORD, "invite": invite });
            let answer = people.post("/api/v1/auth/register", &body).await;
            (answer.status, answer.text())
        };
        let bogus = json!("invite_none");
        let stranger = register("nobody", "nobody@example.com", &bogus).await;
        assert_eq!(stranger.0, 403, "{}", stranger.1);
        for (name, email) in [("alice", "new@example.com"), ("new", "alice@example.com"), ("ALICE", "Alice@example.com")] {
            assert_eq!(register(name, email, &bogus).await, stranger, "{name} {email}");
        }
        assert_eq!(register("alice", "new@example.com", &invite["code"]).await.0, 400);
        assert_eq!(register("new", "new@example.com", &invite["code"]).await.0, 201);
    }
}

on_both! {
    async fn every_missing_field_is_named_also_where_there_is_no_body(home: Home) {
        let people = People::start(home).await;
        let admin = people.admin().await;
        let token = Some(admin.access.as_str());
        let body = json!({ "username": "flo" });
        for (method, path, body, missing) in [
            ("POST", "/api/v1/auth/register", Some(&body), &["email", "password"] as &[_]),
            ("POST", "/api/v1/admin/users", Some(&body), &["email", "password"]),
            ("POST", "/api/v1/auth/login", None, &["username", "password"]),
            ("DELETE", "/api/v1/auth/me", None, &["password"]),
        ] {
            let answer = people.call(method, path, token, body).await;
            assert_eq!(answer.status, 422, "{path}: {}", answer.text());
            let json = answer.json();
            let problems = json["detail"].as_array().expect("a list");
            let named: Vec<_> = problems.iter().map(|problem| problem["loc"][1].as_str().expect("a name")).collect();
            assert_eq!(named, missing, "{path}");
            assert!(problems.iter().all(|problem| problem["msg"] == "This field is required."), "{path}: {json}");
        }
    }
}
