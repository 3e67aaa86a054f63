//! What sockets cost: readers that stall, and descriptors that run out.

use std::time::Instant;

use super::echoing;
use crate::support::ws::{Socket, upgrade};
use crate::support::{
    Connection, RELAY_TOKEN, Relay, SERVER_KEY, authorization, eventually, get, pair, trust,
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
