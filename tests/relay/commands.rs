//! The command line, as a person at a terminal sees it.

use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::support::relay::{SOON, command};
use crate::support::{
    Connection, RELAY_TOKEN, Relay, SERVER_KEY, authorization, pair_with, request, upstream,
};

/// Runs a command to its end.
pub(crate) async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let folder = std::env::temp_dir();
    let mut command = command(&folder, variables);
    let output = command.args(arguments).stdin(Stdio::null()).output();
    let ended = tokio::time::timeout(SOON, output).await;
    ended.expect("it ends").expect("it runs")
}

/// What it wrote.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A port that was free a moment ago.
async fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener
        .local_addr()
        .expect("its address")
        .port()
        .to_string()
}

/// An upstream that gives one answer to everything.
pub(crate) async fn one_answer(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    format!("http://{address}/v1")
}

#[tokio::test]
async fn help_names_every_command_and_version_the_version() {
    let help = text(&run(&["--help"], &[]).await.stdout);
    for name in [
        "serve",
        "demo",
        "check",
        "healthcheck",
        "config",
        "user",
        "invite",
        "docs/configuration.md",
    ] {
        assert!(help.contains(name), "{name}: {help}");
    }
    let version = text(&run(&["--version"], &[]).await.stdout);
    assert_eq!(
        version.trim(),
        format!("openai-relay {}", env!("CARGO_PKG_VERSION"))
    );
}

#[tokio::test]
async fn config_shows_values_and_sources_but_no_secret() {
    let output = run(
        &["config"],
        &[
            ("OPENAI_API_KEY", SERVER_KEY),
            ("RELAY_TOKEN", RELAY_TOKEN),
            ("PORT", "1234"),
        ],
    )
    .await;
    let shown = text(&output.stdout);
    assert!(output.status.success());
    assert!(shown.lines().any(|line| line.starts_with("PORT")
        && line.contains("1234")
        && line.contains("environment")));
    assert!(
        !shown.contains(SERVER_KEY) && !shown.contains(RELAY_TOKEN),
        "{shown}"
    );
}

#[tokio::test]
async fn a_broken_configuration_ends_every_command_with_code_2_and_all_its_errors() {
    let broken = [
        ("PORT", "80a"),
        ("DRAIN_TIMEOUT", "-1"),
        ("OPENAI_BASE_URL", "ftp://x"),
        ("OPENAI_API_KEY", "sk secret with spaces"),
    ];
    for name in ["serve", "check", "healthcheck", "config"] {
        let output = run(&[name], &broken).await;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        for (variable, _) in broken {
            assert!(said.contains(variable), "{name}: {variable}: {said}");
        }
        assert!(!said.contains("secret with spaces"));
    }
}

#[tokio::test]
async fn a_relay_that_is_full_or_drains_is_alive_to_healthcheck() {
    let (_upstream, mut relay) = pair_with(&[("MAX_CLIENT_CONNECTIONS", "1")]).await;
    let port = relay.address().port().to_string();
    let alive = async || run(&["healthcheck"], &[("PORT", &port)]).await;
    let script = "X-Fake-Script: silence=60000";
    let lines = [&authorization(), "Content-Type: application/json", script];
    let body =
        br#"{"model":"gpt-6-luna","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;
    let mut seated = Connection::open(relay.address()).await;
    let asked = request("POST", "/v1/chat/completions", &lines, body);
    seated.write(&asked).await;
    assert_eq!(seated.head().await.expect("a head").status, 200);
    let full = alive().await;
    assert_eq!(full.status.code(), Some(0), "{}", text(&full.stderr));
    relay.signal("TERM");
    relay.line(|line| line["message"] == "draining").await;
    let draining = alive().await;
    assert_eq!(
        draining.status.code(),
        Some(0),
        "{}",
        text(&draining.stderr)
    );
}

#[tokio::test]
async fn healthcheck_says_what_answers_in_the_place_of_a_relay() {
    let body = r#"{"error":{"message":"This port speaks TLS."}}"#;
    let base = one_answer("400 Bad Request", body).await;
    let port = base
        .rsplit_once(':')
        .expect("a port")
        .1
        .trim_end_matches("/v1");
    let output = run(&["healthcheck"], &[("PORT", port)]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("400 Bad Request: This port speaks TLS."),
        "{said}"
    );
}

#[tokio::test]
async fn healthcheck_answers_with_its_exit_code() {
    let upstream = upstream().await;
    let relay = Relay::start(&[("OPENAI_BASE_URL", &upstream.base_url())]).await;
    let port = relay.address().port().to_string();
    assert_eq!(
        run(&["healthcheck"], &[("PORT", &port)])
            .await
            .status
            .code(),
        Some(0)
    );
    drop(relay);
    let output = run(&["healthcheck"], &[("PORT", &free_port().await)]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/health"));
}

#[tokio::test]
async fn the_demo_answers_the_curl_line_that_it_prints() {
    let folder = std::env::temp_dir();
    let mut demo = command(&folder, &[("PORT", &free_port().await)])
        .arg("demo")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(demo.stdout.take().expect("piped")).lines();
    let mut said = String::new();
    while !said.contains("Ctrl-C") {
        let line = tokio::time::timeout(SOON, lines.next_line()).await;
        said.push_str(&line.expect("in time").expect("readable").expect("more"));
        said.push('\n');
    }
    let curl = said
        .lines()
        .find(|line| line.trim().starts_with("curl "))
        .expect("a curl line");
    let token = curl
        .split("Bearer ")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("a token");
    assert!(
        said.contains(&format!("api_key=\"{token}\""))
            && said.contains("base_url=\"http://127.0.0.1:")
    );
    let output = tokio::process::Command::new("sh")
        .args(["-c", curl])
        .output()
        .await
        .expect("curl");
    assert!(
        text(&output.stdout).contains("You said: Hello"),
        "{}",
        text(&output.stdout)
    );
    let account: Vec<&str> = said
        .lines()
        .skip_while(|line| !line.trim().starts_with("TOKEN="))
        .take(2)
        .collect();
    let output = tokio::process::Command::new("sh")
        .args(["-c", &account.join("\n")])
        .output()
        .await
        .expect("curl");
    assert!(
        text(&output.stdout).contains("You said: Hello"),
        "{account:?}: {}",
        text(&output.stdout)
    );
    let pid = demo.id().expect("running").to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .expect("kill")
            .success()
    );
    let ended = tokio::time::timeout(SOON, demo.wait_with_output()).await;
    let output = ended.expect("it ends").expect("a status");
    assert_eq!(output.status.code(), Some(0));
    let log = text(&output.stderr);
    assert!(
        log.contains("/v1/chat/completions") && !log.contains("migrated"),
        "{log}"
    );
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    for name in ["serve", "demo"] {
        let output = run(
            &[name],
            &[("PORT", &port.to_string()), ("HOST", "127.0.0.1")],
        )
        .await;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains(&port.to_string()) && said.contains("in use"),
            "{said}"
        );
        let next = format!("PORT={}", port.saturating_add(1));
        assert_eq!(said.contains(&next), name == "demo", "{said}");
    }
}

#[tokio::test]
async fn a_token_that_no_subprotocol_can_carry_is_warned_about_at_start() {
    let mut relay = Relay::start(&[("RELAY_TOKEN", "padded/base64+token==")]).await;
    let warned = relay
        .line(|line| {
            line["level"] == "WARN"
                && line["message"]
                    .as_str()
                    .is_some_and(|text| text.contains("subprotocol"))
        })
        .await;
    assert!(!warned.to_string().contains("padded/base64"));
}
