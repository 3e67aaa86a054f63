//! Event streams (HTML standard, section 9.2): the only bodies to which the relay ever adds bytes,
//! and only between two events: a comment in a long silence, and a last event when it breaks.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::http::{Version, header};
use bytes::Bytes;

use crate::error::Refusal;
use crate::fields::Fields;
use crate::wire::Pace;

/// Every client ignores a line that starts with a colon.
const COMMENT: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// What is known of an event stream on its way.
pub(super) struct EventStream {
    /// How the stream so far ends.
    tail: Tail,
    /// Whether its events carry names.
    is_named: bool,
    silence: Option<Pace>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// Between two events, or before the first.
    Boundary,
    /// Behind the end of a line.
    LineEnd,
    /// Behind the end of a line and a carriage return.
    LineEndReturn,
    /// Within a line.
    Line,
}

impl EventStream {
    /// The stream that this head announces, if bytes may be added to it: chunked, and in clear.
    /// `keep_alive`: the silence that gets a comment; zero for none.
    pub(super) fn of(
        fields: &Fields,
        version: Version,
        keep_alive: Duration,
    ) -> Option<EventStream> {
        let kind = fields.get(&header::CONTENT_TYPE)?;
        let name = b"text/event-stream";
        let is_stream = kind.get(..name.len())?.eq_ignore_ascii_case(name);
        let is_coded = fields
            .get(&header::CONTENT_ENCODING)
            .is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity"));
        let is_sized = fields.contains(&header::CONTENT_LENGTH) || version < Version::HTTP_11;
        let may_grow = is_stream && !is_coded && !is_sized;
        may_grow.then(|| EventStream {
            tail: Tail::Boundary,
            is_named: false,
            silence: (!keep_alive.is_zero()).then(|| Pace::of_silence(keep_alive)),
        })
    }

    /// These bytes of it went on.
    pub(super) fn went(&mut self, bytes: &[u8]) {
        if let Some(silence) = &mut self.silence {
            silence.came(bytes.len());
        }
        if self.tail == Tail::Boundary && bytes.starts_with(b"event:") {
            self.is_named = true;
        }
        // An empty line is at most three bytes long with the line end before it.
        let skipped = bytes.len().saturating_sub(3);
        if skipped > 0 {
            self.tail = Tail::Line;
        }
        for byte in &bytes[skipped..] {
            self.tail = match (byte, self.tail) {
                (b'\n', Tail::LineEnd | Tail::LineEndReturn | Tail::Boundary) => Tail::Boundary,
                (b'\n', Tail::Line) => Tail::LineEnd,
                (b'\r', Tail::LineEnd | Tail::Boundary) => Tail::LineEndReturn,
                _ => Tail::Line,
            };
        }
    }

    /// A comment, once the stream has been silent for too long between two events.
    pub(super) fn poll_comment(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let Some(silence) = &mut self.silence else {
            return Poll::Pending;
        };
        loop {
            ready!(silence.poll_too_slow(cx));
            silence.rest();
            if self.tail == Tail::Boundary {
                return Poll::Ready(COMMENT);
            }
        }
    }

    /// The event that tells of a break, if there is a place for it.
    pub(super) fn last_event(&self, refusal: &Refusal) -> Option<Bytes> {
        (self.tail == Tail::Boundary).then(|| refusal.to_event(self.is_named))
    }
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn stream(pairs: &[(&'static str, &'static str)], version: Version) -> Option<EventStream> {
        let fields = pairs
            .iter()
            .map(|(name, value)| {
                let name: HeaderName = name.parse().expect("a name");
                (name, HeaderValue::from_static(value))
            })
            .collect();
        EventStream::of(&fields, version, Duration::from_secs(15))
    }

    const SSE: (&str, &str) = ("content-type", "text/event-stream; charset=utf-8");

