//! The fields that every answer of OpenAI's carries, the 101 of a WebSocket among them.

use crate::script::Script;
use crate::state::State;
use crate::wire::Answer;

/// Adds the fields that every answer of OpenAI's carries (wire.md 1.3).
pub(super) fn dress(answer: Answer, state: &State, script: &Script) -> Answer {
    let mut answer = answer;
    if !script.no_request_id {
        answer = answer.with("x-request-id", state.id("req_"));
    }
    let now = time::OffsetDateTime::now_utc();
    let date = now.format(&time::format_description::well_known::Rfc2822);
    let usual = [
        ("openai-processing-ms", "12"),
        ("openai-version", "2020-10-01"),
        ("openai-organization", "org-fake"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-reset-requests", "6ms"),
        ("x-ratelimit-limit-tokens", "2000000"),
        ("x-ratelimit-remaining-tokens", "1999976"),
        ("x-ratelimit-reset-tokens", "6m0s"),
        ("cf-ray", "8f0c1d2e3a4b5c6d-FRA"),
        ("server", "cloudflare"),
        (
            "set-cookie",
            "__cf_bm=abc123; path=/; domain=.api.openai.com; HttpOnly; Secure",
        ),
        (
            "strict-transport-security",
            "max-age=31536000; includeSubDomains; preload",
        ),
        ("alt-svc", "h3=\":443\"; ma=86400"),
        ("access-control-expose-headers", "X-Request-ID"),
    ];
    for (name, value) in usual {
        if script.no_rate_limits && name.starts_with("x-ratelimit-") {
            continue;
        }
        answer = answer.with(name, value);
    }
    let date = date.unwrap_or_default().replace("+0000", "GMT");
    answer.with("date", date)
}
