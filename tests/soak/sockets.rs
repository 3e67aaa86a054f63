//! P43: a hundred thousand frames, and what sessions cost that say nothing.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::Row;
use crate::support::ws::{Frame, PING, PONG, Socket};
use crate::support::{Relay, authorization, frames, pair_with};

const FRAMES: usize = 100_000;
const IDLE: usize = 4000;
/// How long they say nothing while the relay's processor time is counted.
const QUIET: Duration = Duration::from_secs(60);

pub async fn exact_and_idle() -> Row {
    let (upstream, relay) = pair_with(&[("MAX_CONNECTIONS", "5000")]).await;
    let down = frames::exact(&upstream, open(&relay).await, FRAMES).await;
    drop((upstream, relay));
    let (_upstream, relay) = pair_with(&[("MAX_CONNECTIONS", "5000")]).await;
    // What the first ones bring with them is not theirs.
    drop(sockets(&relay, 100).await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = relay.memory();
    let idle = sockets(&relay, IDLE).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let each = relay.memory().saturating_sub(before) / IDLE as u64;
    let began = relay.cpu();
    // All of them answer the stand-in's pings, every 20 s as OpenAI's.
    tokio::time::sleep(QUIET).await;
    let busy = (relay.cpu() - began).as_secs_f64() / QUIET.as_secs_f64();
    drop(idle);
    let is_fine = each < 2048 && busy < 0.01;
    let measured = format!(
        "{FRAMES} frames up and {down} down, byte for byte; {IDLE} idle sessions: {each} bytes each, {:.2} % of a core",
        busy * 100.0
    );
    Row::new(is_fine, measured)
}

async fn open(relay: &Relay) -> Socket {
    let key = authorization();
    let headers = [&key, "X-Fake-Script: echo"];
    let socket = Socket::open(relay.address(), "/v1/realtime?model=m", &headers).await;
    socket.unwrap_or_else(|no| panic!("refused: {}", no.text()))
}

/// Sockets that do nothing but answer pings.
async fn sockets(relay: &Relay, count: usize) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for _ in 0..count {
        let (mut frames, mut writer) = open(relay).await.into_halves();
        tasks.spawn(async move {
            while let Some(frame) = frames.next().await {
                if frame.opcode() == PING {
                    let pong = Frame::whole(PONG, frame.payload).masked(*b"idle");
                    if writer.write_all(&pong).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
    tasks
}
