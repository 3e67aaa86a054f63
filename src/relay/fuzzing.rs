//! What holds for every event stream and every offer.

use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, Version, header};

use super::events::EventStream;
use super::{OfferDraft, sdp};
use crate::error::{Kind, Refusal};

/// Whether there is a place for a last event does not depend on where the stream was cut.
pub(crate) fn events(first: &[u8], second: &[u8]) {
    let is_boundary = |pieces: &[&[u8]]| {
        let kind = HeaderValue::from_static("text/event-stream");
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]);
        let stream = EventStream::of(&headers, Version::HTTP_11, Duration::ZERO);
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

/// Any body is an offer or is refused.
pub(crate) fn offer(body: &[u8]) {
    let _ = OfferDraft::parse(body);
    if let Ok(text) = std::str::from_utf8(body) {
        let _ = sdp::check_offer(text);
    }
}
