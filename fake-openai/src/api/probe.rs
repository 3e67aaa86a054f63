//! Routes that no OpenAI has: to see what arrived, and to get exactly the answer that a test wants.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Request, socket};
use crate::errors;
use crate::record::Received;
use crate::wire::{Answer, Body};

/// How much of a recorded body is shown.
const SHOWN: usize = 4096;
const CHUNK: usize = 16 * 1024;

/// The same bytes for the same seed, without a pattern that compression or misordering could hide.
pub fn deterministic_bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64* (Marsaglia, Vigna).
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// `/v1/_fake/…`, with a good credential.
pub(super) fn probe(request: &Request<'_>, rest: &str) -> Answer {
    match rest.split_once('/') {
        Some(("status", status)) => status_answer(request, status),
        Some(("bytes", _)) => bytes_answer(request),
        _ => match rest {
            "bytes" => bytes_answer(request),
            "redirect" => Answer::new(302, "text/plain", "elsewhere")
                .with("location", "http://elsewhere.invalid/v1/models"),
            "informational" => Answer::ok(&json!({ "object": "after a hint" })),
            _ => echo(request),
        },
    }
}

fn echo(request: &Request<'_>) -> Answer {
    let records = request.state.records();
    let mine = records
        .iter()
        .rev()
        .find(|record| record.raw_head == request.head.raw);
    Answer::ok(&mine.map(describe).unwrap_or_default())
}

/// The last ones are kept: a hundred clients that ask for the same cost as much as one.
fn remembered_bytes(seed: u64, length: usize) -> Bytes {
    static LAST: Mutex<Option<(u64, Bytes)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    match &*last {
        Some((of, bytes)) if *of == seed && bytes.len() == length => bytes.clone(),
        _ => {
            let bytes = Bytes::from(deterministic_bytes(seed, length));
            *last = Some((seed, bytes.clone()));
            bytes
        }
    }
}

fn bytes_answer(request: &Request<'_>) -> Answer {
    let number = |name: &str| request.head.query(name).and_then(|text| text.parse().ok());
    let length: usize = number("n").unwrap_or(1024);
    let bytes = remembered_bytes(number("seed").unwrap_or(1) as u64, length);
    if request.head.query("chunked").is_none() {
        return Answer::new(200, "application/octet-stream", bytes);
    }
    let size = number("chunk").unwrap_or(CHUNK).max(1);
    let starts = (0..length).step_by(size);
    let chunks = starts
        .map(|at| bytes.slice(at..(at + size).min(length)))
        .collect();
    Answer::chunks("application/octet-stream", chunks)
}

fn status_answer(request: &Request<'_>, status: &str) -> Answer {
    let Some(status) = status
        .parse()
        .ok()
        .filter(|status| (200..=999).contains(status))
    else {
        return errors::bad_request("the status is not one").into();
    };
    let mut answer = Answer::new(status, "text/plain", format!("status {status}"));
    if matches!(status, 204 | 304) {
        answer.headers.clear();
        answer.body = Body::None;
    }
    if let Some((name, value)) = request
        .head
        .query("h")
        .as_deref()
        .and_then(|h| h.split_once(':'))
    {
        answer = answer.with(name, value);
    }
    answer
}

/// `/__fake/…`, without a credential.
pub(super) fn control(request: &Request<'_>, rest: &str) -> Answer {
    match (request.head.method.as_str(), rest) {
        ("GET", "received") => {
            let list: Vec<Value> = request.state.records().iter().map(describe).collect();
            Answer::ok(&json!(list))
        }
        ("GET", "connections") => {
            let open = request.state.open.load(std::sync::atomic::Ordering::SeqCst);
            let accepted = request
                .state
                .accepted
                .load(std::sync::atomic::Ordering::SeqCst);
            Answer::ok(&json!({ "open": open, "accepted": accepted }))
        }
        ("GET", "sockets") => {
            let list: Vec<Value> = request
                .state
                .sockets
                .all()
                .iter()
                .map(socket::describe)
                .collect();
            Answer::ok(&json!(list))
        }
        ("POST", "scripts") => match String::from_utf8_lossy(request.body).parse() {
            Ok(script) => {
                request.state.push_script(script);
                Answer::ok(&json!({}))
            }
            Err(why) => errors::bad_request(&why).into(),
        },
        ("POST", "reset") => {
            request.state.reset();
            Answer::ok(&json!({}))
        }
        (method, _) => errors::no_route(method, request.head.path()).into(),
    }
}

pub(super) fn describe(record: &Received) -> Value {
    // Names have no case: who asks for one should not miss it for its spelling.
    let fields = |list: &[(String, Vec<u8>)]| -> Vec<Value> {
        list.iter()
            .map(|(name, value)| json!([name.to_ascii_lowercase(), String::from_utf8_lossy(value)]))
            .collect()
    };
    let shown = &record.body[..record.body.len().min(SHOWN)];
    json!({
        "method": record.method,
        "target": record.target,
        "version": record.version,
        "headers": fields(&record.headers),
        "body": String::from_utf8_lossy(shown),
        "body_len": record.body_len,
        "body_sha256": record.body_sha256,
        "trailers": fields(&record.trailers),
        "chunked": record.chunked,
        "complete": record.complete,
        "connection": record.connection,
    })
}
