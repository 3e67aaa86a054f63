//! An answer before it is written.

use bytes::Bytes;
use serde_json::Value;

/// Status, fields and body.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

/// What follows the head.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// One piece, with `Content-Length`.
    Whole(Bytes),
    /// Pieces, each its own chunk, written as soon as it is its turn.
    Chunks(Vec<Bytes>),
    /// Nothing, and no length either (204, 304).
    None,
}

impl Answer {
    /// An answer of this type.
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Answer {
        Answer {
            status,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body: Body::Whole(body.into()),
        }
    }

    /// A JSON answer.
    pub(crate) fn json(status: u16, body: &Value) -> Answer {
        Answer::new(status, "application/json", body.to_string())
    }

    /// 200 with JSON.
    pub(crate) fn ok(body: &Value) -> Answer {
        Answer::json(200, body)
    }

    /// 200 in pieces.
    pub(crate) fn chunks(content_type: &str, chunks: Vec<Bytes>) -> Answer {
        Answer {
            status: 200,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body: Body::Chunks(chunks),
        }
    }

    /// A stream of server-sent events; each text is one whole event with its empty line.
    pub(crate) fn events(events: Vec<String>) -> Answer {
        let chunks = events.into_iter().map(Bytes::from).collect();
        Answer::chunks("text/event-stream; charset=utf-8", chunks)
    }

    /// The same with one field more.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Answer {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// `data: …` and an empty line.
pub(crate) fn data(json: &Value) -> String {
    format!("data: {json}\n\n")
}

/// The same behind an `event:` line that repeats the object's `type`.
pub(crate) fn named(json: &Value) -> String {
    let name = json["type"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {json}\n\n")
}
