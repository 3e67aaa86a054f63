//! `POST /offer`: WebRTC offers of pages, in JSON.

use serde_json::{Value, json};

use crate::support::{Answer, Relay, SERVER_KEY, authorization, get, pair, pair_with, post};

pub const SDP: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\na=fingerprint:sha-256 00\r\na=rtpmap:111 opus/48000/2\r\n";

async fn offer(relay: &Relay, lines: &[&str], body: &Value) -> Answer {
    post(relay.address(), "/offer", lines, &body.to_string()).await
}

/// The session that went up beside the offer.
fn session(body: &[u8]) -> Value {
    let text = String::from_utf8_lossy(body).into_owned();
    let part = text.split("name=\"session\"").nth(1).expect("a session");
    let json = part.split("\r\n\r\n").nth(1).expect("its text");
    serde_json::from_str(json.split("\r\n").next().expect("its line")).expect("JSON")
}

#[tokio::test]
async fn an_ephemeral_token_takes_the_offer_up_as_sdp_byte_for_byte() {
    let (upstream, relay) = pair().await;
    let token = upstream.mint_ephemeral();
    let answer = offer(&relay, &[], &json!({ "sdp": SDP, "token": token })).await;
    let received = upstream.take_received().remove(0);
    assert_eq!(received.target, "/v1/realtime/calls");
    assert_eq!(received.header("content-type"), Some("application/sdp"));
    assert_eq!(
        received.header("authorization"),
        Some(format!("Bearer {token}").as_str())
    );
    assert_eq!(received.body, SDP.as_bytes());
    let body = answer.json();
    assert_eq!((answer.status, &body["relayed"]), (200, &json!(true)));
    assert!(body["duration"].is_u64());
    assert!(
        body["callId"]
            .as_str()
            .is_some_and(|id| id.starts_with("rtc_"))
    );
    let sdp = body["sdp"].as_str().expect("an answer");
    assert!(
        sdp.starts_with("v=0\r\n") && sdp.ends_with("\r\n"),
        "the last line end stays"
    );
}

#[tokio::test]
async fn the_relays_token_takes_the_offer_up_with_a_session_and_the_servers_key() {
    let (upstream, relay) = pair().await;
    let answer = offer(&relay, &[&authorization()], &json!({ "sdp": SDP })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let received = upstream.take_received().remove(0);
    assert_eq!(
        received.header("authorization"),
        Some(format!("Bearer {SERVER_KEY}").as_str())
    );
    assert!(
        received
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("multipart/form-data; boundary="))
    );
    let text = String::from_utf8_lossy(&received.body).into_owned();
    assert!(
        text.contains(&format!("\r\n\r\n{SDP}\r\n--")),
        "the offer's bytes are whole"
    );
    assert_eq!(
        session(&received.body),
        json!({ "type": "realtime", "model": "gpt-realtime-2.1-mini" })
    );
}

#[tokio::test]
async fn the_model_is_the_bodys_else_the_sessions_else_the_configured_one() {
    let (upstream, relay) = pair_with(&[("REALTIME_MODEL", "gpt-realtime-mini-2025-10-06")]).await;
    let cases = [
        (json!({}), "gpt-realtime-mini-2025-10-06"),
        (json!({ "model": "gpt-realtime-2.1" }), "gpt-realtime-2.1"),
        (
            json!({ "session": { "model": "gpt-realtime-2.1" } }),
            "gpt-realtime-2.1",
        ),
        (
            json!({ "model": "gpt-realtime-2.1", "session": { "model": "x", "instructions": "Be brief." } }),
            "gpt-realtime-2.1",
        ),
    ];
    for (mut body, model) in cases {
        body["sdp"] = SDP.into();
        let answer = offer(&relay, &[&authorization()], &body).await;
        assert_eq!(answer.status, 200, "{body}");
        let sent = session(&upstream.take_received()[0].body);
        assert_eq!(sent["model"], model, "{body}");
        assert_eq!(
            sent["instructions"], body["session"]["instructions"],
            "{body}"
        );
    }
}

