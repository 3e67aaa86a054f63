//! One response, told event by event in OpenAI's order (wire.md 5.5).

mod bodies;

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::audio::{WORD, bytes_per_ms, encode, speech};
use super::conversation::{Conversation, Item, Tokens};
use super::event::server;
use super::reply::Reply;
use crate::state::State;

/// What a response is made from.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) reply: Reply,
    /// Whether it is spoken.
    pub(super) is_audio: bool,
    pub(super) format: Value,
    pub(super) voice: Value,
    /// A number, or `"inf"`.
    pub(super) max_output_tokens: Value,
    pub(super) metadata: Value,
    /// How long it is spoken, where that does not follow from the words; in milliseconds.
    pub(super) speech_ms: Option<usize>,
    pub(super) input: Tokens,
    /// What of the input an earlier response had.
    pub(super) cached: Tokens,
    /// Whether it becomes part of the session's conversation.
    pub(super) is_kept: bool,
    /// Whether its sound goes another way than its events (wire.md 6.4).
    pub(super) is_media_elsewhere: bool,
}

/// A response that is under way.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) id: String,
    pub(super) plan: Plan,
    item: String,
    call: String,
    before: Value,
    conversation: Value,
    pieces: Vec<String>,
    sound: Vec<u8>,
    steps: VecDeque<Step>,
    /// Pieces and bytes of sound that were told.
    told: (usize, usize),
    status: &'static str,
    reason: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Created,
    ItemAdded,
    InConversation,
    PartAdded,
    Piece,
    Sound,
    SoundDone,
    PiecesDone,
    PartDone,
    ItemDone,
    OutputDone,
    Playing,
    Played,
    Done,
    Limits,
}

/// Sound per delta, in milliseconds.
const DELTA: usize = WORD;

impl Response {
    pub(super) fn new(state: &State, conversation: &Conversation, plan: Plan) -> Response {
        let whole = match &plan.reply {
            Reply::Message(text) => text,
            Reply::Call { arguments, .. } => arguments,
        };
        let mut pieces: Vec<String> = whole.split_inclusive(' ').map(str::to_owned).collect();
        let is_spoken = plan.is_audio && matches!(plan.reply, Reply::Message(_));
        let limit = plan.max_output_tokens.as_u64().map(|limit| limit as usize);
        let per_word = if is_spoken { 1 + WORD / 50 } else { 1 };
        let is_cut = limit.is_some_and(|limit| pieces.len() > limit / per_word);
        if let Some(limit) = limit {
            pieces.truncate(limit / per_word);
        }
        let ms = plan.speech_ms.unwrap_or(pieces.len() * WORD);
        let sound = match is_spoken {
            true => speech(&pieces.concat(), ms * bytes_per_ms(&plan.format)),
            false => Vec::new(),
        };
        let mut response = Response {
            id: state.id("resp_"),
            item: state.id("item_"),
            call: state.id("call_"),
            before: Value::Null,
            conversation: match plan.is_kept {
                true => json!(conversation.id),
                false => Value::Null,
            },
            pieces,
            sound,
            steps: VecDeque::new(),
            told: (0, 0),
            status: if is_cut { "incomplete" } else { "completed" },
            reason: is_cut.then_some("max_output_tokens"),
            plan,
        };
        response.steps = response.all_steps(ms);
        response
    }

    fn all_steps(&self, ms: usize) -> VecDeque<Step> {
        let is_message = matches!(self.plan.reply, Reply::Message(_));
        let is_spoken = !self.sound.is_empty();
        let mut steps = vec![Step::Created, Step::ItemAdded];
        steps.extend(self.plan.is_kept.then_some(Step::InConversation));
        steps.extend(is_message.then_some(Step::PartAdded));
        let plays = is_spoken && self.plan.is_media_elsewhere;
        let is_spoken = is_spoken && !plays;
        let sounds = if is_spoken { ms.div_ceil(DELTA) } else { 0 };
        steps.extend(plays.then_some(Step::Playing));
        for at in 0..self.pieces.len().max(sounds) {
            steps.extend((at < self.pieces.len()).then_some(Step::Piece));
            steps.extend((at < sounds).then_some(Step::Sound));
        }
        steps.extend(is_spoken.then_some(Step::SoundDone));
        steps.push(Step::PiecesDone);
        steps.extend(is_message.then_some(Step::PartDone));
        steps.extend(self.plan.is_kept.then_some(Step::ItemDone));
        steps.extend([Step::OutputDone, Step::Done]);
        steps.extend(plays.then_some(Step::Played));
        steps.push(Step::Limits);
        steps.into()
    }

