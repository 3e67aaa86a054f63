//! Live over HTTP: whose each session is stands in the answer that makes it (wire.md 8).

use ::http::Method;

use super::Relay;
use super::body::Answered;
use super::exchange::Exchange;
use super::json::Object;
use super::secret::{read_answer, told};
use crate::error::Refusal;
use crate::family::decoded;
use crate::upstream::Reply;
use crate::wire::{Answer, Target};

/// The path of Live sessions, made by HTTP or opened as sockets.
pub(super) const SESSIONS: &str = "/v1/live/sessions";

/// Whether a request makes a Live session: a new one, or a fork of one.
pub(super) fn makes_session(method: &Method, target: &Target) -> bool {
    if method != Method::POST || !target.path().starts_with(b"/v1/") {
        return false;
    }
    let path = target.path_text();
    let path = decoded(&path);
    let Some(rest) = path.strip_prefix(SESSIONS) else {
        return false;
    };
    let rest = rest.trim_matches('/');
    rest.is_empty() || rest.ends_with("/fork")
}

/// The id of the session that a text of JSON is about.
pub(super) fn session_id(text: &[u8]) -> Option<String> {
    Object::parse(text)?.object("session")?.string("id")
}

impl Relay {
    /// The answer to a request that makes a session, whose id is noted.
    pub(super) async fn note_session(
        &self,
        mut exchange: Exchange,
        reply: Reply,
    ) -> Result<Answer<Answered>, Refusal> {
        let answer = read_answer(&mut exchange, reply).await?;
        if let Some(id) = session_id(&answer.body) {
            self.calls.note(exchange.principal(), &id).await;
        }
        Ok(told(exchange, answer))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn sessions_are_made_by_two_routes_however_they_are_written() {
        for (path, expected) in [
            ("/v1/live/sessions", true),
            ("/v1/live/sessions/", true),
            ("/v1/liv%65/sessions?x=y", true),
            ("/v1/live/sessions/live_1/fork", true),
            ("/v1/live/sessions/live_1/hangup", false),
            ("/v1/live/sessionsfork", false),
            ("/v1/realtime/calls", false),
        ] {
            let target = Target::new(Bytes::from(path));
            assert_eq!(makes_session(&Method::POST, &target), expected, "{path}");
            assert!(!makes_session(&Method::GET, &target), "{path}");
        }
    }
}
