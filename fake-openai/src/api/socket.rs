//! Records of WebSockets in JSON, for tests outside the process.

use serde_json::{Value, json};

use super::probe;
use crate::ws::{Close, SocketRecord, Tally, Traffic};

/// Everything but the bytes themselves; of long lists the first items.
pub(super) fn describe(record: &SocketRecord) -> Value {
    json!({
        "request": probe::describe(&record.request),
        "subprotocols": record.subprotocols,
        "selected": record.selected,
        "extensions": record.extensions,
        "deflate_offered": record.deflate_offered,
        "received": traffic(&record.received),
        "sent": traffic(&record.sent),
        "violation": record.violation,
        "left": record.left,
        "open": record.open,
    })
}

fn traffic(traffic: &Traffic) -> Value {
    json!({
        "wire_bytes": traffic.wire_bytes,
        "frames": traffic.frames,
        "text": tally(&traffic.text),
        "binary": tally(&traffic.binary),
        "messages": traffic.texts(),
        "pings": payloads(&traffic.pings),
        "pongs": payloads(&traffic.pongs),
        "close": traffic.close.as_ref().map(close),
    })
}

fn tally(tally: &Tally) -> Value {
    json!({ "messages": tally.messages, "bytes": tally.bytes, "sha256": tally.sha256() })
}

fn payloads(list: &[Vec<u8>]) -> Vec<String> {
    let shown = list.iter().take(100);
    shown
        .map(|payload| crate::record::hexadecimal(payload))
        .collect()
}

fn close(close: &Close) -> Value {
    json!({ "code": close.code, "reason": close.reason })
}
