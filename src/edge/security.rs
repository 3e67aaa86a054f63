//! Headers that protect a browser: helmet's defaults on the relay's own routes, `nosniff` alone
//! on what is relayed.

use http::{HeaderName, HeaderValue, header};

use crate::fields::Fields;

/// What helmet sends by default, which the relays before this one used.
const OWN_ROUTES: [(&str, &str); 12] = [
    (
        "content-security-policy",
        "default-src 'self';base-uri 'self';font-src 'self' https: data:;form-action 'self';\
         frame-ancestors 'self';img-src 'self' data:;object-src 'none';script-src 'self';\
         script-src-attr 'none';style-src 'self' https: 'unsafe-inline';upgrade-insecure-requests",
    ),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("origin-agent-cluster", "?1"),
    ("referrer-policy", "no-referrer"),
    (
        "strict-transport-security",
        "max-age=31536000; includeSubDomains",
    ),
    ("x-dns-prefetch-control", "off"),
    ("x-download-options", "noopen"),
    ("x-frame-options", "SAMEORIGIN"),
    ("x-permitted-cross-domain-policies", "none"),
    ("x-xss-protection", "0"),
    ("cache-control", "no-store"),
];

/// Adds them where the answer does not carry them yet.
pub(super) fn apply(fields: &mut Fields, is_relayed: bool) {
    add(fields, &header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if is_relayed {
        return;
    }
    for (name, value) in OWN_ROUTES {
        add(fields, &HeaderName::from_static(name), value);
    }
}

fn add(fields: &mut Fields, name: &HeaderName, value: &'static str) {
    if !fields.contains(name) {
        fields.append(name, &HeaderValue::from_static(value));
    }
}
