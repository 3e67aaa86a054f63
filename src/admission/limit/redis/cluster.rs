//! Pure: which server of a cluster has which keys, by Redis' own rule and as the cluster tells it.

use std::ops::RangeInclusive;

use redis::Value;

/// How many slots the keys of a cluster are spread over.
const SLOTS: u16 = 16_384;
/// How many keys are looked at for one in a server's slots. Of servers with 16 slots one of 17,000 gets
/// none.
const TRIES: u32 = 10_000;

/// A server, by host (IPv6 without brackets) and port.
pub(super) type Address = (String, u16);
/// Slots, in pieces.
pub(super) type Slots = Vec<RangeInclusive<u16>>;

/// The slot of a key: CRC16 (XMODEM) of the key, or of what stands in its first braces.
pub(super) fn slot(key: &str) -> u16 {
    let braced = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'));
    let hashed = match braced {
        Some((tag, _)) if !tag.is_empty() => tag,
        _ => key,
    };
    let crc = hashed.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    });
    crc % SLOTS
}

/// The first of a key and its numbered siblings that lies in these slots. All relays find the same.
pub(super) fn key_in(slots: &Slots, key: &str) -> Option<String> {
    let siblings = (1..TRIES).map(|number| format!("{key}:{number}"));
    std::iter::once(key.to_owned())
        .chain(siblings)
        .find(|key| has(slots, slot(key)))
}

/// Whether a slot is among these.
pub(super) fn has(slots: &Slots, slot: u16) -> bool {
    slots.iter().any(|some| some.contains(&slot))
}

/// Reads the answer to `CLUSTER SLOTS`: each primary with its slots. Where a node does not know its own
/// name, it is the one that was asked.
pub(super) fn primaries(answer: &Value, asked: &str) -> Vec<(Address, Slots)> {
    let mut found: Vec<(Address, Slots)> = Vec::new();
    for piece in items(answer) {
        let [Value::Int(first), Value::Int(last), primary, ..] = items(piece) else {
            continue;
        };
        let (Ok(first), Ok(last)) = (u16::try_from(*first), u16::try_from(*last)) else {
            continue;
        };
        let Some(address) = address(primary, asked) else {
            continue;
        };
        match found.iter_mut().find(|(known, _)| *known == address) {
            Some((_, slots)) => slots.push(first..=last),
            None => found.push((address, vec![first..=last])),
        }
    }
    found
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        _ => &[],
    }
}

fn address(node: &Value, asked: &str) -> Option<Address> {
    let [host, Value::Int(port), ..] = items(node) else {
        return None;
    };
    let host = match host {
        Value::BulkString(host) => std::str::from_utf8(host).ok()?,
        Value::Nil => "",
        _ => return None,
    };
    let host = match host {
        "" | "0.0.0.0" | "::" => asked,
        "?" => return None,
        host => host,
    };
    Some((host.to_owned(), u16::try_from(*port).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lie_where_redis_puts_them() {
        // The first is the vector of the cluster specification.
        for (key, expected) in [
            ("123456789", 0x31c3),
            ("foo", 12_182),
            ("bar", 5061),
            ("{foo}bar", 12_182),
            ("a{foo}{bar}", 12_182),
            ("", 0),
        ] {
            assert_eq!(slot(key), expected, "{key}");
        }
        assert_ne!(slot("{}foo"), slot("{}bar"), "empty braces mean nothing");
    }

    #[test]
    fn every_server_has_a_key_of_its_own() {
        for first in (0..SLOTS).step_by(16) {
            let slots = vec![first..=first + 15];
            let key = key_in(&slots, "openai-relay:relays").expect("a key");
            assert!(has(&slots, slot(&key)), "{key}");
        }
        let all = vec![0..=SLOTS - 1];
        assert_eq!(key_in(&all, "k").as_deref(), Some("k"));
    }

    #[test]
    fn a_cluster_is_read_as_its_primaries() {
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), Value::Nil]);
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let piece = |first, last, nodes: Vec<Value>| {
            let mut items = vec![Value::Int(first), Value::Int(last)];
            items.extend(nodes);
            Value::Array(items)
        };
        let answer = Value::Array(vec![
            piece(0, 99, vec![node(text("a"), 1), node(text("replica"), 2)]),
            piece(100, 199, vec![node(Value::Nil, 7)]),
            piece(200, 299, vec![node(text("a"), 1)]),
            piece(300, 399, vec![node(text("?"), 1)]),
            piece(400, 70_000, vec![node(text("b"), 1)]),
            Value::Nil,
        ]);
        assert_eq!(
            primaries(&answer, "asked"),
            [
                (("a".to_owned(), 1), vec![0..=99, 200..=299]),
                (("asked".to_owned(), 7), vec![100..=199]),
            ]
        );
        assert_eq!(primaries(&Value::Okay, "asked"), []);
    }
}