    /// Whether everything was told.
    pub(super) fn is_over(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether its end was told, if not its limits.
    pub(super) fn is_done(&self) -> bool {
        !self.steps.contains(&Step::Done)
    }

    /// Breaks off: what was told stays, the end follows.
    pub(super) fn cancel(&mut self, reason: &'static str) {
        self.steps
            .retain(|step| !matches!(step, Step::Piece | Step::Sound));
        self.status = "cancelled";
        self.reason = Some(reason);
    }

    /// Tells the next event.
    pub(super) fn tell(&mut self, state: &State, conversation: &mut Conversation) -> Option<Value> {
        let step = self.steps.pop_front()?;
        let (kind, body) = match step {
            Step::Created => (
                "response.created",
                json!({ "response": self.head("in_progress") }),
            ),
            Step::ItemAdded => (
                "response.output_item.added",
                self.output_item(&self.blank_item()),
            ),
            Step::InConversation => {
                let item = self.blank_item();
                self.before = conversation.push(Item::new(item.clone()));
                let body = json!({ "previous_item_id": self.before, "item": item });
                ("conversation.item.added", body)
            }
            Step::PartAdded => ("response.content_part.added", self.part("")),
            Step::Piece => self.piece(),
            Step::Sound => self.sound_delta(conversation),
            Step::SoundDone => ("response.output_audio.done", self.place()),
            Step::PiecesDone => self.pieces_done(),
            Step::PartDone => ("response.content_part.done", self.part(&self.text())),
            Step::ItemDone => {
                let item = self.item();
                self.finish(conversation, &item);
                let body = json!({ "previous_item_id": self.before, "item": item });
                ("conversation.item.done", body)
            }
            Step::OutputDone => ("response.output_item.done", self.output_item(&self.item())),
            Step::Playing => {
                self.told.1 = self.sound.len();
                ("output_audio_buffer.started", self.whose())
            }
            Step::Played => ("output_audio_buffer.stopped", self.whose()),
            Step::Done => ("response.done", json!({ "response": self.whole() })),
            Step::Limits => ("rate_limits.updated", self.limits()),
        };
        Some(server(state, kind, body))
    }

    fn text(&self) -> String {
        self.pieces[..self.told.0].concat()
    }

    fn piece(&mut self) -> (&'static str, Value) {
        let delta = json!(self.pieces[self.told.0]);
        self.told.0 += 1;
        if let Reply::Call { .. } = self.plan.reply {
            let kind = "response.function_call_arguments.delta";
            return (kind, self.in_call("delta", &delta));
        }
        let mut body = self.with("delta", delta);
        body["obfuscation"] = json!("Qe7");
        match self.plan.is_audio {
            true => ("response.output_audio_transcript.delta", body),
            false => ("response.output_text.delta", body),
        }
    }

    fn pieces_done(&self) -> (&'static str, Value) {
        let text = json!(self.text());
        match (&self.plan.reply, self.plan.is_audio) {
            (Reply::Call { name, .. }, _) => {
                let mut body = self.in_call("arguments", &text);
                body["name"] = json!(name);
                ("response.function_call_arguments.done", body)
            }
            (_, true) => {
                let kind = "response.output_audio_transcript.done";
                (kind, self.with("transcript", text))
            }
            (_, false) => ("response.output_text.done", self.with("text", text)),
        }
    }

    fn sound_delta(&mut self, conversation: &mut Conversation) -> (&'static str, Value) {
        let start = self.told.1;
        let end = start + DELTA * bytes_per_ms(&self.plan.format);
        self.told.1 = end.min(self.sound.len());
        let sound = &self.sound[start..self.told.1];
        // From here on the client may truncate it.
        if let Some(item) = conversation.item_mut(&self.item) {
            item.audio.extend_from_slice(sound);
            item.audio_ms = item.audio.len() / bytes_per_ms(&self.plan.format);
        }
        let delta = encode(sound);
        (
            "response.output_audio.delta",
            self.with("delta", json!(delta)),
        )
    }

    fn finish(&mut self, conversation: &mut Conversation, value: &Value) {
        let ms = self.told_ms();
        if let Some(item) = conversation.item_mut(&self.item) {
            item.value = value.clone();
            if self.plan.is_media_elsewhere {
                item.audio = self.sound[..self.told.1].to_vec();
                item.audio_ms = ms;
            } else if item.audio_ms < ms {
                item.value["content"][0]["transcript"] = json!("");
            }
        }
    }

    fn told_ms(&self) -> usize {
        self.told.1 / bytes_per_ms(&self.plan.format)
    }
}
