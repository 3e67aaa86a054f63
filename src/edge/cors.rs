//! CORS (Fetch standard, section 3.3): exact origins, on answers and refusals alike.

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};

use crate::fields::{self, Fields};
use crate::wire::Answer;

/// What pages may read besides the safelisted headers: what the SDKs read (wire.md 1.3).
const EXPOSED: &str = "location, retry-after, retry-after-ms, x-should-retry, x-request-id, \
    openai-model, openai-organization, openai-processing-ms, openai-project, openai-version, \
    x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, \
    x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens, \
    x-ratelimit-limit-project-tokens, x-ratelimit-remaining-project-tokens, \
    x-ratelimit-reset-project-tokens";

/// How long a browser may remember a preflight, in seconds; Chromium caps it at two hours.
const MAX_AGE_S: &str = "7200";

/// Whether this request asks for permission instead of doing something.
pub(super) fn is_preflight(method: &Method, fields: &Fields) -> bool {
    *method == Method::OPTIONS
        && fields.contains(&header::ORIGIN)
        && fields.contains(&header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight of a listed origin; it needs no credential.
pub(super) fn preflight(request: &Fields) -> Answer<Bytes> {
    let mut answer = Answer::new(StatusCode::NO_CONTENT, Bytes::new());
    let asked = [
        (
            header::ACCESS_CONTROL_REQUEST_METHOD,
            header::ACCESS_CONTROL_ALLOW_METHODS,
        ),
        (
            header::ACCESS_CONTROL_REQUEST_HEADERS,
            header::ACCESS_CONTROL_ALLOW_HEADERS,
        ),
    ];
    for (from, to) in asked {
        let value = request.get(&from).map(HeaderValue::from_bytes);
        if let Some(Ok(value)) = value {
            answer.fields.append(&to, &value);
        }
    }
    let names = "Access-Control-Request-Method, Access-Control-Request-Headers";
    for (name, value) in [
        (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_S),
        (header::VARY, names),
    ] {
        let value = HeaderValue::from_static(value);
        answer.fields.append(&name, &value);
    }
    answer
}

/// Marks an answer as depending on the origin and, for a listed one, as readable by its pages.
pub(super) fn apply(fields: &mut Fields, listed_origin: Option<&HeaderValue>, is_preflight: bool) {
    add_vary_origin(fields);
    let Some(origin) = listed_origin else {
        return;
    };
    fields.insert(&header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if !is_preflight {
        let exposed = HeaderValue::from_static(EXPOSED);
        fields.insert(&header::ACCESS_CONTROL_EXPOSE_HEADERS, &exposed);
    }
}

fn add_vary_origin(fields: &mut Fields) {
    let is_named = |name: &[u8]| name == b"*" || name.eq_ignore_ascii_case(b"origin");
    if !fields::items(fields, &header::VARY).any(is_named) {
        fields.append(&header::VARY, &HeaderValue::from_static("Origin"));
    }
}
