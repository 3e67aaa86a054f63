//! What sockets cost: readers that stall, and descriptors that run out.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use super::echoing;
use crate::support::ws::{CLOSE, CONTINUATION, Frame, Socket, TEXT, upgrade};
use crate::support::{
    Connection, RELAY_TOKEN, Relay, SERVER_KEY, authorization, eventually, get, pair, pair_with,
    trust,
};

const READERS: u64 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_reader_of_a_session_costs_64_kib_at_most() {
    let (upstream, relay) = pair().await;
    // What the first ones bring with them is not theirs.
    drop(stalled(&relay, 10).await);
    eventually("they are gone", || upstream.open_connections() == 0).await;
    let before = relay.settled_memory().await;
    let readers = stalled(&relay, READERS).await;
    let each = relay.settled_memory().await.saturating_sub(before) / READERS;
    assert!(each <= 64 * 1024, "{each} bytes each");
    drop(readers);
    trust::record_part(
        "P03",
        "sockets",
        &format!(
            "{READERS} stalled readers of sockets: {} KiB each",
            each / 1024
        ),
    );
}

/// Sockets whose upstream says much, read to the 101 and no further.
async fn stalled(relay: &Relay, count: u64) -> Vec<Connection> {
    let (key, script) = (authorization(), "X-Fake-Script: flood=1000x100000");
    let ask = upgrade("/v1/realtime?model=m", &[&key, script]);
    let mut readers = Vec::new();
    for _ in 0..count {
        let mut reader = Connection::open(relay.address()).await;
        reader.write(ask.as_bytes()).await;
        assert_eq!(reader.head().await.expect("a head").status, 101);
        readers.push(reader);
    }
    readers
}

/// P15: out of descriptors is survived.
#[tokio::test]
async fn sockets_that_take_the_last_descriptor_go_on_and_health_answers() {
    let upstream = crate::support::upstream().await;
    let base_url = upstream.base_url();
    let variables = [
        ("OPENAI_API_KEY", SERVER_KEY),
        ("OPENAI_BASE_URL", &base_url),
        ("RELAY_TOKEN", RELAY_TOKEN),
    ];
    let relay = Relay::start_with_files(512, &variables).await;
    let key = authorization();
    let headers = [&key, "X-Fake-Script: echo"];
    let mut sockets = Vec::new();
    let refused = loop {
        match Socket::open(relay.address(), "/v1/realtime?model=m", &headers).await {
            Ok(socket) => sockets.push(socket),
            Err(answer) => break answer,
        }
    };
    // Each takes two descriptors, its client's and its upstream's.
    let held = sockets.len();
    assert!(held > 100, "{held}, then {}", refused.text());
    assert!(matches!(refused.status, 502 | 503), "{}", refused.text());
    assert!(
        refused.header("retry-after").is_some(),
        "{}",
        refused.text()
    );
    let asked = Instant::now();
    assert_eq!(get(relay.address(), "/health", &[]).await.status, 200);
    let health = asked.elapsed().as_millis();
    for socket in &mut sockets {
        socket.say("still here").await;
        assert_eq!(socket.message().await.text(), "still here");
    }
    drop(sockets);
    eventually("they are gone", || upstream.open_connections() == 0).await;
    let mut again = echoing(&relay).await;
    again.say("back").await;
    assert_eq!(again.message().await.text(), "back");
    trust::record_part(
        "P15",
        "sockets",
        &format!(
            "{held} sockets at 512 descriptors, the next one refused: all go on, /health within {health} ms"
        ),
    );
}

/// P16: memory has a limit, also for sessions whose messages are read whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_read_whole_stay_within_the_memory_budget() {
    const BUDGET: u64 = 100 * 1024 * 1024;
    const CLIENTS: usize = 20;
    let (_upstream, relay) = pair_with(&[("MEMORY_BUDGET", "100MiB")]).await;
    let key = authorization();
    let headers = [&key, "OpenAI-Beta: realtime=v1", "X-Fake-Script: echo"];
    let target = "/v1/realtime?model=m";
    let mut small = open(&relay, target, &headers).await;
    let first = Frame {
        first: TEXT,
        payload: vec![b' '; 12 * 1024 * 1024],
    };
    let last = Frame::whole(CONTINUATION, "whole");
    let large = Bytes::from([first.masked(*b"mask"), last.masked(*b"mask")].concat());
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (mut frames, mut writer) = open(&relay, target, &headers).await.into_halves();
        let large = large.clone();
        clients.spawn(async move {
            let writing = async { writer.write_all(&large).await.is_ok() };
            let reading = async {
                while let Some(frame) = frames.next().await {
                    match frame.opcode() {
                        TEXT if frame.payload.ends_with(b"whole") => return true,
                        CLOSE => return false,
                        _ => {}
                    }
                }
                false
            };
            tokio::join!(writing, reading).1
        });
    }
    let (mut peak, mut whole) = (0, 0);
    while !clients.is_empty() {
        let look = Duration::from_millis(5);
        if let Ok(Some(client)) = tokio::time::timeout(look, clients.join_next()).await {
            whole += usize::from(client.expect("a client"));
        }
        peak = peak.max(relay.memory());
    }
    assert!(peak < BUDGET, "{} MiB", peak >> 20);
    assert!(whole > 0 && whole < CLIENTS, "{whole}");
    small.say(r#"{"type":"input_audio_buffer.clear"}"#).await;
    assert_eq!(small.event().await["type"], "input_audio_buffer.clear");
    let over = |line: &Value| line["client_close"] == 1013 && line["outcome"] == "refused";
    let refused = || relay.exchanges().iter().filter(|line| over(line)).count();
    eventually("all others are told", || refused() == CLIENTS - whole).await;
    trust::record_part(
        "P16",
        "sockets",
        &format!(
            "{CLIENTS} translated sessions with 12 MiB of a message each and a budget of 100 MiB: peak {} MiB, {} \
             closed with 1013, small messages pass",
            peak >> 20,
            CLIENTS - whole
        ),
    );
}

async fn open(relay: &Relay, target: &str, headers: &[&str]) -> Socket {
    let socket = Socket::open(relay.address(), target, headers).await;
    socket.unwrap_or_else(|no| panic!("refused: {}", no.text()))
}
