//! What holds for every event stream, every offer and every stream of frames.

use std::time::Duration;

use ::http::{HeaderValue, Version, header};

use super::events::EventStream;
use super::socket::frame::{Close, Opcode, Sender};
use super::socket::scan::{Scanner, Then};
use super::{OfferDraft, sdp};
use crate::error::{Kind, Refusal};
use crate::fields::Fields;

/// Whether there is a place for a last event does not depend on where the stream was cut.
pub(crate) fn events(first: &[u8], second: &[u8]) {
    let is_boundary = |pieces: &[&[u8]]| {
        let kind = HeaderValue::from_static("text/event-stream");
        let fields = Fields::from_iter([(header::CONTENT_TYPE, kind)]);
        let stream = EventStream::of(&fields, Version::HTTP_11, Duration::ZERO);
        let mut stream = stream.expect("a stream that may grow");
        for piece in pieces {
            stream.went(piece);
        }
        let refusal = Refusal::new(Kind::UpstreamBroken, "x");
        stream.last_event(&refusal).is_some()
    };
    assert_eq!(
        is_boundary(&[first, second]),
        is_boundary(&[&[first, second].concat()])
    );
}

/// What is found in a stream of frames does not depend on where it was cut, and every byte is
/// data, a control frame, or held back.
pub(crate) fn frames(first: &[u8], second: &[u8]) {
    for sender in [Sender::Client, Sender::Server] {
        let whole = [first, second].concat();
        assert_eq!(
            scanned(sender, &[first, second]),
            scanned(sender, &[&whole])
        );
    }
}

/// Bytes of data, control frames, messages, and whether the stream broke a rule.
fn scanned(sender: Sender, pieces: &[&[u8]]) -> (usize, Vec<(Opcode, Vec<u8>)>, u32, bool) {
    let mut scanner = Scanner::new(sender);
    let (mut data, mut controls, mut input) = (0, Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let scan = scanner.scan(&input, 1 << 20);
            assert!(scan.message_end <= scan.frame_end && scan.frame_end <= scan.data);
            data += scan.data;
            input.drain(..scan.data);
            let Then::Control(control) = scan.then else {
                if matches!(scan.then, Then::Violation(_)) {
                    return (data, controls, scanner.take_counts().0, true);
                }
                break;
            };
            let frame: Vec<u8> = input.drain(..control.length).collect();
            let payload = control.payload(&frame);
            let _ = Close::read(&payload);
            controls.push((control.opcode, payload));
        }
    }
    (data, controls, scanner.take_counts().0, false)
}

/// Any body is an offer or is refused.
pub(crate) fn offer(body: &[u8]) {
    let _ = OfferDraft::parse(body);
    if let Ok(text) = std::str::from_utf8(body) {
        let _ = sdp::check_offer(text);
    }
}
