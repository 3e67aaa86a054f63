//! The rows of the limits that protect the relay from its clients, and their grammars.

use super::draft::put;
use super::row::{PLAIN, Row, Section};
use super::{MemoryBudget, value};

const POSITIVE_SECONDS: &str =
    "seconds above 0, or a number with ms, s, m or h, such as 500ms or 15m; at most 168h";
const SIZE: &str = "bytes, or a number with KiB, MiB or GiB, such as 512MiB";
const COUNT: &str = "a whole number above 0";

/// What bounds a client, in time, bytes and connections.
pub(super) const LIMITS: &[Row] = &[
    Row {
        name: "HEADER_TIMEOUT",
        default: "10",
        unit: "s",
        accepts: POSITIVE_SECONDS,
        help: "How long the head of a request may take to arrive, and a new connection to send the first byte of one.",
        section: Section::Limits,
        set: |draft, text| {
            put(
                &mut draft.config.server.limits.header_timeout,
                value::timeout(text),
            )
        },
        ..PLAIN
    },
    Row {
        name: "KEEPALIVE_TIMEOUT",
        default: "75",
        unit: "s",
        accepts: POSITIVE_SECONDS,
        help: "How long a client's connection may idle between two requests.",
        section: Section::Limits,
        set: |draft, text| {
            put(
                &mut draft.config.server.limits.keep_alive_timeout,
                value::timeout(text),
            )
        },
        ..PLAIN
    },
    Row {
        name: "BODY_TIMEOUT",
        default: "30",
        unit: "s",
        accepts: POSITIVE_SECONDS,
        help: "How long a request's body may go without 1 KiB of progress while the relay waits for it; then 408.",
        section: Section::Limits,
        set: |draft, text| {
            put(
                &mut draft.config.server.limits.body_timeout,
                value::timeout(text),
            )
        },
        ..PLAIN
    },
    Row {
        name: "WRITE_TIMEOUT",
        default: "60",
        unit: "s",
        accepts: POSITIVE_SECONDS,
        help: "How long a client may go without taking 1 KiB of an answer that waits for it; then its connection is cut.",
        section: Section::Limits,
        set: |draft, text| {
            put(
                &mut draft.config.server.limits.write_timeout,
                value::timeout(text),
            )
        },
        ..PLAIN
    },
    Row {
        name: "MAX_BODY_BYTES",
        accepts: SIZE,
        help: "The largest body of a relayed request; past it 413. Bodies are streamed, so none is needed for the relay's sake.",
        section: Section::Limits,
        set: |draft, text| {
            put(
                &mut draft.config.server.limits.max_body_bytes,
                size(text).map(Some),
            )
        },
        ..PLAIN
    },
    Row {
        name: "MAX_CLIENT_CONNECTIONS",
        accepts: COUNT,
        help: "The most client connections at once. Unset, 10000 or what the limit of open files allows, whichever is less: each \
               takes two. Past it a few more are taken that get `/health` and `/ready`, and 503 for all else.",
        section: Section::Limits,
        set: |draft, text| {
            put(
                &mut draft.config.server.limits.max_connections,
                count(text).map(Some),
            )
        },
        ..PLAIN
    },
    Row {
        name: "MAX_CLIENT_CONNECTIONS_PER_IP",
        accepts: COUNT,
        help: "The most connections of one address, of one /64 network with IPv6. Trusted proxies are not counted. Past it a new \
               one is closed at once.",
        section: Section::Limits,
        set: |draft, text| {
            put(
                &mut draft.config.server.limits.max_connections_per_ip,
                count(text).map(Some),
            )
        },
        ..PLAIN
    },
    Row {
        name: "MEMORY_BUDGET",
        default: "60%",
        accepts: "a percentage such as 60% (of the container's memory, or the machine's), bytes, a number with KiB, MiB or GiB, or off",
        help: "The memory that the relay should stay within. From 92 % of it on connections are not kept, from 95 % new work gets \
               503, from 98 % no connection is accepted.",
        section: Section::Limits,
        set: |draft, text| put(&mut draft.config.server.limits.memory, budget(text)),
        ..PLAIN
    },
    Row {
        name: "SSE_KEEPALIVE",
        default: "15",
        unit: "s",
        accepts: "seconds, or a number with ms, s, m or h; 0 sends none",
        help: "How long an event stream may be silent before the relay adds a comment line, which clients ignore and proxies count \
               as life. Only between events, and only in streams that are chunked and not compressed.",
        section: Section::Limits,
        set: |draft, text| put(&mut draft.config.sse_keepalive, value::duration(text)),
        ..PLAIN
    },
];

pub(super) fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("is no such number".to_owned()),
        Ok(count) => Ok(count),
    }
}

/// A size in bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit());
    let (number, suffix) = text.split_at(split.unwrap_or(text.len()));
    let unit: u64 = match suffix.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return Err("is not a size".to_owned()),
    };
    let bytes = number.parse::<u64>().ok();
    let bytes = bytes.and_then(|number| number.checked_mul(unit));
    bytes
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "is not a size".to_owned())
}

fn budget(text: &str) -> Result<MemoryBudget, String> {
    if text.eq_ignore_ascii_case("off") || text == "0" {
        return Ok(MemoryBudget::Off);
    }
    if let Some(percent) = text.strip_suffix('%') {
        return match percent.trim_end().parse() {
            Ok(percent @ 1..=100) => Ok(MemoryBudget::Percent(percent)),
            _ => Err("is not a percentage from 1 to 100".to_owned()),
        };
    }
    size(text).map(MemoryBudget::Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_with_or_without_a_unit() {
        for (text, bytes) in [
            ("1", 1),
            ("4096", 4096),
            ("64KiB", 65_536),
            ("64 kb", 65_536),
            ("512MiB", 536_870_912),
            ("2g", 2_147_483_648),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "-1", "1.5MiB", "MiB", "1TiB", "99999999999GiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_budget_is_a_share_a_size_or_off() {
        assert_eq!(budget("60%"), Ok(MemoryBudget::Percent(60)));
        assert_eq!(budget("100 %"), Ok(MemoryBudget::Percent(100)));
        assert_eq!(budget("256MiB"), Ok(MemoryBudget::Bytes(268_435_456)));
        assert_eq!(budget("OFF"), Ok(MemoryBudget::Off));
        for text in ["0%", "101%", "x%", "much"] {
            assert!(budget(text).is_err(), "{text}");
        }
    }
}
