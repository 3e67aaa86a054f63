//! How keys are made, listed, rotated and revoked, and that they are shown once.

use super::*;

on_both! {
    async fn a_key_opens_what_the_servers_key_opens_and_stays_behind(home: Home) {
        let people = People::start(home).await;
        let (key, id) = make(&people.database, &[]).await;
        assert!(key.starts_with("rk_") && key.len() == 37, "{key}");
        let answer = chat(&people, &key, MODEL).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let received = people.upstream.take_received();
        assert_eq!(received[0].header_all("authorization"), [bearer(SERVER_KEY)[15..].to_owned()]);
        let head = String::from_utf8_lossy(&received[0].raw_head).into_owned();
        assert!(!head.contains("rk_"), "{head}");
        let mut relay = people.relay;
        let line = relay.line(|line| line["path"] == "/v1/chat/completions").await;
        assert_eq!(line["subject"], format!("key:{id}"));
        assert!(!relay.log_text().contains(&key));
    }
}

on_both! {
    async fn what_is_said_of_a_key_that_was_just_made_is_what_is_kept_of_it(home: Home) {
        let people = People::start(home).await;
        let admin = people.admin().await.access;
        people.join("alice").await;
        let rules = json!({ "families": ["models"] });
        for user in [json!(null), json!("alice")] {
            let wish = json!({ "name": "laptop", "rules": rules, "expires_at": "2099-01-01T00:00:00Z", "user": user });
            let made = ask(&people, "POST", "/api/v1/admin/keys", &admin, Some(&wish)).await.json();
            let path = format!("/api/v1/admin/keys/{}", made["id"].as_str().expect("an id"));
            let rotate = format!("{path}/rotate");
            assert_kept(made, &people, &path, &admin).await;
            let rotated = ask(&people, "POST", &rotate, &admin, None).await.json();
            assert_kept(rotated, &people, &path, &admin).await;
        }
    }
}

/// The same as what is shown later, but for the key.
async fn assert_kept(mut said: Value, people: &People, path: &str, admin: &str) {
    let key = said.as_object_mut().and_then(|said| said.remove("key"));
    assert!(key.is_some_and(|key| key.is_string()), "{said}");
    assert_eq!(said, ask(people, "GET", path, admin, None).await.json());
}

/// The row is gone as soon as it is written, so that nothing can be read after that.
#[tokio::test]
async fn a_key_is_shown_though_nothing_can_be_read_once_it_is_written() {
    let people = People::start(Home::Sqlite).await;
    let admin = people.admin().await.access;
    let wish = json!({ "name": "laptop" });
    let made = ask(&people, "POST", "/api/v1/admin/keys", &admin, Some(&wish))
        .await
        .json();
    let rotate = format!(
        "/api/v1/admin/keys/{}/rotate",
        made["id"].as_str().expect("an id")
    );
    for sql in [
        "CREATE TRIGGER rotated AFTER UPDATE ON relay_keys BEGIN DELETE FROM relay_keys WHERE id = NEW.id; END",
        "CREATE TRIGGER made AFTER INSERT ON relay_keys BEGIN DELETE FROM relay_keys WHERE id = NEW.id; END",
    ] {
        people.database.change(sql).await;
    }
    for (path, body) in [(rotate.as_str(), None), ("/api/v1/admin/keys", Some(&wish))] {
        let answer = ask(&people, "POST", path, &admin, body).await;
        assert!(answer.status < 300, "{path}: {}", answer.text());
        assert!(answer.json()["key"].is_string(), "{path}");
    }
}

