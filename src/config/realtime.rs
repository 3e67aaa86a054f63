//! The rows of sessions: where they go, how many, how long, how large.

use super::draft::put;
use super::limits::{count, size};
use super::row::{PLAIN, Row, Section};
use super::{BaseUrl, Beta, value};

const MILLISECONDS: &str =
    "milliseconds, or a number with ms, s, m or h, such as 30s; at most 168h; 0 for never";
const SECONDS: &str =
    "seconds, or a number with ms, s, m or h, such as 65m; at most 168h; 0 for never";

const YES_NO: &str = "true, false, 1, 0, yes, no, on or off";

/// What sessions over WebSocket are and may be.
pub(super) const REALTIME: &[Row] = &[
    Row {
        name: "REALTIME_MODEL",
        default: "gpt-realtime-2.1-mini",
        accepts: "a model's name: letters, digits and -._:/",
        help: "The model of a Realtime session whose client names none.",
        section: Section::Realtime,
        set: |draft, text| put(&mut draft.config.realtime.model, value::model(text)),
        ..PLAIN
    },
    Row {
        name: "OPENAI_API_URL",
        accepts: "a wss or ws URL that ends with /v1/realtime, without user, query and fragment",
        help: "Where Realtime sockets go, if not to `OPENAI_BASE_URL`.",
        section: Section::Realtime,
        set: |draft, text| {
            put(
                &mut draft.config.upstream.realtime_base,
                BaseUrl::parse_realtime(text).map(Some),
            )
        },
        ..PLAIN
    },
    Row {
        name: "REALTIME_BETA",
        default: "translate",
        accepts: "translate, ga or refuse",
        help: "What becomes of clients that speak the retired Realtime beta (`OpenAI-Beta: realtime=v1`, or the subprotocol \
               `openai-beta.realtime-v1`): `translate` makes their sessions GA and back, `ga` takes the marker away and leaves \
               the rest to the client, `refuse` answers as OpenAI does.",
        section: Section::Realtime,
        set: |draft, text| put(&mut draft.config.realtime.beta, beta(text)),
        ..PLAIN
    },
    Row {
        name: "MODEL_ALIASES",
        accepts: "pairs such as old-model=new-model, comma-separated",
        help: "Models that are replaced where a Realtime session or call, `/offer` or a chat route of `/api/v1` names them. The \
               retired Realtime previews stand for `REALTIME_MODEL` unless they are on this list.",
        section: Section::Realtime,
        set: |draft, text| put(&mut draft.config.realtime.aliases, aliases(text)),
        ..PLAIN
    },
    Row {
        name: "WS_COMPRESSION",
        default: "false",
        accepts: YES_NO,
        help: "Compress messages (permessage-deflate) towards clients that offer it, never towards OpenAI. Audio hardly shrinks, \
               and each message costs processor time.",
        section: Section::Realtime,
        set: |draft, text| put(&mut draft.config.realtime.compression, value::boolean(text)),
        ..PLAIN
    },
    Row {
        name: "MAX_CONNECTIONS",
        default: "1000",
        accepts: "a whole number above 0",
        help: "The most sessions (WebSockets) at once. Past it new ones are refused, and `/ready` says so.",
        section: Section::Realtime,
        set: |draft, text| put(&mut draft.config.realtime.max_sessions, count(text)),
        ..PLAIN
    },
    Row {
        name: "HEARTBEAT_INTERVAL",
        default: "30000",
        unit: "ms",
        accepts: MILLISECONDS,
        help: "How long the client or OpenAI may be silent on a session before the relay sends a ping. Who does not answer for as \
               long again is gone.",
        section: Section::Realtime,
        set: |draft, text| {
            put(
                &mut draft.config.realtime.heartbeat,
                value::milliseconds(text),
            )
        },
        ..PLAIN
    },
    Row {
        name: "INACTIVITY_TIMEOUT",
        default: "300000",
        unit: "ms",
        accepts: MILLISECONDS,
        help: "How long a session with a model may go without a message in either direction; then it is closed. Pings do not count. \
               Sidebands, transcriptions and sockets outside Realtime are left to OpenAI's own limits.",
        section: Section::Realtime,
        set: |draft, text| {
            put(
                &mut draft.config.realtime.inactivity,
                value::milliseconds(text),
            )
        },
        ..PLAIN
    },
    Row {
        name: "SESSION_TIMEOUT",
        default: "65m",
        unit: "s",
        accepts: SECONDS,
        help: "The longest session, however busy. OpenAI itself ends Realtime sessions after 60 minutes.",
        section: Section::Realtime,
        set: |draft, text| put(&mut draft.config.realtime.session, value::duration(text)),
        ..PLAIN
    },
    Row {
        name: "MAX_MESSAGE_BYTES",
        default: "32MiB",
        accepts: "bytes, or a number with KiB, MiB or GiB, such as 32MiB",
        help: "The largest message on a session, either way; past it the session is closed with 1009. One audio append may be 15 MiB \
               before base64.",
        section: Section::Realtime,
        set: |draft, text| put(&mut draft.config.realtime.max_message_bytes, size(text)),
        ..PLAIN
    },
];

fn beta(text: &str) -> Result<Beta, String> {
    match text.to_ascii_lowercase().as_str() {
        "translate" => Ok(Beta::Translate),
        "ga" => Ok(Beta::Ga),
        "refuse" => Ok(Beta::Refuse),
        _ => Err("is none of them".to_owned()),
    }
}

/// Pairs of models.
fn aliases(text: &str) -> Result<Vec<(String, String)>, String> {
    let pairs = text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty());
    let read = |pair: &str| {
        let (old, new) = pair.split_once('=').ok_or("has a pair without =")?;
        let model = |text: &str| match text.trim() {
            "" => Err("has a pair without a model on one side".to_owned()),
            text => value::model(text),
        };
        Ok((model(old)?, model(new)?))
    };
    pairs.map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_pairs_of_models() {
        let pair = |old: &str, new: &str| (old.to_owned(), new.to_owned());
        assert_eq!(
            aliases("a=b, c-1 = d:2,"),
            Ok(vec![pair("a", "b"), pair("c-1", "d:2")])
        );
        for text in ["a", "a=", "=b", "a b=c"] {
            assert!(aliases(text).is_err(), "{text}");
        }
    }
}
