//! What a Live session hears, and says at the same time.

use serde_json::{Value, json};

use crate::errors::ApiError;
use crate::realtime::audio::{bytes_per_ms, decode, encode, speech};
use crate::realtime::event::invalid;

/// Sound is answered in frames of so many milliseconds.
const FRAME_MS: usize = 200;
/// Milliseconds between two transcripts, and between two reports of the usage.
const TRANSCRIPT_MS: usize = 1000;
const USAGE_MS: usize = 5000;

/// An event's type and its fields.
type Told = (&'static str, Value);

/// Both directions of a session's sound.
#[derive(Debug)]
pub(super) struct Sound {
    /// Bytes per millisecond of the format.
    rate: usize,
    heard: Vec<u8>,
    frames: usize,
    pub(super) is_muted: bool,
    /// What is played in place of the model's voice.
    fixture: Option<Vec<u8>>,
}

impl Sound {
    pub(super) fn new(format: &Value) -> Sound {
        Sound {
            rate: bytes_per_ms(format),
            heard: Vec::new(),
            frames: 0,
            is_muted: false,
            fixture: None,
        }
    }

    /// Sound that was heard and answered so far.
    pub(super) fn elapsed_ms(&self) -> usize {
        self.frames * FRAME_MS
    }

    /// All sound that was heard, the rest of a frame included.
    pub(super) fn seconds(&self) -> f64 {
        (self.elapsed_ms() + self.heard.len() / self.rate) as f64 / 1000.0
    }

    pub(super) fn hear(&mut self, audio: &str) -> Result<(), Box<ApiError>> {
        self.heard.extend(decode(audio, "audio")?);
        Ok(())
    }

    pub(super) fn play(&mut self, audio: &str) -> Result<(), Box<ApiError>> {
        self.check_no_fixture()?;
        self.fixture = Some(decode(audio, "audio")?);
        Ok(())
    }

    pub(super) fn check_no_fixture(&self) -> Result<(), Box<ApiError>> {
        if self.fixture.is_none() {
            return Ok(());
        }
        let message = "An audio fixture is active.";
        Err(Box::new(invalid("fixture_active", message)))
    }

    fn frame(&self) -> usize {
        FRAME_MS * self.rate
    }

    pub(super) fn speaks(&self) -> bool {
        self.fixture.is_some() || self.heard.len() >= self.frame()
    }

    /// The next frame of sound, with what belongs to it.
    pub(super) fn speak(&mut self) -> Vec<Told> {
        let frame = self.frame();
        if let Some(fixture) = &mut self.fixture {
            let size = frame.min(fixture.len());
            let piece: Vec<u8> = fixture.drain(..size).collect();
            let delta = (
                "session.output_audio.delta",
                json!({ "delta": encode(&piece) }),
            );
            if !fixture.is_empty() {
                return vec![delta];
            }
            self.fixture = None;
            return vec![delta, ("session.output_audio.fixture.played", json!({}))];
        }
        self.heard.drain(..frame);
        self.frames += 1;
        let end = self.elapsed_ms();
        let span = |from: usize, delta: &str| json!({ "delta": delta, "start_ms": end - from, "end_ms": end });
        let mut told = Vec::new();
        if !self.is_muted {
            let words = format!(" word{}", self.frames);
            let delta = encode(&speech(&words, frame));
            told.push(("session.output_audio.delta", span(FRAME_MS, &delta)));
            if end.is_multiple_of(TRANSCRIPT_MS) {
                let body = span(TRANSCRIPT_MS, &words);
                told.push(("session.input_transcript.delta", body.clone()));
                told.push(("session.output_transcript.delta", body));
            }
        }
        if end.is_multiple_of(USAGE_MS) {
            let usage = json!({ "usage": { "seconds": self.seconds() } });
            told.push(("session.usage.updated", usage));
        }
        told
    }
}
