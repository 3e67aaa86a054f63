//! Rules that the head of a request is held against, whatever the route and the carrier.

use super::*;
use crate::support::ws::Socket;

const ROUTES: [(&str, &str, &str); 10] = [
    ("chat", "POST", "/v1/chat/completions"),
    ("responses", "POST", "/v1/responses"),
    ("embeddings", "POST", "/v1/embeddings"),
    ("audio", "POST", "/v1/audio/speech"),
    ("images", "POST", "/v1/images/generations"),
    ("files", "GET", "/v1/files"),
    ("models", "GET", "/v1/models"),
    ("moderations", "POST", "/v1/moderations"),
    ("realtime", "POST", "/v1/realtime/client_secrets"),
    ("other", "GET", "/v1/what-comes-next"),
];

#[tokio::test]
async fn a_key_opens_the_families_of_its_rule_and_no_other() {
    let people = People::start(Home::Sqlite).await;
    for (family, _, _) in ROUTES {
        let (key, _) = make(&people.database, &["--families", family]).await;
        for (of, method, path) in ROUTES {
            people.upstream.take_received();
            let body = (method == "POST").then(|| json!({}));
            for path in [path.to_owned(), path.replacen("/v1/c", "/v1/%63", 1)] {
                let answer = ask(&people, method, &path, &key, body.as_ref()).await;
                if of == family {
                    assert_ne!(answer.status, 403, "{family} on {path}: {}", answer.text());
                } else {
                    assert_forbidden(&answer, "families");
                    assert!(people.upstream.take_received().is_empty(), "{path}");
                }
            }
        }
        let line = bearer(&key);
        let opened = Socket::open(people.relay.address(), "/realtime", &[&line]).await;
        assert_eq!(opened.is_ok(), family == "realtime");
        let offer = ask(
            &people,
            "POST",
            "/offer",
            &key,
            Some(&json!({ "sdp": "v=0" })),
        )
        .await;
        assert_eq!(
            offer.status == 403,
            family != "realtime",
            "{}",
            offer.text()
        );
    }
}

#[tokio::test]
async fn a_key_of_a_page_works_from_that_page_alone() {
    let people = People::start(Home::Sqlite).await;
    let words = ["--origins", "https://app.example.com"];
    let (key, _) = make(&people.database, &words).await;
    let line = bearer(&key);
    for (origin, is_open) in [
        (Some("https://app.example.com"), true),
        (Some("HTTPS://App.Example.com"), true),
        (Some("https://app.example.com.evil.example"), false),
        (Some("http://app.example.com"), false),
        (Some("null"), false),
        (None, false),
    ] {
        let origin = origin.map(|origin| format!("Origin: {origin}"));
        let lines: Vec<&str> = [Some(line.as_str()), origin.as_deref()]
            .into_iter()
            .flatten()
            .collect();
        let answer = call(&people.relay, "GET", "/v1/models", &lines, None).await;
        match is_open {
            true => assert_eq!(answer.status, 200, "{}", answer.text()),
            false => assert_forbidden(&answer, "origins"),
        }
    }
}

#[tokio::test]
async fn a_key_of_a_network_works_from_there_alone() {
    let people = People::start(Home::Sqlite).await;
    let words = ["--addresses", "192.0.2.0/24,2001:db8::/32"];
    let (key, _) = make(&people.database, &words).await;
    let line = bearer(&key);
    for (address, is_open) in [
        (Some("192.0.2.77"), true),
        (Some("2001:db8::7"), true),
        (Some("::ffff:192.0.2.1"), true),
        (Some("198.51.100.7"), false),
        (None, false),
    ] {
        let through = address.map(|address| format!("X-Forwarded-For: {address}"));
        let lines: Vec<&str> = [Some(line.as_str()), through.as_deref()]
            .into_iter()
            .flatten()
            .collect();
        let answer = call(&people.relay, "GET", "/v1/models", &lines, None).await;
        match is_open {
            true => assert_eq!(answer.status, 200, "{}", answer.text()),
            false => assert_forbidden(&answer, "addresses"),
        }
    }
}

#[tokio::test]
async fn organization_and_project_go_up_where_the_rule_says_so() {
    let people = People::start(Home::Sqlite).await;
    for (words, goes) in [(&["--organization"][..], true), (&[], false)] {
        let (key, _) = make(&people.database, words).await;
        let lines = [
            bearer(&key),
            "OpenAI-Organization: org-1".to_owned(),
            "OpenAI-Project: proj-1".to_owned(),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let answer = call(&people.relay, "GET", "/v1/models", &lines, None).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let received = people.upstream.take_received();
        assert_eq!(received[0].header("openai-organization").is_some(), goes);
        assert_eq!(received[0].header("openai-project").is_some(), goes);
    }
}

#[tokio::test]
async fn each_key_has_limits_of_its_own() {
    let people = People::start(Home::Sqlite).await;
    let words = ["--limit", "chat=2/1h", "--limit", "concurrent realtime=1"];
    let (one, _) = make(&people.database, &words).await;
    let (other, _) = make(&people.database, &words).await;
    for _ in 0..2 {
        assert_eq!(chat(&people, &one, MODEL).await.status, 200);
    }
    let refused = chat(&people, &one, MODEL).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    assert_eq!(refused.header("x-ratelimit-limit-requests"), Some("2"));
    assert_eq!(
        ask(&people, "GET", "/v1/models", &one, None).await.status,
        200
    );
    assert_eq!(chat(&people, &other, MODEL).await.status, 200);

    let line = bearer(&other);
    let address = people.relay.address();
    let first = Socket::open(address, "/realtime", &[&line]).await;
    assert!(first.is_ok());
    let Err(second) = Socket::open(address, "/realtime", &[&line]).await else {
        panic!("two at once");
    };
    assert_eq!(second.status, 429, "{}", second.text());
    drop(first);
    let token = ask(&people, "POST", "/api/v1/tokens", &one, None)
        .await
        .json();
    let token = token["value"].as_str().expect("a token");
    assert_eq!(
        chat(&people, token, MODEL).await.status,
        429,
        "a token has its maker's limits"
    );
}
