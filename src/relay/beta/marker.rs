//! How a client says that it speaks the beta (wire.md 5.2 and 5.3). The upstream must not hear it:
//! either mark ends a session there, with code 4000.

use http::{HeaderName, header};

use crate::fields::{self, Fields};

const OPENAI_BETA: HeaderName = HeaderName::from_static("openai-beta");
/// In `OpenAI-Beta`, which other interfaces use as well.
const HEADER_MARK: &str = "realtime=v1";
/// In `Sec-WebSocket-Protocol`, from browsers.
const PROTOCOL_MARK: &str = "openai-beta.realtime-v1";

/// Whether a request asks for the beta.
pub(crate) fn is_marked(fields: &Fields) -> bool {
    fields::lists(fields, &OPENAI_BETA, HEADER_MARK)
        || fields::lists(fields, &header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL_MARK)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn is_marked_by(name: &HeaderName, lines: &[&'static str]) -> bool {
        let lines = lines.iter();
        let lines = lines.map(|line| (name.clone(), HeaderValue::from_static(line)));
        is_marked(&lines.collect())
    }

    #[test]
    fn the_beta_is_asked_for_in_a_header_or_a_subprotocol_among_others() {
        let protocols = header::SEC_WEBSOCKET_PROTOCOL;
        assert!(is_marked_by(&OPENAI_BETA, &["realtime=v1"]));
        assert!(is_marked_by(
            &OPENAI_BETA,
            &["x=1", "assistants=v2 ,Realtime=V1"]
        ));
        let browser = "realtime, openai-insecure-api-key.ek_1, openai-beta.realtime-v1";
        assert!(is_marked_by(&protocols, &[browser]));
        assert!(!is_marked_by(
            &OPENAI_BETA,
            &["assistants=v2, realtime=v12"]
        ));
        assert!(!is_marked_by(
            &protocols,
            &["realtime, openai-beta.realtime-v10"]
        ));
        assert!(!is_marked_by(&header::USER_AGENT, &["realtime=v1"]));
        assert!(!is_marked_by(&OPENAI_BETA, &[]));
    }
}
