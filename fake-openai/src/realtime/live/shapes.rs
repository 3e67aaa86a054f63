//! What clients of the Live interface may send (wire.md 8; the official SDKs' `ClientEvent`s).

use crate::realtime::shape::Shape::{
    Any, Either, Flag, Free, Integer, List, Nullable, Object, OneOf, Short, Tagged, Text,
};
use crate::realtime::shape::{Field, Shape, may, need};

const EVENT_ID: Field = may("event_id", Nullable(&Short(512)));
const TYPE: Field = need("type", Text);
const APPEND: &[Field] = &[
    EVENT_ID,
    TYPE,
    need("content", Text),
    need("delegation_id", Nullable(&Text)),
];
const BARE: &[Field] = &[EVENT_ID, TYPE];
const SOUND: &[Field] = &[EVENT_ID, TYPE, need("audio", Text)];

/// Each event with its fields.
pub(super) const EVENTS: [(&str, &[Field]); 12] = [
    ("session.start", &[EVENT_ID, TYPE, need("session", START)]),
    ("session.update", &[EVENT_ID, TYPE, need("session", UPDATE)]),
    ("session.close", BARE),
    ("session.input_audio.append", SOUND),
    ("session.input_audio.mute", BARE),
    ("session.input_audio.unmute", BARE),
    ("session.instructions.append", APPEND),
    ("session.thinking.append", APPEND),
    ("session.commentary.append", APPEND),
    ("session.output_audio.fixture.play", SOUND),
    (
        "response.item.create",
        &[EVENT_ID, TYPE, need("item", Free)],
    ),
    ("response.create", BARE),
];

const START: Shape = Object(&[
    need("model", Text),
    may(
        "audio",
        Object(&[may("format", FORMAT), may("output", OUTPUT)]),
    ),
    may("instructions", Nullable(&Text)),
    may("input", List(&Free)),
    may("delegation", DELEGATION),
    may("store", Flag),
    may("triggers", List(&Free)),
    may("client", Free),
]);

const UPDATE: Shape = Object(&[may("delegation", DELEGATION), may("triggers", List(&Free))]);

const FORMAT: Shape = Tagged(&[
    (
        "audio/pcm",
        &[
            TYPE,
            need(
                "rate",
                Either(&[Integer(16_000, 16_000), Integer(24_000, 24_000)]),
            ),
        ],
    ),
    ("audio/pcmu", &[TYPE, may("rate", Integer(8000, 8000))]),
    ("audio/pcma", &[TYPE, may("rate", Integer(8000, 8000))]),
]);

const OUTPUT: Shape = Object(&[may("voice", Either(&[VOICES, Object(&[need("id", Text)])]))]);
const VOICES: Shape = OneOf(&[
    "alloy", "ash", "ballad", "beacon", "bossa", "cedar", "cinder", "coral", "delta", "echo",
    "gleam", "marin", "meridian", "quartz", "ripple", "sage", "shida", "shimmer", "stone", "tempo",
    "verse", "vesper", "willow",
]);

/// Who does what the model delegates: the client, or Responses. Decisions are not played here.
const DELEGATION: Shape = Nullable(&Tagged(&[
    ("client", &[TYPE, DELAY]),
    (
        "responses",
        &[
            TYPE,
            DELAY,
            may(
                "responses",
                Object(&[
                    may("model", Text),
                    may("instructions", Nullable(&Text)),
                    may("max_output_tokens", Any),
                    may("parallel_tool_calls", Any),
                    may("reasoning", Any),
                    may("service_tier", Any),
                    may("text", Any),
                    may("tool_choice", Any),
                    may("tools", List(&Free)),
                ]),
            ),
        ],
    ),
]));
const DELAY: Field = may("acknowledgement_delay_ms", Integer(0, i64::MAX));
