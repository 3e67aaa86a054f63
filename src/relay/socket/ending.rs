//! How sessions end, and in which words each side hears of it.

use super::frame::Violation;
use super::watchdog::Side;
use crate::error::{Kind, Refusal};
use crate::telemetry::Outcome;

/// How a session ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// Close frames went both ways, or one did and the other side left.
    Closed,
    /// A side left without a close frame.
    Gone(Side),
    /// A side's connection broke.
    Broken(Side, std::io::Error),
    /// A side broke the protocol, or a limit of messages.
    Violated(Side, Violation),
    /// A side took next to nothing for too long.
    Stalled(Side),
    /// A side did not answer a ping.
    Silent(Side),
    /// There was no message for `INACTIVITY_TIMEOUT`.
    Inactive,
    /// It reached `SESSION_TIMEOUT`.
    Over,
    /// The client's credential was withdrawn.
    Revoked,
    /// There was no memory for a message.
    Overloaded,
    /// The relay shuts down.
    Drained,
    /// The relay's time is over, and there was no end between two messages.
    Cut,
}

/// Close codes as the clients of a path know them (contract section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codes {
    /// Under `/v1/`, OpenAI's own.
    OpenAi,
    /// On `/` and `/realtime`, as pages know them.
    Page,
}

impl Codes {
    pub(super) fn of(path: &str) -> Codes {
        if path.starts_with("/v1/") {
            Codes::OpenAi
        } else {
            Codes::Page
        }
    }

    fn draining(self) -> u16 {
        match self {
            Codes::OpenAi => 1012,
            Codes::Page => 1001,
        }
    }

    /// The code that says what this refusal says.
    pub(super) fn of_refusal(self, kind: Kind) -> u16 {
        let is_page = self == Codes::Page;
        match kind {
            Kind::Unauthorized if is_page => 1008,
            Kind::Unauthorized => 3000,
            Kind::Draining => self.draining(),
            Kind::CapacityReached | Kind::Overloaded if is_page => 1008,
            Kind::CapacityReached | Kind::Overloaded => 1013,
            Kind::BodyTooLarge => 1009,
            // As OpenAI (wire.md 5.4).
            Kind::BetaDisabled => 4000,
            _ if kind.status().is_client_error() => 1008,
            _ => 1011,
        }
    }

    /// The code for an upstream that refused with this status.
    pub(super) fn of_status(self, status: u16) -> u16 {
        match (self, status) {
            (Codes::OpenAi, 401) => 3000,
            (_, 401 | 403 | 429) => 1008,
            (Codes::OpenAi, 503) => 1013,
            _ => 1011,
        }
    }
}

/// What a side is told: a close code with its reason, and before it, where there is more to say, an
/// error.
pub(super) struct Words {
    pub(super) code: u16,
    pub(super) reason: &'static str,
    pub(super) error: Option<Refusal>,
}

fn words(code: u16, reason: &'static str) -> Words {
    Words {
        code,
        reason,
        error: None,
    }
}

fn explained(code: u16, reason: &'static str, kind: Kind, message: &'static str) -> Words {
    Words {
        code,
        reason,
        error: Some(Refusal::new(kind, message)),
    }
}

