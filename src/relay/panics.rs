//! Panics on demand, for the tests that show how far one reaches. Not part of a normal build.

use ::http::HeaderName;

use crate::fields::Fields;

const X_PANIC: HeaderName = HeaderName::from_static("x-panic");

/// Panics if the request asks for it at this place, with `X-Panic: place`.
pub(super) fn inject(fields: &Fields, place: &str) {
    let wanted = fields.get(&X_PANIC);
    assert!(
        wanted != Some(place.as_bytes()),
        "a panic was asked for, {place}"
    );
}
