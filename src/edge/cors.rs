//! CORS (Fetch standard, section 3.3): exact origins, on answers and refusals alike.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::fields;

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
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight of a listed origin; it needs no credential.
pub(super) fn preflight(request: &HeaderMap) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
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
        if let Some(value) = request.get(from) {
            headers.insert(to, value.clone());
        }
    }
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static(MAX_AGE_S),
    );
    headers.append(
        header::VARY,
        HeaderValue::from_static("Access-Control-Request-Method, Access-Control-Request-Headers"),
    );
    response
}

/// Marks an answer as depending on the origin and, for a listed one, as readable by its pages.
pub(super) fn apply(
    headers: &mut HeaderMap,
    listed_origin: Option<&HeaderValue>,
    is_preflight: bool,
) {
    add_vary_origin(headers);
    let Some(origin) = listed_origin else {
        return;
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    if !is_preflight {
        let exposed = HeaderValue::from_static(EXPOSED);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
}

fn add_vary_origin(headers: &mut HeaderMap) {
    let is_named = ["*", "origin"]
        .iter()
        .any(|name| fields::lists(headers, &header::VARY, name));
    if !is_named {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
}
