//! Two hundred ways round a rule on models: each is refused, or seen for what it is, and nothing of
//! them goes up.

use super::*;
use crate::support::send;

/// A model that the key opens, and one that it does not.
const OPEN: &str = "gpt-6-luna";
const SHUT: &str = "gpt-6";

struct Attempt {
    method: &'static str,
    path: String,
    lines: Vec<String>,
    body: Vec<u8>,
}

fn json_body(path: &str, body: &str) -> Attempt {
    with_type(path, "Content-Type: application/json", body.as_bytes())
}

fn with_type(path: &str, line: &str, body: &[u8]) -> Attempt {
    Attempt {
        method: "POST",
        path: path.to_owned(),
        lines: vec![line.to_owned()],
        body: body.to_vec(),
    }
}

/// Every letter of `model` by itself, and all of them, as escapes.
fn escaped_names() -> Vec<String> {
    let escape = |at: &dyn Fn(usize) -> bool| {
        let letters = "model".chars().enumerate();
        let spelled = letters.map(|(index, letter)| match at(index) {
            true => format!("\\u{:04x}", u32::from(letter)),
            false => letter.to_string(),
        });
        spelled.collect::<String>()
    };
    let mut names: Vec<String> = (0..5).map(|one| escape(&|at| at == one)).collect();
    names.push(escape(&|_| true));
    names.extend(["Model", "MODEL", "mOdEl"].map(str::to_owned));
    names
}

