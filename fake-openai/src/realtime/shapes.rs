//! What clients of the GA interface may send (the public specification's `RealtimeClientEvent`s
//! and `RealtimeSessionCreateRequestGA`); beta's flat fields are unknown here.

use super::shape::Shape::{
    Any, Either, Flag, Free, Integer, List, Nullable, Number, Object, OneOf, Short, Tagged, Text,
};
use super::shape::{Field, Shape, may, need};

const EVENT_ID: Field = may("event_id", Short(512));
const TYPE: Field = need("type", Text);
const MANY: i64 = i64::MAX;

/// Each event of the GA interface with its fields.
pub(super) const EVENTS: [(&str, &[Field]); 11] = [
    ("session.update", &[EVENT_ID, TYPE, need("session", Free)]),
    (
        "input_audio_buffer.append",
        &[EVENT_ID, TYPE, need("audio", Text)],
    ),
    ("input_audio_buffer.commit", &[EVENT_ID, TYPE]),
    ("input_audio_buffer.clear", &[EVENT_ID, TYPE]),
    ("output_audio_buffer.clear", &[EVENT_ID, TYPE]),
    (
        "conversation.item.create",
        &[
            EVENT_ID,
            TYPE,
            may("previous_item_id", Nullable(&Text)),
            need("item", ITEM),
        ],
    ),
    (
        "conversation.item.delete",
        &[EVENT_ID, TYPE, need("item_id", Text)],
    ),
    (
        "conversation.item.retrieve",
        &[EVENT_ID, TYPE, need("item_id", Text)],
    ),
    (
        "conversation.item.truncate",
        &[
            EVENT_ID,
            TYPE,
            need("item_id", Text),
            need("content_index", Integer(0, 0)),
            need("audio_end_ms", Integer(0, MANY)),
        ],
    ),
    (
        "response.create",
        &[EVENT_ID, TYPE, may("response", Nullable(&RESPONSE))],
    ),
    (
        "response.cancel",
        &[EVENT_ID, TYPE, may("response_id", Nullable(&Text))],
    ),
];

/// `session` of a `session.update` in a conversation.
pub(super) const REALTIME: [Field; 14] = [
    need("type", OneOf(&["realtime"])),
    may("model", Text),
    may("output_modalities", MODALITIES),
    may("instructions", Text),
    may(
        "audio",
        Object(&[may("input", INPUT), may("output", OUTPUT)]),
    ),
    may("include", INCLUDE),
    may("tracing", TRACING),
    may("tools", TOOLS),
    may("tool_choice", TOOL_CHOICE),
    may("parallel_tool_calls", Flag),
    may("reasoning", REASONING),
    may("max_output_tokens", MAX_TOKENS),
    may("truncation", TRUNCATION),
    may("prompt", PROMPT),
];

/// The same in a session that only transcribes.
pub(super) const TRANSCRIPTION: [Field; 3] = [
    need("type", OneOf(&["transcription"])),
    may("audio", Object(&[may("input", INPUT)])),
    may("include", INCLUDE),
];

const RESPONSE: Shape = Object(&[
    may("output_modalities", MODALITIES),
    may("instructions", Text),
    may("audio", Object(&[may("output", OUTPUT)])),
    may("tools", TOOLS),
    may("tool_choice", TOOL_CHOICE),
    may("parallel_tool_calls", Flag),
    may("reasoning", REASONING),
    may("max_output_tokens", MAX_TOKENS),
    may("conversation", OneOf(&["auto", "none"])),
    may("metadata", Nullable(&Free)),
    may("prompt", PROMPT),
    may("input", List(&ITEM_OR_REFERENCE)),
]);

const MODALITIES: Shape = List(&OneOf(&["text", "audio"]));
const INCLUDE: Shape = Nullable(&List(&OneOf(&["item.input_audio_transcription.logprobs"])));
const MAX_TOKENS: Shape = Either(&[Integer(1, 4096), OneOf(&["inf"])]);
const REASONING: Shape = Nullable(&Object(&[may("effort", Text)]));

const INPUT: Shape = Object(&[
    may("format", FORMAT),
    may("transcription", TRANSCRIBER),
    may(
        "noise_reduction",
        Nullable(&Object(&[need(
            "type",
            OneOf(&["near_field", "far_field"]),
        )])),
    ),
    may("turn_detection", TURN_DETECTION),
]);

const OUTPUT: Shape = Object(&[
    may("format", FORMAT),
    may("voice", VOICE),
    may("speed", Number(0.25, 1.5)),
]);

const FORMAT: Shape = Tagged(&[
    ("audio/pcm", &[TYPE, may("rate", Integer(24_000, 24_000))]),
    ("audio/pcmu", &[TYPE]),
    ("audio/pcma", &[TYPE]),
]);

const VOICE: Shape = Either(&[
    OneOf(&[
        "alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse",
    ]),
    Object(&[need("id", Text)]),
]);