on_both! {
    async fn owners_look_after_their_own_keys_and_admins_after_all(home: Home) {
        let people = People::start(home).await;
        let admin = people.admin().await.access;
        let (alice, bob) = (people.join("alice").await.access, people.join("bob").await.access);
        let wish = json!({ "name": "laptop", "rules": { "families": ["models"] }, "expires_at": "2099-01-01T00:00:00Z" });
        let made = ask(&people, "POST", "/api/v1/keys", &alice, Some(&wish)).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let made = made.json();
        let (key, id) = (made["key"].as_str().expect("a key"), made["id"].as_str().expect("an id"));
        assert_eq!(made["rules"], json!({ "families": ["models"] }));
        assert_eq!(made["expires_at"], "2099-01-01T00:00:00Z");
        assert_eq!(ask(&people, "GET", "/v1/models", key, None).await.status, 200);
        assert_forbidden(&chat(&people, key, MODEL).await, "families");

        let own = format!("/api/v1/keys/{id}");
        let any = format!("/api/v1/admin/keys/{id}");
        let listed = ask(&people, "GET", "/api/v1/keys", &alice, None).await.json();
        assert_eq!(listed["keys"].as_array().map(Vec::len), Some(1));
        assert!(!listed.to_string().contains(key), "shown once");
        assert_eq!(ask(&people, "GET", "/api/v1/keys", &bob, None).await.json(), json!({ "keys": [] }));
        for (method, path) in [("GET", own.clone()), ("POST", format!("{own}/rotate")), ("DELETE", own.clone())] {
            assert_eq!(ask(&people, method, &path, &bob, None).await.status, 404, "{method}");
            assert_eq!(ask(&people, method, &path.replace("/v1/", "/v1/admin/"), &bob, None).await.status, 403);
        }
        let listed = ask(&people, "GET", "/api/v1/admin/keys?search=alice", &admin, None).await.json();
        assert_eq!(listed["keys"][0]["id"], id);
        let rotated = ask(&people, "POST", &format!("{any}/rotate"), &admin, None).await.json();
        let second = rotated["key"].as_str().expect("a key");
        assert_eq!(ask(&people, "GET", "/v1/models", key, None).await.status, 401);
        assert_eq!(ask(&people, "GET", "/v1/models", second, None).await.status, 200);
        assert_eq!(ask(&people, "DELETE", &own, &alice, None).await.status, 204);
        assert_eq!(ask(&people, "GET", "/v1/models", second, None).await.status, 401);
        assert_eq!(ask(&people, "DELETE", &own, &alice, None).await.status, 404);
        assert_eq!(ask(&people, "GET", &own, &alice, None).await.json()["is_revoked"], true);
    }
}

#[tokio::test]
async fn rules_that_cannot_be_read_name_their_field() {
    let people = People::start(Home::Sqlite).await;
    let alice = people.join("alice").await.access;
    for (field, value) in [
        ("families", json!(["chats"])),
        ("models", json!(["gpt 6"])),
        ("models", json!(["*gpt"])),
        ("origins", json!(["app.example.com"])),
        ("addresses", json!(["10.0.0.0/99"])),
        ("limits", json!(["chat=0/1m"])),
        ("pinned", json!(["temperature"])),
        ("families", json!(vec!["chat"; 65])),
        ("limits", json!(vec!["chat=1/1m"; 33])),
        ("on_leave", json!("wait")),
    ] {
        let wish = json!({ "name": "x", "rules": { field: value } });
        let answer = ask(&people, "POST", "/api/v1/keys", &alice, Some(&wish)).await;
        assert_eq!(answer.status, 422, "{field}: {}", answer.text());
        let told = answer.json()["detail"][0]["loc"][1].clone();
        assert_eq!(told, format!("rules.{field}"));
    }
    for wish in [
        json!({ "name": "" }),
        json!({ "name": "x", "expires_at": "2001-01-01T00:00:00Z" }),
        json!({ "name": "x", "expires_at": "soon" }),
        json!({ "name": "x", "rules": { "budget": 7 } }),
        json!({}),
    ] {
        let answer = ask(&people, "POST", "/api/v1/keys", &alice, Some(&wish)).await;
        assert_eq!(answer.status, 422, "{wish}: {}", answer.text());
    }
    let wish = json!({ "name": "x", "rules": { "organization": true } });
    let answer = ask(&people, "POST", "/api/v1/keys", &alice, Some(&wish)).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
}

