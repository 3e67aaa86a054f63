//! How a client says that it speaks the beta (wire.md 5.2 and 5.3). Upstream, either mark ends a
//! session with code 4000.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Kind;
use crate::fields;

const OPENAI_BETA: HeaderName = HeaderName::from_static("openai-beta");
/// In `OpenAI-Beta`, which other interfaces use as well.
const HEADER_MARK: &str = "realtime=v1";
/// In `Sec-WebSocket-Protocol`, from browsers.
const PROTOCOL_MARK: &str = "openai-beta.realtime-v1";

/// Takes the beta's marks out of a request; whether there was one. Other items of the same lists
/// stay, in their order.
pub(crate) fn take(headers: &mut HeaderMap) -> bool {
    let in_header = take_item(headers, &OPENAI_BETA, HEADER_MARK);
    let in_protocols = take_item(headers, &header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL_MARK);
    in_header || in_protocols
}

fn take_item(headers: &mut HeaderMap, name: &HeaderName, mark: &str) -> bool {
    if !fields::lists(headers, name, mark) {
        return false;
    }
    let others: Vec<&[u8]> = fields::items(headers, name)
        .filter(|item| !item.is_empty() && !item.eq_ignore_ascii_case(mark.as_bytes()))
        .collect();
    let rest = HeaderValue::from_bytes(&others.join(&b", "[..]));
    headers.remove(name);
    // Items of valid lines make a valid line.
    if let Ok(rest) = rest
        && !rest.is_empty()
    {
        headers.insert(name, rest);
    }
    true
}

impl Kind {
    /// What the query of a WebSocket asks for: `intent=transcription`, or else a conversation.
    pub(crate) fn of_query(query: &str) -> Kind {
        let is_transcription = query.split('&').any(|pair| pair == "intent=transcription");
        if is_transcription {
            Kind::Transcription
        } else {
            Kind::Realtime
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(lines: &[(&HeaderName, &str)]) -> (bool, Vec<(String, String)>) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        let found = take(&mut headers);
        let left = headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned()))
            .collect();
        (found, left)
    }

    #[test]
    fn the_marks_are_taken_and_their_neighbours_stay() {
        let beta = &OPENAI_BETA;
        let protocols = &header::SEC_WEBSOCKET_PROTOCOL;
        assert_eq!(taken(&[(beta, "realtime=v1")]), (true, vec![]));
        let (found, left) = taken(&[(beta, "assistants=v2 ,Realtime=V1"), (beta, "x=1,")]);
        assert!(found);
        assert_eq!(left, [("openai-beta".into(), "assistants=v2, x=1".into())]);
        let browser = "realtime, openai-insecure-api-key.ek_1, openai-beta.realtime-v1";
        let (found, left) = taken(&[(protocols, browser)]);
        assert!(found);
        let rest = "realtime, openai-insecure-api-key.ek_1";
        assert_eq!(left, [("sec-websocket-protocol".into(), rest.into())]);
    }

    #[test]
    fn a_request_without_a_mark_is_left_as_it_is() {
        let lines = [
            (&OPENAI_BETA, "assistants=v2,,  realtime=v12"),
            (
                &header::SEC_WEBSOCKET_PROTOCOL,
                "realtime ,openai-beta.realtime-v10",
            ),
            (&header::USER_AGENT, "realtime=v1"),
        ];
        let (found, left) = taken(&lines);
        assert!(!found);
        let expected: Vec<_> = lines
            .iter()
            .map(|(name, value)| (name.to_string(), (*value).to_owned()))
            .collect();
        assert_eq!(left, expected);
    }

    #[test]
    fn the_query_says_what_the_session_is() {
        for (query, kind) in [
            ("intent=transcription", Kind::Transcription),
            ("x=1&intent=transcription", Kind::Transcription),
            ("model=gpt-realtime", Kind::Realtime),
            ("model=intent=transcription", Kind::Realtime),
            ("intent=transcriptions", Kind::Realtime),
            ("", Kind::Realtime),
        ] {
            assert_eq!(Kind::of_query(query), kind, "{query}");
        }
    }
}
