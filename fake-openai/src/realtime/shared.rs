//! Sessions that several sockets share: calls whose media is elsewhere, and the sidebands that
//! watch and steer them (wire.md 6.2, 8).

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::event::{Fault, invalid, object, server};
use crate::state::State;
use crate::ws::{Ear, Message, Outbox, Overheard, Said, Session};

/// How an interface tells an error.
pub(super) type Tell = fn(&State, &Fault) -> Value;

/// How many events a sideband may lag behind, and how many commands may wait.
const EVENTS: usize = 4096;
const COMMANDS: usize = 64;

/// The way to a session that is shared.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    commands: mpsc::Sender<Message>,
    events: broadcast::Sender<Said>,
    config: watch::Receiver<Value>,
    end: CancellationToken,
}

/// The session's own end of it.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) commands: Ear,
    pub(super) events: broadcast::Sender<Said>,
    pub(super) config: watch::Sender<Value>,
}

impl Shared {
    /// Both ends for a session with that configuration.
    pub(super) fn new(config: Value) -> (Shared, Host) {
        let (command_sender, commands) = mpsc::channel(COMMANDS);
        let (events, _) = broadcast::channel(EVENTS);
        let (config_sender, config) = watch::channel(config);
        let shared = Shared {
            commands: command_sender,
            events: events.clone(),
            config,
            end: CancellationToken::new(),
        };
        let host = Host {
            commands: Ear::Commands(commands),
            events,
            config: config_sender,
        };
        (shared, host)
    }

    /// Ends the session, and with it its sidebands.
    pub(crate) fn end(&self) {
        self.end.cancel();
    }

    /// A socket that watches and steers. `hello`: the first event's type; `forbidden`: events that
    /// only the session's own client may send. `tell`: how the interface tells errors.
    pub(super) fn attach(
        &self,
        state: Arc<State>,
        hello: &'static str,
        forbidden: &'static [&'static str],
        tell: Tell,
    ) -> Attached {
        Attached {
            state,
            hello,
            forbidden,
            tell,
            commands: self.commands.clone(),
            events: Ear::Events(self.events.subscribe()),
            config: self.config.clone(),
        }
    }
}

/// Serves a session that has no socket of its own, until it closes or is ended.
pub(super) fn serve_alone<S>(state: &Arc<State>, mut session: S, config: fn(&S) -> Value) -> Shared
where
    S: Session + 'static,
{
    let (shared, mut host) = Shared::new(config(&session));
    let end = shared.end.clone();
    let (life, pause) = (state.session_length, state.chunk_delay);
    state.spawn(async move {
        let mut out = Outbox::default();
        let mut deadline = Instant::now() + life;
        loop {
            for said in out.take() {
                let is_close = matches!(said, Said::Close(_));
                // Nobody may be watching.
                let _ = host.events.send(said);
                if is_close {
                    return;
                }
            }
            tokio::select! {
                biased;
                () = end.cancelled() => return,
                heard = host.commands.next() => match heard {
                    Overheard::Command(message) => {
                        session.hear(&message, &mut out);
                        host.config.send_replace(config(&session));
                    }
                    _ => return,
                },
                () = tokio::time::sleep_until(deadline) => {
                    session.expire(&mut out);
                    deadline += life;
                }
                () = tokio::time::sleep(pause), if session.speaks() => session.speak(&mut out),
            }
        }
    });
    shared
}

/// A sideband: hears what the session says, and passes on what its client wants.
pub(super) struct Attached {
    state: Arc<State>,
    hello: &'static str,
    forbidden: &'static [&'static str],
    tell: Tell,
    commands: mpsc::Sender<Message>,
    events: Ear,
    config: watch::Receiver<Value>,
}

impl Attached {
    fn refuse(&self, message: &Message, code: &str, why: &str, out: &mut Outbox) {
        let body = object(message).unwrap_or_default();
        let event_id = body.get("event_id").and_then(Value::as_str);
        let fault = Fault::new(invalid(code, why), event_id.map(str::to_owned));
        out.event(&(self.tell)(&self.state, &fault));
    }
}

impl Session for Attached {
    fn open(&mut self, out: &mut Outbox) {
        let body = json!({ "session": *self.config.borrow() });
        out.event(&server(&self.state, self.hello, body));
    }

    fn hear(&mut self, message: &Message, out: &mut Outbox) {
        let body = object(message).unwrap_or_default();
        let kind = body.get("type").and_then(Value::as_str).unwrap_or_default();
        if self.forbidden.contains(&kind) {
            let why = format!("The event '{kind}' is for the session's own connection.");
            self.refuse(message, "invalid_event", &why, out);
        } else if self.commands.try_send(message.clone()).is_err() {
            self.refuse(message, "slow_down", "Too many commands wait.", out);
        }
    }

    fn ear(&mut self) -> Option<&mut Ear> {
        Some(&mut self.events)
    }

    fn overhear(&mut self, heard: Overheard, out: &mut Outbox) {
        match heard {
            Overheard::Event(said) => out.repeat(said),
            Overheard::Command(_) => {}
            Overheard::Lost => out.close(1011, "The sideband fell behind."),
            Overheard::End => out.close(1000, ""),
        }
    }

    fn expire(&mut self, _: &mut Outbox) {
        // The session itself ends, not its sidebands.
    }
}
