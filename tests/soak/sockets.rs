//! P43: a hundred thousand frames, talks in real time, and what sessions cost that say nothing.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::Row;
use crate::support::voice::{self, Pace};
use crate::support::ws::{Frame, PING, PONG, Socket};
use crate::support::{Relay, authorization, frames, pair, pair_with};

const FRAMES: usize = 100_000;
const IDLE: usize = 4000;
/// How long they say nothing while the relay's processor time is counted.
const QUIET: Duration = Duration::from_secs(60);

/// Talks at once.
const TALKS: usize = 20;

/// `talk`: how long everybody speaks.
pub async fn exact_and_idle(talk: Duration) -> Row {
    let (upstream, relay) = pair_with(&[("MAX_CONNECTIONS", "5000")]).await;
    let down = frames::exact(&upstream, open(&relay).await, FRAMES).await;
    drop((upstream, relay));
    let talks = talks(talk).await;
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
    let is_fine = talks.passed && each < 2048 && busy < 0.01;
    let measured = format!(
        "{FRAMES} frames up and {down} down, byte for byte; {}; {IDLE} idle sessions: {each} bytes each, {:.2} % of a core",
        talks.measured,
        busy * 100.0
    );
    Row::new(is_fine, measured)
}

/// Sound up in real time, and three seconds of speech down in a burst for each of the user's.
async fn talks(length: Duration) -> Row {
    let (upstream, relay) = pair().await;
    let seconds = usize::try_from(length.as_secs()).expect("a length");
    let began = relay.cpu();
    let mut tasks = JoinSet::new();
    for _ in 0..TALKS {
        let socket = open_with(&relay, "gpt-realtime-2.1", "speech=3000").await;
        tasks.spawn(voice::talk(socket, seconds, Pace::RealTime));
    }
    let talked = tasks.join_all().await;
    let busy = (relay.cpu() - began).as_secs_f64() / length.as_secs_f64();
    let mut seen = Vec::new();
    for at in 0..TALKS {
        seen.push(upstream.socket_until(at, |socket| !socket.open).await);
    }
    // Their ends come in any order.
    let is_same = |talk: &voice::Talked| {
        let mut ends = seen.iter();
        ends.any(|end| talk.up.is_same(&end.received.text) && talk.down.is_same(&end.sent.text))
    };
    let exact = talked.iter().filter(|talk| is_same(talk)).count();
    let up: u64 = talked.iter().map(|talk| talk.up.messages).sum();
    let answers: u64 = talked.iter().map(|talk| talk.answers).sum();
    let bytes: u64 = talked.iter().map(|talk| talk.down.bytes).sum();
    let measured = format!(
        "{TALKS} talks at once for {seconds} s, {exact} of them the same bytes at both ends: {up} appends of 100 ms up, \
         {answers} whole answers of 3 s down, {} MB, {:.1} % of a core",
        bytes / 1_000_000,
        busy * 100.0
    );
    Row::new(
        exact == TALKS && answers == (TALKS * seconds) as u64,
        measured,
    )
}

async fn open(relay: &Relay) -> Socket {
    open_with(relay, "m", "echo").await
}

async fn open_with(relay: &Relay, model: &str, script: &str) -> Socket {
    let target = format!("/v1/realtime?model={model}");
    let (key, script) = (authorization(), format!("X-Fake-Script: {script}"));
    let socket = Socket::open(relay.address(), &target, &[&key, &script]).await;
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
