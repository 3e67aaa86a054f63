//! The way out: TLS, outbound proxies, gateways with a path, and faults on the way.

mod faults;
mod gateways;
mod proxies;
mod table;
mod tls;

use fake_openai::{Certificate, FakeOpenAi, Options};

use crate::support::{Answer, RELAY_TOKEN, Relay, SERVER_KEY};

/// A relay in front of this base URL.
async fn relay_to(base_url: &str, extra: &[(&str, &str)]) -> Relay {
    let mut variables = vec![
        ("OPENAI_API_KEY", SERVER_KEY),
        ("OPENAI_BASE_URL", base_url),
        ("RELAY_TOKEN", RELAY_TOKEN),
    ];
    variables.extend_from_slice(extra);
    Relay::start(&variables).await
}

/// A stand-in upstream that speaks TLS.
async fn tls_upstream() -> FakeOpenAi {
    let options = Options {
        server_key: SERVER_KEY.to_owned(),
        tls: Some(Certificate::Good),
        ..Options::default()
    };
    FakeOpenAi::start(options).await.expect("an upstream")
}

/// The error of the relay's own that tells of a fault: OpenAI's shape, with the id in both places.
fn check_fault(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code));
    let error = &answer.json()["error"];
    assert_eq!(error["type"], "relay_error");
    let id = answer.header("x-request-id").expect("an id");
    assert_eq!(error["request_id"], id);
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.len() > 20)
    );
}