/// The command line alone: no SECRET_KEY, and the relay runs before there is any database.
#[tokio::test]
async fn without_accounts_the_operators_command_line_makes_keys_for_a_relay_that_runs() {
    let database = Database::new(Home::Sqlite).await;
    let upstream = crate::support::upstream().await;
    let base_url = upstream.base_url();
    let variables = [
        ("OPENAI_API_KEY", SERVER_KEY),
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("DATABASE_URL", database.url.as_str()),
        crate::support::people::PATIENT,
    ];
    let relay = Relay::start(&variables).await;
    let file = database.url.trim_start_matches("sqlite:///");
    assert!(
        !std::path::Path::new(file).exists(),
        "nothing is made for nothing"
    );
    let anybody = call(&relay, "GET", "/v1/models", &[], None).await;
    assert_eq!(
        anybody.status, 200,
        "a development relay without a credential"
    );
    let (key, id) = make(&database, &[]).await;
    let lines = [bearer(&key)];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let answer = call(&relay, "GET", "/v1/models", &lines, None).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let received = upstream.take_received();
    let received = received.last().expect("a request");
    assert_eq!(
        received.header_all("authorization"),
        [format!("Bearer {SERVER_KEY}")]
    );
    let anybody = call(&relay, "GET", "/v1/models", &[], None).await;
    assert_eq!(
        anybody.status, 401,
        "now that there is a key, one is needed"
    );
    let routes = call(&relay, "GET", "/api/v1/keys", &lines, None).await;
    assert_eq!(routes.status, 404, "no accounts, no owners");

    let listed = database.json(&["key", "list", "--json"], "").await;
    assert_eq!(listed[0]["id"], id.as_str());
    let shown = database.json(&["key", "show", &key], "").await;
    assert_eq!(shown["id"], id.as_str());
    assert_eq!(shown["state"], "good");
    let table = database.command(&["key", "list"], "").await;
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(
        table.contains(&id) && table.contains(&key[..7]) && !table.contains(&key),
        "{table}"
    );
}

/// All that is in a database, and all that was.
async fn dump(database: &Database, home: Home) -> String {
    if home == Home::Postgres {
        let rows = database
            .rows("SELECT CAST(database_to_xml(true, true, '') AS TEXT) AS dump")
            .await;
        return sqlx::Row::get(&rows[0], "dump");
    }
    let file = database.url.trim_start_matches("sqlite:///");
    let mut dump = Vec::new();
    for ending in ["", "-wal"] {
        dump.extend(std::fs::read(format!("{file}{ending}")).unwrap_or_default());
    }
    String::from_utf8_lossy(&dump).into_owned()
}

/// P20.
async fn a_dump_opens_nothing(home: Home) {
    let people = People::start(home).await;
    let mut secrets = Vec::new();
    for _ in 0..20 {
        let (key, _) = make(&people.database, &[]).await;
        assert_eq!(
            ask(&people, "GET", "/v1/models", &key, None).await.status,
            200
        );
        let made = ask(&people, "POST", "/api/v1/tokens", &key, None)
            .await
            .json();
        secrets.push(made["value"].as_str().expect("a token").to_owned());
        secrets.push(key);
    }
    let tokens = people.join("alice").await;
    secrets.extend([tokens.access, tokens.refresh]);
    let dump = dump(&people.database, home).await;
    assert!(dump.contains("a client"), "the keys' names are in it");
    for secret in &secrets {
        assert!(!dump.contains(&secret[3..]), "{secret}");
    }
    let hashes = people.database.rows("SELECT hash FROM relay_keys").await;
    for row in &hashes {
        let hash: String = sqlx::Row::get(row, "hash");
        for shape in [
            hash.clone(),
            format!("rk_{hash}"),
            format!("rk_{}_{}", &hash[..26], &hash[26..33]),
        ] {
            assert_eq!(
                ask(&people, "GET", "/v1/models", &shape, None).await.status,
                401
            );
        }
    }
    trust::record_part(
        "P20",
        &format!("keys-{home:?}").to_lowercase(),
        &format!(
            "{home:?}: {} keys, sealed tokens and tokens of logins are nowhere in a dump, and its {} hashes open nothing",
            secrets.len(),
            hashes.len()
        ),
    );
}

#[tokio::test]
async fn a_dump_of_the_database_opens_nothing() {
    a_dump_opens_nothing(Home::Sqlite).await;
    a_dump_opens_nothing(Home::Postgres).await;
}
