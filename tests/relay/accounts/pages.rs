//! The description, the page that shows it, and health.

use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn the_description_is_openapi_31_and_says_who_needs_a_token() {
    let people = People::start(Home::Sqlite).await;
    let answer = people.call("GET", "/openapi.json", None, None).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let api = answer.json();
    assert_eq!(api["openapi"], "3.1.0");
    assert_eq!(api["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        api["components"]["securitySchemes"]["bearer"]["scheme"],
        "bearer"
    );
    let mut count = 0;
    for (path, item) in api["paths"].as_object().expect("paths") {
        for (method, route) in item.as_object().expect("methods") {
            count += 1;
            let summary = route["summary"].as_str().unwrap_or_default();
            assert!(summary.len() > 10, "{method} {path} says what it does");
            let needs = route["security"][0].get("bearer").is_some();
            let answers = route["responses"].as_object().expect("responses");
            assert!(!needs || answers.contains_key("401"), "{method} {path}");
            assert!(
                route["requestBody"].is_null()
                    || path == "/offer"
                    || path.contains("chat")
                    || answers.contains_key("422"),
                "{method} {path}"
            );
        }
    }
    assert!(count > 20, "{count}");
    for reference in references(&api) {
        let path = reference.strip_prefix('#').expect("within itself");
        assert!(api.pointer(path).is_some(), "{reference}");
    }
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match value {
                Value::String(text) if name == "$ref" => vec![text.clone()],
                value => references(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere_and_runs_nothing_inline() {
    let people = People::start(Home::Sqlite).await;
    let page = people.call("GET", "/docs", None, None).await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").expect("a policy");
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(
        !policy.contains("unsafe") && !policy.contains("http"),
        "{policy}"
    );
    let mut text = page.text();
    assert!(
        !text.contains("<style") && !text.contains("style=") && !text.contains(" on"),
        "{text}"
    );
    for (path, kind) in [
        ("/docs/docs.js", "text/javascript"),
        ("/docs/docs.css", "text/css"),
    ] {
        let part = people.call("GET", path, None, None).await;
        assert_eq!(part.status, 200);
        assert!(
            part.header("content-type")
                .is_some_and(|found| found.starts_with(kind))
        );
        text += &part.text();
    }
    assert!(
        !text.contains("//cdn") && !text.contains("https://") && !text.contains("innerHTML"),
        "{text}"
    );
}

on_both! {
    async fn health_tells_of_the_machine_and_its_services(home: Home) {
        let people = People::start(home).await;
        let health = people.call("GET", "/api/v1/health", None, None).await.json();
        assert_eq!(health["status"], "healthy");
        assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
        assert!(health["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')));
        let answer = people.call("GET", "/api/v1/health/detailed", None, None).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let health = answer.json();
        assert_eq!(health["status"], "healthy");
        for part in ["cpu", "memory", "disk"] {
            let share = health["system"][part]["percent"].as_f64().expect(part);
            assert!((0.0..=100.0).contains(&share), "{health}");
        }
        for service in ["openai", "database"] {
            let service = &health["services"][service];
            assert_eq!(service["status"], "healthy", "{health}");
            assert!(service["latency_ms"].as_f64().is_some(), "{health}");
        }
        assert!(people.upstream.received().is_empty(), "a connection, no request");
    }
}

#[tokio::test]
async fn what_is_not_there_makes_the_detailed_health_503_and_what_is_off_does_not() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let nowhere = format!("http://{}/v1", closed.local_addr().expect("its address"));
    drop(closed);
    let extra = [("OPENAI_BASE_URL", nowhere.as_str())];
    let people = People::start_with(Home::Sqlite, &extra).await;
    let answer = people
        .call("GET", "/api/v1/health/detailed", None, None)
        .await;
    assert_eq!(answer.status, 503);
    let health = answer.json();
    assert_eq!(health["services"]["openai"]["status"], "unhealthy");
    assert!(health["services"]["openai"]["error"].is_string());
    assert_eq!(health["services"]["database"]["status"], "healthy");

    let without = People::start_with(Home::Sqlite, &[("SECRET_KEY", "")]).await;
    let answer = without
        .call("GET", "/api/v1/health/detailed", None, None)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.json()["services"]["database"],
        json!({ "status": "off", "latency_ms": null })
    );
}
