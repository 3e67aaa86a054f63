//! `check`: what it finds, what it says of it, and that it changes nothing.

use tokio::net::TcpListener;

use crate::commands::{one_answer, run, text};
use crate::support::{Database, Home, RELAY_TOKEN, RedisServer, SERVER_KEY, upstream};

#[tokio::test]
async fn check_says_in_words_that_all_is_well() {
    let upstream = upstream().await;
    let variables = [
        ("OPENAI_API_KEY", SERVER_KEY),
        ("OPENAI_BASE_URL", &upstream.base_url()),
        ("RELAY_TOKEN", RELAY_TOKEN),
    ];
    let output = run(&["check"], &variables).await;
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for words in [
        "takes OPENAI_API_KEY",
        "REALTIME_MODEL gpt-realtime-2.1-mini among them",
        "a client with RELAY_TOKEN",
        "a client with nothing: refused",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains(SERVER_KEY) && !said.contains(RELAY_TOKEN));
}

#[tokio::test]
async fn check_knows_of_relay_keys_and_shows_the_limits_that_hold() {
    let upstream = upstream().await;
    let base = upstream.base_url();
    let database = Database::new(Home::Sqlite).await;
    let variables = [
        ("OPENAI_API_KEY", SERVER_KEY),
        ("OPENAI_BASE_URL", base.as_str()),
        ("DATABASE_URL", database.url.as_str()),
        ("RATE_LIMITS", "chat=60/60"),
    ];
    let before = text(&run(&["check"], &variables).await.stdout);
    assert!(before.contains("there are no relay keys"), "{before}");
    assert!(before.contains("from this machine everything"), "{before}");
    assert!(before.contains("\n  chat=60/1m per user\n"), "{before}");
    database
        .json(&["key", "create", "a client", "--json"], "")
        .await;
    let after = text(&run(&["check"], &variables).await.stdout);
    for words in [
        "app.db: reached",
        "a client with a relay key (rk_…): what its rules allow",
        "a client with nothing: refused with 401",
    ] {
        assert!(after.contains(words), "{words}: {after}");
    }
}

#[tokio::test]
async fn check_tells_what_is_wrong_and_fails() {
    let upstream = upstream().await;
    let region = r#"{"error":{"message":"Country, region, or territory not supported","type":"request_forbidden","param":null,"code":"unsupported_country_region_territory"}}"#;
    let good = upstream.base_url();
    let region = one_answer("403 Forbidden", region).await;
    let cases = [
        (
            "sk-wrong-key-0123456789",
            good.as_str(),
            "refuses OPENAI_API_KEY",
        ),
        (SERVER_KEY, region.as_str(), "does not serve the region"),
        (SERVER_KEY, "http://127.0.0.1:1", "not reached"),
        (
            SERVER_KEY,
            "http://no-such-name.invalid",
            "could not be resolved",
        ),
    ];
    for (key, base, words) in cases {
        let output = run(
            &["check"],
            &[("OPENAI_API_KEY", key), ("OPENAI_BASE_URL", base)],
        )
        .await;
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{base}: {said}");
        assert!(said.contains(words), "{words}: {said}");
        assert!(!said.contains(key));
    }
}

#[tokio::test]
async fn check_asks_whether_a_port_that_is_silent_to_tls_speaks_plain_http() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = silent.local_addr().expect("its address").port();
    let base = format!("https://127.0.0.1:{port}");
    let variables = [
        ("OPENAI_BASE_URL", base.as_str()),
        ("OPENAI_CONNECT_TIMEOUT", "200ms"),
    ];
    let output = run(&["check"], &variables).await;
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("or is it http://?"), "{said}");
}

#[tokio::test]
async fn check_without_a_key_says_who_then_needs_one() {
    let upstream = upstream().await;
    let output = run(&["check"], &[("OPENAI_BASE_URL", &upstream.base_url())]).await;
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("every client has to bring its own credential"),
        "{said}"
    );
}

#[tokio::test]
async fn check_looks_at_the_database_of_accounts_and_changes_nothing_in_it() {
    let base_url = one_answer("200 OK", r#"{"data":[]}"#).await;
    let folder = std::env::temp_dir().join(format!("openai-relay-check-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("app.db");
    for (url, code, says) in [
        (format!("sqlite:///{}", file.display()), 0, "reached"),
        (
            "sqlite:////nonexistent/app.db".to_owned(),
            1,
            "there is no folder",
        ),
        (
            "postgres://u:planted@127.0.0.1:1/d".to_owned(),
            1,
            "not usable",
        ),
    ] {
        let variables = [
            ("OPENAI_BASE_URL", base_url.as_str()),
            ("OPENAI_API_KEY", SERVER_KEY),
            ("SECRET_KEY", "0123456789abcdef0123456789abcdef"),
            ("DATABASE_URL", url.as_str()),
        ];
        let output = run(&["check"], &variables).await;
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(
            said.contains(says) && said.contains("registering as a user: anyone"),
            "{said}"
        );
        assert!(!said.contains("planted"), "{said}");
    }
    assert!(!file.exists());
    std::fs::remove_dir_all(&folder).expect("it is there");
}

#[tokio::test]
async fn check_looks_at_redis_and_leaves_nothing_in_it() {
    let base_url = one_answer("200 OK", r#"{"data":[]}"#).await;
    let server = RedisServer::start();
    let gone = "redis://:planted@127.0.0.1:1/0".to_owned();
    for (url, replicas, code, says) in [
        (server.url(), "", 0, "reached, limits can be shared in it"),
        (gone.clone(), "2", 1, "not usable"),
        (gone, "", 1, "REPLICAS is not set"),
    ] {
        let variables = [
            ("OPENAI_BASE_URL", base_url.as_str()),
            ("OPENAI_API_KEY", SERVER_KEY),
            ("REDIS_URL", url.as_str()),
            ("REPLICAS", replicas),
            // So that a busy machine decides nothing.
            ("REDIS_TIMEOUT", "20s"),
        ];
        let output = run(&["check"], &variables).await;
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(says), "{says}: {said}");
        assert_eq!(
            said.contains("REPLICAS is not set"),
            says.starts_with("REPLICAS")
        );
        assert!(!said.contains("planted"), "{said}");
    }
    assert_eq!(server.say("DBSIZE"), ":0\r\n");
}
