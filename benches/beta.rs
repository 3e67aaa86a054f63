//! What translating the retired beta costs the relay: processor time per event that a client sends
//! and the stand-in echoes, beside that of a session whose bytes go on as they come.
//!
//! `cargo bench --bench beta`. An event is counted once, although it is translated up and down.
//! That sound is not copied more than once is a matter of pointers: `src/relay/beta/tests/cost.rs`.

// A run may stop at once, and its tasks end with it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

#[path = "../tests/relay/support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::Duration;

use support::ws::{Frame, Frames, Socket, TEXT};
use support::{Relay, authorization, pair};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

/// What an event may cost more than in a session that is not translated.
const LIMIT: Duration = Duration::from_micros(30);
/// Events that are on their way at once.
const BATCH: usize = 50;
const PAYLOAD_TYPE: &str = "\"type\":\"";

/// Events of one sort.
struct Sort {
    name: &'static str,
    sent: String,
    /// The type that a beta client gets back.
    echoed: &'static str,
    batches: usize,
}

fn sorts() -> [Sort; 4] {
    let delta = |kind: &str, delta: &str| {
        format!(
            r#"{{"type":"{kind}","event_id":"event_1","response_id":"resp_1","item_id":"item_1","output_index":0,"content_index":0,"delta":"{delta}"}}"#
        )
    };
    let done = r#"{"type":"response.done","event_id":"event_1","response":{"object":"realtime.response","id":"resp_1","status":"completed","output":[{"id":"item_1","object":"realtime.item","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Hello"}]}],"output_modalities":["text"],"usage":{"total_tokens":3,"input_tokens":2,"output_tokens":1}}}"#;
    let sort = |name, sent, echoed, batches| Sort {
        name,
        sent,
        echoed,
        batches,
    };
    [
        sort(
            "passed",
            r#"{"type":"conversation.item.delete","item_id":"item_1"}"#.to_owned(),
            "conversation.item.delete",
            4000,
        ),
        sort(
            "renamed",
            delta("response.output_text.delta", "Hello"),
            "response.text.delta",
            4000,
        ),
        sort("rewritten", done.to_owned(), "response.done", 4000),
        // 200 ms of PCM.
        sort(
            "sound",
            delta("response.output_audio.delta", &"AAD/".repeat(3200)),
            "response.audio.delta",
            400,
        ),
    ]
}

async fn open(relay: &Relay, headers: &[&str]) -> (Frames, OwnedWriteHalf) {
    let key = authorization();
    let headers: Vec<&str> = [&key, "X-Fake-Script: echo"]
        .into_iter()
        .chain(headers.iter().copied())
        .collect();
    let target = "/v1/realtime?model=gpt-realtime-2.1";
    let socket = Socket::open(relay.address(), target, &headers).await;
    let socket = socket.unwrap_or_else(|no| panic!("refused: {}", no.text()));
    socket.into_halves()
}

/// The relay's processor time for one event; each comes back with this type.
async fn cost(relay: &Relay, headers: &[&str], sort: &Sort, echoed: &str) -> Duration {
    let (mut frames, mut writer) = open(relay, headers).await;
    let masked = Frame::whole(TEXT, sort.sent.as_str()).masked(*b"beta");
    let batch = masked.repeat(BATCH);
    let wanted = format!("{PAYLOAD_TYPE}{echoed}\"");
    let mut taken = Duration::ZERO;
    // The first batch warms up.
    for number in 0..=sort.batches {
        if number == 1 {
            taken = relay.cpu();
        }
        let writing = async { writer.write_all(&batch).await.expect("written") };
        let reading = async {
            for _ in 0..BATCH {
                let frame = frames.next().await.expect("an echo");
                assert!(frame.text().contains(&wanted), "{}", frame.text());
            }
        };
        tokio::join!(writing, reading);
    }
    let events = u32::try_from(sort.batches * BATCH).expect("small");
    (relay.cpu() - taken) / events
}

async fn run() -> bool {
    let (_upstream, relay) = pair().await;
    let mut all_passed = true;
    for sort in sorts() {
        let sent = sort.sent.split(PAYLOAD_TYPE).nth(1);
        let sent = sent
            .and_then(|rest| rest.split('"').next())
            .expect("a type");
        let plain = cost(&relay, &[], &sort, sent).await;
        let beta = cost(&relay, &["OpenAI-Beta: realtime=v1"], &sort, sort.echoed).await;
        let more = beta.saturating_sub(plain);
        let passed = more <= LIMIT;
        let verdict = if passed { "pass" } else { "FAIL" };
        println!(
            "{:9}  {verdict}  {:6} bytes: {plain:?} plain, {beta:?} translated: {more:?} more, at most {LIMIT:?}",
            sort.name,
            sort.sent.len()
        );
        all_passed &= passed;
    }
    all_passed
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    ExitCode::from(u8::from(!runtime.block_on(run())))
}