/// Models that turn the user's sound into text.
pub(super) const TRANSCRIBER: Shape = Nullable(&Object(&[
    may(
        "model",
        OneOf(&[
            "whisper-1",
            "gpt-transcribe",
            "gpt-live-transcribe",
            "gpt-4o-mini-transcribe",
            "gpt-4o-mini-transcribe-2025-12-15",
            "gpt-4o-transcribe",
            "gpt-4o-transcribe-diarize",
            "gpt-realtime-whisper",
        ]),
    ),
    may("language", Nullable(&Text)),
    may("languages", List(&Text)),
    may("keywords", List(&Text)),
    may("prompt", Nullable(&Text)),
    may("delay", Text),
]));

const TURN_DETECTION: Shape = Nullable(&Tagged(&[
    (
        "server_vad",
        &[
            TYPE,
            may("threshold", Number(0.0, 1.0)),
            may("prefix_padding_ms", Integer(0, MANY)),
            may("silence_duration_ms", Integer(0, MANY)),
            may("idle_timeout_ms", Nullable(&Integer(5000, 30_000))),
            may("create_response", Flag),
            may("interrupt_response", Flag),
        ],
    ),
    (
        "semantic_vad",
        &[
            TYPE,
            may("eagerness", OneOf(&["low", "medium", "high", "auto"])),
            may("create_response", Flag),
            may("interrupt_response", Flag),
        ],
    ),
]));

const TRACING: Shape = Nullable(&Either(&[
    OneOf(&["auto"]),
    Object(&[
        may("workflow_name", Text),
        may("group_id", Text),
        may("metadata", Free),
    ]),
]));

const TOOLS: Shape = List(&Tagged(&[
    (
        "function",
        &[
            TYPE,
            need("name", Text),
            may("description", Text),
            may("parameters", Free),
            may("strict", Nullable(&Flag)),
        ],
    ),
    (
        "mcp",
        &[
            TYPE,
            need("server_label", Text),
            may("server_url", Text),
            may("connector_id", Text),
            may("server_description", Text),
            may("authorization", Text),
            may("headers", Nullable(&Free)),
            may("allowed_tools", Any),
            may("require_approval", Any),
        ],
    ),
]));

const TOOL_CHOICE: Shape = Either(&[
    OneOf(&["none", "auto", "required"]),
    Tagged(&[
        ("function", &[TYPE, need("name", Text)]),
        (
            "mcp",
            &[
                TYPE,
                need("server_label", Text),
                may("name", Nullable(&Text)),
            ],
        ),
    ]),
]);

const TRUNCATION: Shape = Either(&[
    OneOf(&["auto", "disabled"]),
    Object(&[
        need("type", OneOf(&["retention_ratio"])),
        need("retention_ratio", Number(0.0, 1.0)),
        may(
            "token_limits",
            Object(&[may("post_instructions", Integer(0, MANY))]),
        ),
    ]),
]);

const PROMPT: Shape = Nullable(&Object(&[
    need("id", Text),
    may("version", Nullable(&Text)),
    may("variables", Nullable(&Free)),
]));

const ID: Field = may("id", Short(512));
const OBJECT: Field = may("object", OneOf(&["realtime.item"]));
const STATUS: Field = may("status", OneOf(&["completed", "incomplete", "in_progress"]));

const MESSAGE: &[Field] = &[
    ID,
    OBJECT,
    STATUS,
    TYPE,
    need("role", OneOf(&["user", "assistant", "system"])),
    need("content", List(&Free)),
];
const CALL: &[Field] = &[
    ID,
    OBJECT,
    STATUS,
    TYPE,
    may("call_id", Text),
    need("name", Text),
    need("arguments", Text),
];
const CALL_OUTPUT: &[Field] = &[
    ID,
    OBJECT,
    STATUS,
    TYPE,
    need("call_id", Text),
    need("output", Text),
];

const ITEM: Shape = Tagged(&[
    ("message", MESSAGE),
    ("function_call", CALL),
    ("function_call_output", CALL_OUTPUT),
]);

const ITEM_OR_REFERENCE: Shape = Tagged(&[
    ("message", MESSAGE),
    ("function_call", CALL),
    ("function_call_output", CALL_OUTPUT),
    ("item_reference", &[TYPE, need("id", Text)]),
]);

/// The parts of a message, by its role.
pub(super) const CONTENT: [(&str, Shape); 3] = [
    ("user", List(&USER_PART)),
    ("assistant", List(&ASSISTANT_PART)),
    ("system", List(&TEXT_PART)),
];

const TEXT_PART: Shape = Tagged(&[("input_text", &[TYPE, need("text", Text)])]);
const USER_PART: Shape = Tagged(&[
    ("input_text", &[TYPE, need("text", Text)]),
    (
        "input_audio",
        &[
            TYPE,
            need("audio", Text),
            may("transcript", Nullable(&Text)),
        ],
    ),
    (
        "input_image",
        &[
            TYPE,
            need("image_url", Text),
            may("detail", OneOf(&["auto", "low", "high"])),
        ],
    ),
]);
const ASSISTANT_PART: Shape = Tagged(&[
    ("output_text", &[TYPE, need("text", Text)]),
    (
        "output_audio",
        &[TYPE, may("audio", Text), may("transcript", Nullable(&Text))],
    ),
]);