    #[test]
    fn bytes_may_be_added_only_to_chunked_event_streams_in_clear() {
        assert!(stream(&[SSE], Version::HTTP_11).is_some());
        assert!(stream(&[SSE], Version::HTTP_2).is_some());
        assert!(stream(&[SSE, ("content-encoding", "identity")], Version::HTTP_11).is_some());
        assert!(stream(&[SSE, ("content-encoding", "gzip")], Version::HTTP_11).is_none());
        assert!(stream(&[SSE, ("content-length", "5")], Version::HTTP_11).is_none());
        assert!(stream(&[SSE], Version::HTTP_10).is_none());
        assert!(stream(&[("content-type", "application/json")], Version::HTTP_11).is_none());
        assert!(stream(&[], Version::HTTP_11).is_none());
    }

    fn is_boundary(pieces: &[&str]) -> bool {
        let mut stream = stream(&[SSE], Version::HTTP_11).expect("a stream");
        for piece in pieces {
            stream.went(piece.as_bytes());
        }
        stream.tail == Tail::Boundary
    }

    #[test]
    fn a_boundary_is_behind_an_empty_line_however_it_is_cut() {
        for pieces in [
            &[][..],
            &["data: x\n\n"],
            &["data: x\n", "\n"],
            &["data: x\r\n\r\n"],
            &["data: x\r\n", "\r", "\n"],
            &["data: x\n\n", "\n"],
            &["data: x\n\n: note\n\n"],
        ] {
            assert!(is_boundary(pieces), "{pieces:?}");
        }
        for pieces in [
            &["data: x"][..],
            &["data: x\n"],
            &["data: x\r\n"],
            &["data: x\r\n\r"],
            &["data: x\n\n", "d"],
            &["data: x\n\ndata"],
            &["\r"],
        ] {
            assert!(!is_boundary(pieces), "{pieces:?}");
        }
    }

    proptest! {
        #[test]
        fn where_a_stream_is_cut_does_not_matter(
            text in "[a\\n\\r]{0,12}",
            cuts in prop::collection::vec(0_usize..12, 0..4),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(is_boundary(&pieces), is_boundary(&[&text]));
            let ends = text.is_empty() || text.ends_with("\n\n") || text.ends_with("\n\r\n");
            prop_assert!(!ends || is_boundary(&[&text]) || text.len() < 3, "{:?}", text);
        }
    }

    #[test]
    fn the_last_event_has_the_streams_own_form() {
        let refusal = Refusal::new(crate::error::Kind::UpstreamBroken, "It broke.");
        let mut plain = stream(&[SSE], Version::HTTP_11).expect("a stream");
        plain.went(b"data: {\"id\":1}\n\n");
        let event = plain.last_event(&refusal).expect("an event");
        assert!(event.starts_with(b"data: {\"error\":{"), "{event:?}");
        let mut named = stream(&[SSE], Version::HTTP_11).expect("a stream");
        named.went(b"event: response.created\ndata: {}\n\n");
        let event = named.last_event(&refusal).expect("an event");
        assert!(
            event.starts_with(
                b"event: error\ndata: {\"type\":\"error\",\"code\":\"upstream_broken\""
            )
        );
        assert!(event.ends_with(b"}\n\n"));
        named.went(b"event: response");
        assert!(named.last_event(&refusal).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silence_between_events_gets_a_comment_and_one_within_gets_none() {
        let mut stream = stream(&[SSE], Version::HTTP_11).expect("a stream");
        let start = tokio::time::Instant::now();
        for seconds in [15, 30] {
            let comment = std::future::poll_fn(|cx| stream.poll_comment(cx)).await;
            assert_eq!(comment, COMMENT);
            assert_eq!(start.elapsed().as_secs(), seconds);
        }
        stream.went(b"data: x");
        let waiting = std::future::poll_fn(|cx| stream.poll_comment(cx));
        let hour = Duration::from_secs(3600);
        assert!(tokio::time::timeout(hour, waiting).await.is_err());
    }
}
