//! The rows of sessions: where they go, how many, how long, how large.

use super::draft::put;
use super::limits::{count, size};
use super::row::{PLAIN, Row, Section};
use super::{BaseUrl, value};

const MILLISECONDS: &str =
    "milliseconds, or a number with ms, s, m or h, such as 30s; at most 168h; 0 for never";
const SECONDS: &str =
    "seconds, or a number with ms, s, m or h, such as 65m; at most 168h; 0 for never";

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
