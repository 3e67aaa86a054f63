//! Farewell: a WebSocket that is opened only to say why there is none. Pages cannot read the
//! answer to a failed upgrade (contract section 4).

use std::future::poll_fn;
use std::time::Duration;

use serde_json::{Value, json};

use super::ending::{Codes, Words};
use super::frame::{Opcode, Sender, close_payload};
use super::handshake::Handshake;
use super::leg::Leg;
use crate::error::Refusal;
use crate::wire::{Answer, Link};

/// How long last words may take, their reading included.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(2);

/// An `error` event and a close.
pub struct Farewell {
    event: String,
    code: u16,
    reason: String,
}

impl Farewell {
    /// What a page on this path is told in place of this refusal's HTTP form.
    pub fn of_refusal(handshake: &Handshake, refusal: &Refusal, path: &str) -> Answer<Farewell> {
        handshake.switch(Farewell {
            event: refusal.to_socket_event(),
            code: Codes::of(path).of_refusal(refusal.kind()),
            reason: refusal.to_close_reason(),
        })
    }

    /// What a page is told in place of the upstream's own refusal: its error object, if it has one.
    pub(super) fn of_answer(
        handshake: &Handshake,
        codes: Codes,
        status: u16,
        body: &[u8],
    ) -> Answer<Farewell> {
        let body = serde_json::from_slice::<Value>(body).unwrap_or_default();
        let error = match body {
            Value::Object(mut body) => body.remove("error").filter(Value::is_object),
            _ => None,
        };
        let error = error.unwrap_or_else(|| {
            json!({
                "message": format!("OpenAI refused the connection with status {status}."),
                "type": "relay_error",
                "param": null,
                "code": "upstream_refused",
            })
        });
        handshake.switch(Farewell {
            event: json!({ "type": "error", "error": error }).to_string(),
            code: codes.of_status(status),
            reason: reason(&error),
        })
    }

    /// Says it, and waits for a moment until the client has read it.
    pub(super) async fn run(self, client: Link, head: Vec<u8>) {
        let mut leg = Leg::new(client);
        leg.begin(head);
        leg.say(Sender::Server, Opcode::Text, self.event.as_bytes());
        leg.say(
            Sender::Server,
            Opcode::Close,
            &close_payload(self.code, &self.reason),
        );
        let _ = tokio::time::timeout(LAST_WORDS, leg.finish()).await;
    }
}

/// `<error.type>.<error.code>`, as OpenAI's own (wire.md 5.4).
fn reason(error: &Value) -> String {
    let part = |name: &str| error[name].as_str().unwrap_or("error").to_owned();
    format!("{}.{}", part("type"), part("code"))
}

impl Leg {
    /// Queues what this side is told at the end. In mid-message there is no place for it.
    pub(super) fn tell(&mut self, role: Sender, words: &Words, is_at_message_end: bool) {
        if let Some(error) = words.error.as_ref().filter(|_| is_at_message_end) {
            self.say(role, Opcode::Text, error.to_socket_event().as_bytes());
        }
        self.say(
            role,
            Opcode::Close,
            &close_payload(words.code, words.reason),
        );
    }

    /// Writes what is queued, ends the relay's side, and reads until the other side ends too: a
    /// close with bytes unread is a reset, which may overtake what was written.
    pub(super) async fn finish(&mut self) {
        let is_written = poll_fn(|cx| self.poll_own(cx, LAST_WORDS)).await;
        if is_written.is_err() || poll_fn(|cx| self.poll_shutdown(cx)).await.is_err() {
            return;
        }
        loop {
            self.link.input.clear();
            match poll_fn(|cx| self.link.poll_fill(cx)).await {
                Ok(true) => {}
                Ok(false) | Err(_) => return,
            }
        }
    }
}
