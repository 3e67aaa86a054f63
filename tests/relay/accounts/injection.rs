//! P26: nothing that is sent becomes SQL, markup, or a server error.

use serde_json::{Value, json};

use super::*;

/// What attackers send, in many spellings.
fn payloads() -> Vec<String> {
    const SEEDS: [&str; 44] = [
        "' OR '1'='1",
        "' OR 1=1 --",
        "'; DROP TABLE relay_users; --",
        "\" OR \"\"=\"",
        "') OR ('1'='1",
        "' UNION SELECT password_hash FROM relay_users --",
        "1; SELECT pg_sleep(5)",
        "'||pg_sleep(5)--",
        "' AND randomblob(1000000000)--",
        "admin'--",
        "admin'/*",
        "'; ATTACH DATABASE 'x' AS x; --",
        "$1",
        "$$",
        ":name",
        "?",
        "%' OR '%'='",
        "\\' OR 1=1",
        "\\",
        "%",
        "_",
        "*",
        "' LIKE '%",
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "{{7*7}}",
        "${7*7}",
        "#{7*7}",
        "%{7*7}",
        "../../../../etc/passwd",
        "..\\..\\boot.ini",
        "file:///etc/passwd",
        "() { :;}; echo x",
        "`id`",
        "$(id)",
        "|id",
        "%s%s%s%n",
        "${jndi:ldap://x/a}",
        "\u{202e}txt.exe",
        "\u{feff}",
        "\u{fffd}",
        "🙂",
        "e\u{301}",
        "ﬀ",
    ];
    let mut all: Vec<String> = SEEDS.iter().map(|seed| (*seed).to_owned()).collect();
    for seed in SEEDS {
        all.push(format!("alice{seed}"));
        all.push(format!("{seed}alice"));
        all.push(seed.to_uppercase());
        all.push(seed.replace(' ', "/**/"));
        all.push(seed.replace('\'', "\u{2019}"));
        all.push(seed.replace('\'', "%27"));
        all.push(seed.repeat(3));
        all.push(format!("{seed}\n{seed}"));
        all.push(format!("{seed}\u{1}"));
        all.push(format!("{seed}\0"));
    }
    for length in [1, 49, 50, 51, 255, 256, 1024, 1025, 10_000] {
        all.push("x".repeat(length));
        all.push("ß".repeat(length));
    }
    all.push(String::new());
    all.push(" ".to_owned());
    all
}

