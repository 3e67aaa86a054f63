//! Panics on demand, for the tests that show how far one reaches. Not part of a normal build.

use ::http::HeaderMap;

/// Panics if the request asks for it at this place, with `X-Panic: place`.
pub(super) fn inject(headers: &HeaderMap, place: &str) {
    let wanted = headers.get("x-panic").map(|value| value.as_bytes());
    assert!(
        wanted != Some(place.as_bytes()),
        "a panic was asked for, {place}"
    );
}