#[tokio::test]
async fn what_is_not_an_offer_is_refused_with_a_reason() {
    let (upstream, relay) = pair().await;
    let without = |part: &str| {
        SDP.lines()
            .filter(|line| !line.starts_with(part))
            .map(|line| format!("{line}\r\n"))
            .collect::<String>()
    };
    let bodies = [
        String::new(),
        "{".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "\"v=0\"".to_owned(),
        SDP.to_owned(),
        json!({}).to_string(),
        json!({ "sdp": null }).to_string(),
        json!({ "sdp": 1 }).to_string(),
        json!({ "sdp": "" }).to_string(),
        json!({ "sdp": "hello" }).to_string(),
        json!({ "sdp": SDP, "model": 1 }).to_string(),
        json!({ "sdp": SDP, "token": {} }).to_string(),
        json!({ "sdp": SDP, "session": "x" }).to_string(),
        json!({ "sdp": format!("{SDP}nonsense\r\n") }).to_string(),
        json!({ "sdp": SDP.replace("v=0", "v=1") }).to_string(),
        json!({ "sdp": format!("{SDP}a=x\0y\r\n") }).to_string(),
        json!({ "sdp": without("m=") }).to_string(),
        json!({ "sdp": without("a=ice-ufrag") }).to_string(),
        json!({ "sdp": without("a=ice-pwd") }).to_string(),
        json!({ "sdp": without("a=fingerprint") }).to_string(),
    ];
    for body in bodies {
        let answer = post(relay.address(), "/offer", &[&authorization()], &body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "invalid_offer"),
            "{body}"
        );
        let message = answer.json()["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(message.len() > 20, "{body}: {message}");
        assert!(
            !message.contains("0123456789abcdefghijkl"),
            "the ICE password stays out"
        );
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn an_offer_over_64_kib_is_refused_with_413() {
    let (upstream, relay) = pair().await;
    let sdp = format!("{SDP}a=x:{}\r\n", "y".repeat(70_000));
    let answer = offer(&relay, &[&authorization()], &json!({ "sdp": sdp })).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "body_too_large")
    );
    assert!(answer.json()["message"].is_string());
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn errors_of_the_upstream_are_readable_by_a_person() {
    let (upstream, relay) = pair().await;
    let body = json!({ "sdp": SDP, "model": "gpt-0" });
    let answer = offer(&relay, &[&authorization()], &body).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (404, "model_not_found")
    );
    assert_eq!(answer.json()["message"], answer.json()["error"]["message"]);
    assert!(answer.header("x-request-id").is_some());
    upstream.push_script("status=502 html".parse().expect("a script"));
    let answer = offer(&relay, &[&authorization()], &json!({ "sdp": SDP })).await;
    assert_eq!(answer.status, 502);
    let message = answer.json()["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(
        message.contains("502") && !message.contains('<'),
        "{message}"
    );
    upstream.push_script("status=429 retry-after=7".parse().expect("a script"));
    let answer = offer(&relay, &[&authorization()], &json!({ "sdp": SDP })).await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (429, Some("7"))
    );
}

#[tokio::test]
async fn only_post_makes_an_offer() {
    let (_upstream, relay) = pair().await;
    let answer = get(relay.address(), "/offer", &[&authorization()]).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
}

#[tokio::test]
async fn an_offer_is_one_line_in_the_log_without_its_secrets() {
    let (_upstream, mut relay) = pair().await;
    offer(&relay, &[&authorization()], &json!({ "sdp": SDP })).await;
    let line = relay.line(|line| line["path"] == "/offer").await;
    assert_eq!(
        (&line["outcome"], &line["status"]),
        (&json!("completed"), &json!(200))
    );
    assert!(!relay.log_text().contains("0123456789abcdefghijkl"));
}

#[tokio::test]
async fn whoever_may_not_make_an_offer_hears_nothing_of_what_was_wrong_with_it() {
    let (upstream, relay) = pair().await;
    for body in ["", "{}", "not JSON", r#"{"sdp":"v=0\r\n"}"#] {
        let answer = post(relay.address(), "/offer", &[], body).await;
        assert_eq!(answer.status, 401, "{body}");
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_token_is_trimmed_and_a_blank_one_or_a_blank_model_counts_as_none() {
    let (upstream, relay) = pair().await;
    let token = format!(" {}\n", upstream.mint_ephemeral());
    let answer = offer(&relay, &[], &json!({ "sdp": SDP, "token": token })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = json!({ "sdp": SDP, "token": " ", "model": "" });
    let answer = offer(&relay, &[&authorization()], &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    upstream.take_received();
    let body = json!({ "sdp": SDP, "token": "ek_abc\u{7f}def" });
    let answer = offer(&relay, &[], &body).await;
    assert_eq!(answer.status, 401);
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn an_answer_of_the_upstreams_that_is_no_sdp_is_502() {
    let (upstream, mut relay) = pair().await;
    upstream.push_script("status=200".parse().expect("a script"));
    let answer = offer(&relay, &[&authorization()], &json!({ "sdp": SDP })).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (502, "upstream_broken")
    );
    relay
        .line(|line| line["outcome"] == "upstream_failed")
        .await;
}
