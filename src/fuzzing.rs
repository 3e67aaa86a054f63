//! What the fuzzers call: each takes any bytes and checks what must hold for all of them.
//!
//! Built for tests and for `scripts/fuzz` only. `fuzz/corpus/` is replayed by a test below.

use bytes::{Bytes, BytesMut};
use http::Method;

use crate::telemetry::redact;
use crate::wire::{Decoder, Framing, HeadScan, Piece, Target, parse_request, parse_response};

/// The first byte says where the rest is cut in two, so that every state is resumed from.
fn split(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = data.split_first()?;
    let at = usize::from(*first) * rest.len() / 255;
    Some(rest.split_at(at))
}

/// Request heads: the same wherever they are cut, and clean.
pub fn request_head(data: &[u8]) {
    let Some((first, second)) = split(data) else {
        return;
    };
    let mut whole = BytesMut::from([first, second].concat().as_slice());
    let at_once = parse_request(&mut whole, &mut HeadScan::default());
    let (mut cut, mut scan) = (BytesMut::from(first), HeadScan::default());
    let mut in_two = parse_request(&mut cut, &mut scan);
    if matches!(in_two, Ok(None)) {
        cut.extend_from_slice(second);
        in_two = parse_request(&mut cut, &mut scan);
    }
    // Of several faults the one that is seen first is told.
    let shown = |head: &Result<Option<_>, _>| match head {
        Ok(head) => format!("{head:?}"),
        Err(_) => "refused".to_owned(),
    };
    assert_eq!(shown(&at_once), shown(&in_two));
    let Ok(Some(head)) = at_once else {
        return;
    };
    for (name, value) in head.fields.iter() {
        let is_clean = |byte: &u8| !matches!(byte, b'\r' | b'\n' | 0);
        assert!(value.iter().all(is_clean), "{value:?}");
        assert!(name.iter().all(is_clean), "{name:?}");
    }
    target(head.target.as_bytes());
}

/// Heads of answers.
pub fn response_head(data: &[u8]) {
    let mut buffer = BytesMut::from(data);
    let _ = parse_response(&mut buffer, &mut HeadScan::default(), &Method::GET);
}

/// Targets: what passes the jail stays below `/v1/` for any upstream that decodes once.
pub fn target(data: &[u8]) {
    let target = Target::new(Bytes::copy_from_slice(data));
    crate::edge::fuzzing::path(target.path());
}

/// Bodies in chunks: the same wherever they are cut.
pub fn chunks(data: &[u8]) {
    let Some((first, second)) = split(data) else {
        return;
    };
    let whole = decoded(&[&[first, second].concat()]);
    let in_two = decoded(&[first, second]);
    assert_eq!(whole, in_two);
}

/// What a body holds, and how it ended; trailers are an end too.
fn decoded(pieces: &[&[u8]]) -> (Vec<u8>, Result<bool, ()>) {
    let mut decoder = Decoder::new(Framing::Chunked);
    let (mut buffer, mut body) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Piece::Data(bytes)) => body.extend_from_slice(&bytes),
                Ok(Piece::Starved) => break,
                Ok(Piece::End | Piece::Trailers(_)) => return (body, Ok(true)),
                Err(_) => return (body, Err(())),
            }
        }
    }
    (body, Ok(false))
}

/// Event streams: an end of an event is one wherever the stream is cut.
pub fn events(data: &[u8]) {
    if let Some((first, second)) = split(data) {
        crate::relay::fuzzing::events(first, second);
    }
}

/// WebSocket frames of either side: the same wherever they are cut.
pub fn frames(data: &[u8]) {
    if let Some((first, second)) = split(data) {
        crate::relay::fuzzing::frames(first, second);
    }
}

/// The body of `/offer`, SDP included.
pub fn offer(data: &[u8]) {
    crate::relay::fuzzing::offer(data);
}

/// Events of the retired Realtime beta, one a line: what is JSON stays JSON in both directions.
pub fn beta_event(data: &[u8]) {
    crate::relay::beta::fuzzing::events(data);
}

/// Log lines: cutting secrets out is done once, and stays text.
pub fn log_line(data: &[u8]) {
    let line = String::from_utf8_lossy(data);
    let clean = redact(&line);
    // What was cut out may bring two parts of a secret together; once more is enough.
    let cleaner = redact(&clean).into_owned();
    assert_eq!(redact(&cleaner), cleaner);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    type Check = fn(&[u8]);

    const TARGETS: [(&str, Check); 9] = [
        ("request_head", request_head),
        ("response_head", response_head),
        ("target", target),
        ("chunks", chunks),
        ("events", events),
        ("frames", frames),
        ("offer", offer),
        ("beta_event", beta_event),
        ("log_line", log_line),
    ];

    #[test]
    fn the_fuzzers_corpus_is_replayed_without_a_panic() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        let mut replayed = 0;
        for (name, check) in TARGETS {
            for entry in std::fs::read_dir(corpus.join(name)).expect("a corpus") {
                check(&std::fs::read(entry.expect("an entry").path()).expect("a file"));
                replayed += 1;
            }
        }
        assert!(replayed >= 9, "{replayed}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn no_bytes_make_a_parser_panic(
            data in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                "[ -~]{0,80}".prop_map(String::into_bytes),
                "\\PC(GET|POST) /v1/[a-z%.?#/\\\\]{0,20} HTTP/1\\.[012]\r?\n(H[a-z]{0,5}:? ?[a-z0-9\r]{0,9}\r?\n){0,4}\r?\n"
                    .prop_map(String::into_bytes),
                "\\PC([0-9a-fA-F;x ]{0,5}\r?\n[a-z]{0,9}\r?\n){0,4}(0\r\n)?([A-Za-z: ]{0,9}\r\n)?\r?\n?"
                    .prop_map(String::into_bytes),
                "\\PC(data: [a-z\r]{0,5}|event:|:|\r|\n){0,12}".prop_map(String::into_bytes),
            ]
        ) {
            for (_, check) in TARGETS {
                check(&data);
            }
        }
    }
}