fn bodies() -> Vec<String> {
    let mut bodies = vec![
        format!(r#"{{"model":"{SHUT}"}}"#),
        format!(r#"{{"model":"{OPEN}","model":"{SHUT}"}}"#),
        format!(r#"{{"model":"{SHUT}","model":"{OPEN}"}}"#),
        format!(r#"{{"model":"{OPEN}","x":{{"model":"{SHUT}"}}}}"#),
        format!(r#"{{"model":"{OPEN}","tools":[{{"type":"image_generation","model":"{SHUT}"}}]}}"#),
        format!(r#"{{"model":["{SHUT}"]}}"#),
        format!(r#"{{"model":{{"id":"{SHUT}"}}}}"#),
        format!(r#"{{"model":"{SHUT} "}}"#),
        format!(r#"{{"model":"\u0067pt-6"}}"#),
        format!(r#"{{"model":"{OPEN}\u0000"}}"#),
        format!(r#"[{{"model":"{OPEN}"}}]"#),
        format!(r#"{{"model":"{OPEN}"}}{{"model":"{SHUT}"}}"#),
        format!("{{\"model\":\"{OPEN}\"}}\n{{\"model\":\"{SHUT}\"}}"),
        format!("\u{feff}{{\"model\":\"{SHUT}\"}}"),
        format!(r#"{{"model":"{OPEN}",}}"#),
        format!(r#"{{"model":"{OPEN}"/*,"model":"{SHUT}"*/}}"#),
        format!(r#"{{'model':'{SHUT}'}}"#),
        format!(r#"{{model:"{SHUT}"}}"#),
        r#"{"messages":[]}"#.to_owned(),
        r#"{"model":null}"#.to_owned(),
        r#"{"model":7}"#.to_owned(),
        r#"{"model":true}"#.to_owned(),
        r#"{"model":""}"#.to_owned(),
        r#"{"prompt":{"id":"pmpt_1"}}"#.to_owned(),
        "null".to_owned(),
        "\"model\"".to_owned(),
        // Late.
        format!(
            r#"{{"input":"{}","model":"{SHUT}"}}"#,
            "x".repeat(3 * 1024 * 1024)
        ),
        format!(
            r#"{{"model":"{OPEN}","input":"{}","model":"{SHUT}"}}"#,
            "x".repeat(3 * 1024 * 1024)
        ),
        // Deep.
        format!(
            r#"{{"model":"{OPEN}","a":{}{{"model":"{SHUT}"}}{}}}"#,
            "[".repeat(100),
            "]".repeat(100)
        ),
        format!(
            r#"{{"model":"{OPEN}","a":{}{}}}"#,
            "[".repeat(5000),
            "]".repeat(5000)
        ),
    ];
    for name in escaped_names() {
        bodies.push(format!(r#"{{"{name}":"{SHUT}"}}"#));
        bodies.push(format!(r#"{{"model":"{OPEN}","{name}":"{SHUT}"}}"#));
        bodies.push(format!(r#"{{"{name}":"{SHUT}","model":"{OPEN}"}}"#));
    }
    bodies
}

/// Bodies that are not plain JSON.
fn disguises(path: &str) -> Vec<Attempt> {
    let plain = format!(r#"{{"model":"{OPEN}"}}"#);
    let mut all: Vec<Attempt> = [
        "Content-Type: multipart/form-data; boundary=b",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Type: text/plain",
        "Content-Type: application/json; charset=utf-7",
        "Content-Type: application/json; charset=utf-16",
        "Content-Type: application/json; boundary=b",
        "Content-Type: application/jsonl",
        "Content-Type: application/octet-stream",
        "Content-Type: application/cbor",
        "Content-Type:",
        "X-Content-Type: application/json",
        "Content-Type: application/json\r\nContent-Type: multipart/form-data; boundary=b",
        "Content-Type: application/json\r\nContent-Encoding: gzip",
        "Content-Type: application/json\r\nContent-Encoding: identity",
        "Content-Type: application/json\r\nContent-Encoding: br, gzip",
        "Content-Type: application/json\r\nContent-Encoding:",
    ]
    .into_iter()
    .map(|line| with_type(path, line, plain.as_bytes()))
    .collect();
    let form =
        format!("--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{OPEN}\r\n--b--\r\n");
    all.push(with_type(
        path,
        "Content-Type: multipart/form-data; boundary=b",
        form.as_bytes(),
    ));
    let wide: Vec<u8> = plain.encode_utf16().flat_map(u16::to_le_bytes).collect();
    all.push(json_body(path, ""));
    if let Some(last) = all.last_mut() {
        last.body = wide;
    }
    all.push(with_type(
        path,
        "Content-Type: application/json",
        b"{\"model\":\"\xff\"}",
    ));
    all.push(with_type(
        path,
        "Content-Type: application/json",
        b"\x1f\x8b\x08\x00",
    ));
    all
}

fn attempts() -> Vec<Attempt> {
    let mut all: Vec<Attempt> = bodies()
        .iter()
        .flat_map(|body| {
            [
                "/v1/chat/completions",
                "/v1/responses",
                "/v1/what-comes-next",
            ]
            .map(|path| json_body(path, body))
        })
        .collect();
    for path in [
        "/v1/chat/completions",
        "/v1/audio/transcriptions",
        "/v1/realtime/calls",
    ] {
        all.extend(disguises(path));
    }
    let plain = format!(r#"{{"model":"{OPEN}"}}"#);
    for path in [
        "/v1/batches",
        "/v1/b%61tches",
        "/v1/engines/gpt-6/completions",
        "/v1/deployments/gpt-6/chat/completions",
        "/v1/chat/completions?model=gpt-6",
        "/v1/chat/completions?mod%65l=gpt-6",
        "/v1/chat/completions?MODEL=gpt-6",
        "/v1/chat/completions?model[]=gpt-6",
        "/v1/chat/completions?model=gpt-6-luna&model=gpt-6",
        "/v1/chat/completions?a=1;model=gpt-6",
        "/v1/realtime/calls?model=gpt-6",
    ] {
        all.push(json_body(path, &plain));
    }
    for (path, session) in [
        (
            "/v1/realtime/client_secrets",
            format!(r#"{{"session":{{"type":"realtime","model":"{SHUT}"}}}}"#),
        ),
        (
            "/v1/realtime/client_secrets",
            r#"{"session":{"type":"realtime"}}"#.to_owned(),
        ),
        ("/v1/realtime/client_secrets", "{}".to_owned()),
        ("/v1/realtime/sessions", format!(r#"{{"model":"{SHUT}"}}"#)),
        (
            "/v1/realtime/calls/rtc_1/accept",
            format!(r#"{{"type":"realtime","model":"{SHUT}"}}"#),
        ),
        (
            "/v1/live/sessions",
            format!(r#"{{"session":{{"model":"{SHUT}"}},"transport":{{}}}}"#),
        ),
    ] {
        all.push(json_body(path, &session));
    }
    for offer in [
        json!({ "sdp": crate::offer::SDP }),
        json!({ "sdp": crate::offer::SDP, "model": SHUT }),
        json!({ "sdp": crate::offer::SDP, "session": { "model": SHUT } }),
        json!({ "sdp": crate::offer::SDP, "model": OPEN, "session": { "audio": { "input": { "transcription": { "model": SHUT } } } } }),
    ] {
        all.push(json_body("/offer", &offer.to_string()));
    }
    all.push(with_type(
        "/v1/realtime/calls",
        "Content-Type: application/sdp",
        crate::offer::SDP.as_bytes(),
    ));
    all
}

#[tokio::test]
async fn two_hundred_ways_round_a_rule_on_models_lead_nowhere() {
    let people = People::start(Home::Sqlite).await;
    let (key, _) = make(&people.database, &["--models", OPEN]).await;
    let line = bearer(&key);
    let attempts = attempts();
    let count = attempts.len();
    assert!(count >= 200, "{count}");
    for attempt in attempts {
        let lines: Vec<&str> = std::iter::once(line.as_str())
            .chain(attempt.lines.iter().map(String::as_str))
            .collect();
        let bytes = request(attempt.method, &attempt.path, &lines, &attempt.body);
        let start = &attempt.body[..attempt.body.len().min(120)];
        let case = format!(
            "{} {:?} {}",
            attempt.path,
            attempt.lines,
            String::from_utf8_lossy(start)
        );
        let answer = send(people.relay.address(), bytes).await.expect(&case);
        assert!(
            matches!(answer.status, 400 | 403 | 404),
            "{case}: {} {}",
            answer.status,
            answer.text()
        );
        assert!(people.upstream.take_received().is_empty(), "{case} went up");
    }
    let answer = chat(&people, &key, OPEN).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    trust::record_part(
        "P27",
        "models",
        &format!("{count} ways round a rule on models: each refused, none went up"),
    );
}

#[tokio::test]
async fn what_the_rule_allows_goes_up_as_it_came() {
    let people = People::start(Home::Sqlite).await;
    let (key, _) = make(&people.database, &["--models", "gpt-6-*"]).await;
    let body = r#"{ "messages" : [{"role":"user","content":"model \u00e4"}],"seed":12345678901234567890, "model":"gpt-6-luna" }"#;
    let lines = [
        bearer(&key),
        "Content-Type: application/json; charset=utf-8".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let bytes = request("POST", "/v1/chat/completions", &lines, body.as_bytes());
    send(people.relay.address(), bytes)
        .await
        .expect("an answer");
    let received = people.upstream.take_received();
    assert_eq!(String::from_utf8_lossy(&received[0].body), body);
    let chunked = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n{}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        bearer(&key),
        body.len()
    );
    send(people.relay.address(), chunked)
        .await
        .expect("an answer");
    let received = people.upstream.take_received();
    assert_eq!(String::from_utf8_lossy(&received[0].body), body);
    assert_eq!(
        received[0].header("content-length"),
        Some(body.len().to_string().as_str())
    );
    for (method, path) in [
        ("GET", "/v1/models"),
        ("GET", "/v1/files"),
        ("DELETE", "/v1/responses/resp_1"),
    ] {
        let answer = ask(&people, method, path, &key, None).await;
        assert_ne!(answer.status, 403, "{path}: {}", answer.text());
    }
    let too_large = format!(
        r#"{{"model":"gpt-6-luna","input":"{}"}}"#,
        "x".repeat(33 * 1024 * 1024)
    );
    let bytes = request("POST", "/v1/responses", &lines, too_large.as_bytes());
    let answer = send(people.relay.address(), bytes)
        .await
        .expect("an answer");
    assert_eq!(answer.status, 413, "{}", answer.text());
}