/// One request with a payload somewhere in it.
struct Try {
    method: &'static str,
    path: String,
    lines: Vec<String>,
    body: Option<Value>,
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

/// Every place in which a text is taken.
fn tries(payload: &str, user: &Tokens, admin: &Tokens) -> Vec<Try> {
    let post = |path: &str, lines: Vec<String>, body: Value| Try {
        method: "POST",
        path: path.to_owned(),
        lines,
        body: Some(body),
    };
    let with = |method, path: String, lines: Vec<String>, body| Try {
        method,
        path,
        lines,
        body,
    };
    let (mine, admins) = (vec![user.bearer()], vec![admin.bearer()]);
    let mut tries = vec![
        post(
            "/api/v1/auth/register",
            vec![],
            json!({ "username": payload, "email": "x", "password": PASSWORD }),
        ),
        post(
            "/api/v1/auth/register",
            vec![],
            json!({ "username": "someone", "email": payload, "password": "x" }),
        ),
        post(
            "/api/v1/auth/register",
            vec![],
            json!({ "username": "x", "email": "x", "password": payload }),
        ),
        post(
            "/api/v1/auth/register",
            vec![],
            json!({ "username": "x", "email": "x", "password": "x", "invite": payload }),
        ),
        post(
            "/api/v1/auth/login",
            vec![],
            json!({ "username": payload, "password": payload }),
        ),
        post(
            "/api/v1/auth/refresh",
            vec![],
            json!({ "refresh_token": payload }),
        ),
        post(
            "/api/v1/auth/logout",
            vec![],
            json!({ "refresh_token": payload }),
        ),
        post(
            "/api/v1/auth/password",
            mine.clone(),
            json!({ "current_password": "x", "new_password": payload }),
        ),
        post(
            "/api/v1/chat/completions",
            mine.clone(),
            json!({ "model": payload, "messages": payload }),
        ),
        post(
            "/api/v1/admin/users",
            admins.clone(),
            json!({ "username": payload, "email": payload, "password": "x", "role": payload }),
        ),
        with(
            "GET",
            format!("/api/v1/admin/users?search={}", encoded(payload)),
            admins.clone(),
            None,
        ),
        with(
            "GET",
            format!("/api/v1/admin/users?limit={0}&offset={0}", encoded(payload)),
            admins.clone(),
            None,
        ),
        with(
            "PATCH",
            "/api/v1/admin/users/nobody".to_owned(),
            admins.clone(),
            Some(json!({ "role": payload, "is_active": payload })),
        ),
    ];
    if !payload.is_empty() && !payload.contains(['/', '\\', '\0', '.']) {
        tries.push(with(
            "GET",
            format!("/api/v1/admin/users/{}", encoded(payload)),
            admins.clone(),
            None,
        ));
        tries.push(with(
            "DELETE",
            format!("/api/v1/admin/users/{}", encoded(payload)),
            admins,
            None,
        ));
    }
    if !payload.contains(['\r', '\n', '\0', '\u{1}']) {
        tries.push(with(
            "GET",
            "/api/v1/auth/me".to_owned(),
            vec![format!("Authorization: Bearer {payload}")],
            None,
        ));
        tries.push(with(
            "GET",
            "/v1/models".to_owned(),
            vec![format!("Authorization: {payload}")],
            None,
        ));
    }
    tries
}

on_both! {
    async fn five_hundred_payloads_in_every_input_break_nothing(home: Home) {
        let people = People::start(home).await;
        let (user, admin) = (people.join("alice").await, people.admin().await);
        let payloads = payloads();
        assert!(payloads.len() >= 500, "{}", payloads.len());
        let people = std::sync::Arc::new(people);
        let mut tasks = tokio::task::JoinSet::new();
        let mut count = 0;
        for payload in &payloads {
            for one in tries(payload, &user, &admin) {
                let people = std::sync::Arc::clone(&people);
                count += 1;
                tasks.spawn(async move {
                    let lines: Vec<&str> = one.lines.iter().map(String::as_str).collect();
                    let answer = call(&people.relay, one.method, &one.path, &lines, one.body.as_ref()).await;
                    (one, answer.status, answer.text())
                });
                if tasks.len() >= 16 {
                    judge(tasks.join_next().await);
                }
            }
        }
        while let Some(done) = tasks.join_next().await {
            judge(Some(done));
        }
        let users = "SELECT CAST(COUNT(*) AS BIGINT) FROM relay_users WHERE role = 'admin'";
        assert_eq!(people.database.count(users).await, 1, "nobody became an admin");
        assert!(people.opens(&user).await);
        trust::record("P26", &format!("{} payloads, {count} requests on SQLite and as many on Postgres: no 5xx; 0 uses of AssertSqlSafe", payloads.len()));
    }
}

fn judge(done: Option<Result<(Try, u16, String), tokio::task::JoinError>>) {
    let (one, status, text) = done.expect("a task").expect("it ends");
    let place = format!("{} {} {:?}", one.method, one.path, one.body);
    assert!((200..500).contains(&status), "{place}: {status} {text}");
    // What a database says of SQL that it cannot read.
    assert!(!text.contains("syntax error"), "{place}: {text}");
}

#[test]
fn sql_is_made_of_constants_alone() {
    let src = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![src];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            files += 1;
            assert!(!text.contains("AssertSqlSafe"), "{}", path.display());
        }
    }
    assert!(files > 100, "{files}");
}
