//! A session that is shaped like a talk: sound goes up in pieces of 100 ms, answers come down in
//! bursts, faster than anybody could listen.

use std::fmt::Write as _;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fake_openai::{Tally, deterministic_bytes};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{mpsc, watch};

use super::ws::{CLOSE, Frame, Frames, PING, PONG, Socket, TEXT};

/// What an append holds: 100 ms of PCM with 16 bits at 24 kHz.
const APPEND_BYTES: usize = 4800;
const APPEND_TIME: Duration = Duration::from_millis(100);
/// Appends in a second, which is a turn of the stand-in's.
const TURN: usize = 10;

/// How fast the user speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as answers come: every other one is heard to its end, the rest is interrupted.
    Answered,
    /// A second in a second.
    RealTime,
}

/// Both directions of a session that has ended.
pub struct Talked {
    pub up: Said,
    pub down: Said,
    /// Answers that were spoken to their end.
    pub answers: u64,
}

/// The texts of one direction.
pub struct Said {
    pub messages: u64,
    pub bytes: u64,
    digest: Context,
}

impl Said {
    fn new() -> Said {
        Said {
            messages: 0,
            bytes: 0,
            digest: Context::new(&SHA256),
        }
    }

    /// These texts.
    pub fn of(texts: &[String]) -> Said {
        let mut said = Said::new();
        texts.iter().for_each(|text| said.add(text.as_bytes()));
        said
    }

    fn add(&mut self, text: &[u8]) {
        self.messages += 1;
        self.bytes += text.len() as u64;
        self.digest.update(text);
    }

    /// Whether the other end had exactly the same.
    pub fn is_same(&self, seen: &Tally) -> bool {
        let hash = self.digest.clone().finish();
        let sha256 = hash.as_ref().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        (self.messages, self.bytes, sha256) == (seen.messages, seen.bytes, seen.sha256())
    }
}

/// What has been heard so far.
#[derive(Clone, Copy, Default)]
struct Heard {
    /// Answers whose sound has begun.
    begun: usize,
    /// Answers that ended, interrupted ones included.
    done: usize,
}

/// An `input_audio_buffer.append` of so many bytes, different for each number.
pub fn append(number: usize, bytes: usize) -> String {
    let sound = STANDARD.encode(deterministic_bytes(number as u64 + 1, bytes));
    format!(r#"{{"type":"input_audio_buffer.append","audio":"{sound}"}}"#)
}

/// Talks for so many seconds of sound, closes, and listens to the end.
pub async fn talk(socket: Socket, seconds: usize, pace: Pace) -> Talked {
    let (frames, writer) = socket.into_halves();
    let (tell, heard) = watch::channel(Heard::default());
    let (pings, pongs) = mpsc::channel(16);
    let mouth = Mouth {
        writer,
        pongs,
        said: Said::new(),
    };
    let speaking = mouth.speak(seconds, pace, heard);
    let (up, (down, answers)) = tokio::join!(speaking, listen(frames, &tell, &pings));
    Talked { up, down, answers }
}

/// What comes, to the close frame; and how many answers were spoken to their end.
async fn listen(
    mut frames: Frames,
    tell: &watch::Sender<Heard>,
    pings: &mpsc::Sender<Vec<u8>>,
) -> (Said, u64) {
    let mut said = Said::new();
    let (mut answers, mut is_speaking) = (0, false);
    loop {
        let frame = frames.next().await.expect("a close frame at the end");
        match frame.opcode() {
            CLOSE => return (said, answers),
            PING => pings.send(frame.payload).await.expect("somebody answers"),
            TEXT => {
                said.add(&frame.payload);
                let event: Value = serde_json::from_slice(&frame.payload).expect("an event");
                match event["type"].as_str() {
                    Some("response.output_audio.delta") if !is_speaking => {
                        is_speaking = true;
                        tell.send_modify(|heard| heard.begun += 1);
                    }
                    Some("response.done") => {
                        is_speaking = false;
                        answers += u64::from(event["response"]["status"] == "completed");
                        tell.send_modify(|heard| heard.done += 1);
                    }
                    Some("error") => panic!("{event}"),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

/// The side of the client that speaks.
struct Mouth {
    writer: OwnedWriteHalf,
    pongs: mpsc::Receiver<Vec<u8>>,
    said: Said,
}

impl Mouth {
    async fn speak(
        mut self,
        seconds: usize,
        pace: Pace,
        mut heard: watch::Receiver<Heard>,
    ) -> Said {
        let mut clock = tokio::time::interval(APPEND_TIME);
        for turn in 1..=seconds {
            for number in 0..TURN {
                if pace == Pace::RealTime {
                    clock.tick().await;
                }
                let text = append(turn * TURN + number, APPEND_BYTES);
                self.said.add(text.as_bytes());
                self.send(&Frame::whole(TEXT, text)).await;
                while let Ok(ping) = self.pongs.try_recv() {
                    self.send(&Frame::whole(PONG, ping)).await;
                }
            }
            if pace == Pace::Answered {
                let is_answered = |heard: &Heard| match turn % 2 {
                    0 => heard.done >= turn,
                    _ => heard.begun >= turn,
                };
                heard.wait_for(is_answered).await.expect("an answer");
            }
        }
        // The last answer, whichever way it ends.
        heard
            .wait_for(|heard| heard.done >= seconds)
            .await
            .expect("an answer");
        self.send(&Frame::close(1000, "")).await;
        self.said
    }

    async fn send(&mut self, frame: &Frame) {
        let bytes = frame.masked(*b"talk");
        self.writer.write_all(&bytes).await.expect("written");
    }
}