impl Ending {
    /// What the client is told; `None` where there is nobody to tell.
    pub(super) fn to_client(&self, codes: Codes) -> Option<Words> {
        Some(match self {
            Ending::Closed
            | Ending::Gone(Side::Client)
            | Ending::Broken(Side::Client, _)
            | Ending::Stalled(Side::Client)
            | Ending::Cut => return None,
            Ending::Violated(Side::Client, violation) => words(violation.code, violation.why),
            Ending::Silent(Side::Client) => words(1001, "no answer to a ping"),
            Ending::Gone(_) | Ending::Broken(..) => explained(
                1011,
                "the upstream broke off",
                Kind::UpstreamBroken,
                "OpenAI closed the connection without a word. Connect again.",
            ),
            Ending::Violated(..) => explained(
                1011,
                "the upstream broke off",
                Kind::UpstreamBroken,
                "OpenAI sent something that is not a WebSocket frame, or a message that is too large for this relay (MAX_MESSAGE_BYTES).",
            ),
            Ending::Stalled(_) => explained(
                1011,
                "the upstream stalled",
                Kind::UpstreamWriteTimeout,
                "OpenAI took no byte of the session for longer than OPENAI_WRITE_TIMEOUT.",
            ),
            Ending::Silent(_) => explained(
                1011,
                "the upstream is gone",
                Kind::UpstreamTimeout,
                "OpenAI did not answer a ping (HEARTBEAT_INTERVAL). Connect again.",
            ),
            Ending::Inactive => explained(
                1000,
                "inactivity timeout",
                Kind::SessionInactive,
                "No message went either way for INACTIVITY_TIMEOUT, so the relay closes the session.",
            ),
            Ending::Over => explained(
                1001,
                "session timeout",
                Kind::SessionOver,
                "The session has reached this relay's SESSION_TIMEOUT. Connect again.",
            ),
            Ending::Revoked => explained(
                codes.of_refusal(Kind::Unauthorized),
                "the credential was withdrawn",
                Kind::Unauthorized,
                "The credential that opened this session was withdrawn. Get a new one: log in again, or ask where it came from.",
            ),
            Ending::Overloaded => explained(
                codes.of_refusal(Kind::Overloaded),
                "the relay is short of memory",
                Kind::Overloaded,
                "This relay is close to its memory budget (MEMORY_BUDGET) and has no room for a message of this size. Connect again shortly.",
            ),
            Ending::Drained => words(codes.draining(), "the relay is shutting down"),
        })
    }

    /// What the upstream is told: nothing of the client's affairs but that it is over.
    pub(super) fn to_upstream(&self) -> Option<Words> {
        Some(match self {
            Ending::Closed
            | Ending::Gone(Side::Upstream)
            | Ending::Broken(Side::Upstream, _)
            | Ending::Stalled(Side::Upstream)
            | Ending::Silent(Side::Upstream)
            | Ending::Cut => return None,
            Ending::Violated(Side::Upstream, violation) => words(violation.code, violation.why),
            Ending::Inactive | Ending::Over | Ending::Revoked | Ending::Drained => words(1000, ""),
            _ => words(1001, ""),
        })
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Ending::Closed => Outcome::Completed,
            Ending::Gone(Side::Client)
            | Ending::Broken(Side::Client, _)
            | Ending::Silent(Side::Client) => Outcome::ClientGone,
            Ending::Violated(Side::Client, _) | Ending::Overloaded => Outcome::Refused,
            Ending::Stalled(Side::Client) => Outcome::Stalled,
            Ending::Gone(_)
            | Ending::Broken(..)
            | Ending::Violated(..)
            | Ending::Stalled(_)
            | Ending::Silent(_) => Outcome::UpstreamFailed,
            Ending::Inactive | Ending::Over => Outcome::Idle,
            Ending::Revoked => Outcome::Revoked,
            Ending::Drained | Ending::Cut => Outcome::Drained,
        }
    }

    /// What the operator should know beside the outcome.
    pub(super) fn cause(&self) -> Option<String> {
        let name = |side: &Side| match side {
            Side::Client => "the client",
            Side::Upstream => "the upstream",
        };
        Some(match self {
            Ending::Closed | Ending::Revoked | Ending::Drained => return None,
            Ending::Overloaded => "a message would not fit in MEMORY_BUDGET".to_owned(),
            Ending::Cut => "DRAIN_TIMEOUT was over".to_owned(),
            Ending::Gone(side) => format!("{} left without a close frame", name(side)),
            Ending::Broken(side, error) => format!("{}: {error}", name(side)),
            Ending::Violated(side, violation) => format!("{}: {}", name(side), violation.why),
            Ending::Stalled(side) => format!("{} took next to nothing for too long", name(side)),
            Ending::Silent(side) => format!("{} did not answer a ping", name(side)),
            Ending::Inactive => "no message for INACTIVITY_TIMEOUT".to_owned(),
            Ending::Over => "SESSION_TIMEOUT".to_owned(),
        })
    }
}
