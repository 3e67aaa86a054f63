//! Pure: cuts whatever looks like a secret out of a line, as the last step before it is written.
//!
//! The line's authors already leave secrets out; this is for the day one of them slips.

use std::borrow::Cow;

const MASK: &str = "[redacted]";

/// What a secret starts with, and how many characters of it must follow to make it one.
const MARKERS: [(&str, usize); 13] = [
    ("sk-", 8),
    ("rk_", 8),
    ("ek_", 8),
    ("rt_", 8),
    ("invite_", 8),
    ("eyJ", 16),
    ("Bearer ", 4),
    ("bearer ", 4),
    ("Basic ", 4),
    ("openai-insecure-api-key.", 1),
    ("ice-pwd:", 1),
    ("ice-ufrag:", 1),
    ("__cf_bm=", 1),
];

/// Bytes that a marker, or the `://` before a user and a password, starts with, and the ones that
/// may stand third in it: few places of a line have both.
const FIRST: [bool; 256] = set(b"sreiBbo_:");
const THIRD: [bool; 256] = set(b"-_vJasec/");

const fn set(bytes: &[u8]) -> [bool; 256] {
    let mut set = [false; 256];
    let mut at = 0;
    while at < bytes.len() {
        set[bytes[at] as usize] = true;
        at += 1;
    }
    set
}

/// So many characters tell whether something is a secret: a longer look at each of many false
/// starts would be a way to keep the relay busy.
const TELLING: usize = 128;

/// The line without its secrets; borrowed where there was none.
pub fn redact(line: &str) -> Cow<'_, str> {
    let mut rest = line;
    let mut clean: Option<String> = None;
    while let Some(found) = next_secret(rest) {
        let out = clean.get_or_insert_with(|| String::with_capacity(line.len()));
        out.push_str(&rest[..found.start]);
        out.push_str(MASK);
        rest = &rest[found.end..];
    }
    match clean {
        None => Cow::Borrowed(line),
        Some(mut out) => {
            out.push_str(rest);
            Cow::Owned(out)
        }
    }
}

/// The first secret in the text, as a range of bytes.
fn next_secret(text: &str) -> Option<std::ops::Range<usize>> {
    let bytes = text.as_bytes();
    let may_start = |three: &[u8]| FIRST[usize::from(three[0])] && THIRD[usize::from(three[2])];
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(3).position(may_start) {
        at += found;
        // Three bytes tell nearly all of a line apart from what might be a secret.
        let secret = match &bytes[at..at + 3] {
            b"sk-" | b"rk_" | b"ek_" | b"rt_" | b"inv" | b"eyJ" | b"Bea" | b"bea" | b"Bas"
            | b"ope" | b"ice" | b"__c" => marked_secret(bytes, at),
            b"://" => userinfo(bytes, at),
            _ => None,
        };
        if secret.is_some() {
            return secret;
        }
        at += 1;
    }
    None
}

/// A marker at the start of a word, and the token behind it.
fn marked_secret(bytes: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let starts_word = at == 0 || !is_word(bytes[at - 1]);
    let (marker, least) = MARKERS
        .iter()
        .find(|(marker, _)| bytes[at..].starts_with(marker.as_bytes()))?;
    // A JWT or a key may hide in a longer word, such as a cookie's value; `ek_` inside a word such
    // as `week_1` is not a secret.
    if !starts_word && !matches!(*marker, "eyJ" | "sk-") {
        return None;
    }
    let body = &bytes[at + marker.len()..];
    let start = &body[..token_length(&body[..body.len().min(TELLING)])];
    let is_secret = start.len() >= *least && is_plausible(marker, start, starts_word);
    is_secret.then(|| at..at + marker.len() + token_length(body))
}

/// Words such as `sk-learn-compatible` are not keys: a key holds a digit.
fn is_plausible(marker: &str, token: &[u8], starts_word: bool) -> bool {
    match marker {
        "sk-" | "rk_" | "ek_" | "rt_" | "invite_" => {
            let symbols = token.iter().filter(|byte| !byte.is_ascii_alphanumeric());
            let has_body = token.len() - symbols.count() >= 8;
            has_body && token.iter().any(u8::is_ascii_digit) && (starts_word || token.len() >= 20)
        }
        "eyJ" => starts_word || token.len() >= 32,
        _ => true,
    }
}

/// `user:password@` of a URL: from behind `://` to the `@`.
fn userinfo(bytes: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    if !bytes[at..].starts_with(b"://") {
        return None;
    }
    let start = at + 3;
    let authority = bytes[start..].iter().position(|byte| {
        matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\\') || byte.is_ascii_whitespace()
    });
    let end = authority.map_or(bytes.len(), |length| start + length);
    let at_sign = bytes[start..end].iter().rposition(|byte| *byte == b'@')?;
    Some(start..start + at_sign)
}

fn token_length(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| !(is_word(*byte) || matches!(byte, b'-' | b'.' | b'+' | b'/' | b'~')))
        .unwrap_or(bytes.len())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The twelve shapes of promise P18.
    fn secrets() -> impl Strategy<Value = (&'static str, String)> {
        let body = "[A-Za-z0-9]{15}[0-9][A-Za-z0-9]{8}";
        prop_oneof![
            body.prop_map(|s| ("sk-{}", format!("sk-{s}"))),
            body.prop_map(|s| ("sk-proj-{}", format!("sk-proj-{s}"))),
            body.prop_map(|s| ("rk_{}", format!("rk_{s}"))),
            body.prop_map(|s| ("ek_{}", format!("ek_{s}"))),
            body.prop_map(|s| ("ek_relay_{}", format!("ek_relay_{s}"))),
            body.prop_map(|s| ("jwt", format!("eyJ{s}.eyJ{s}.{s}"))),
            body.prop_map(|s| ("bearer", s)),
            body.prop_map(|s| ("basic", s)),
            body.prop_map(|s| ("subprotocol", s)),
            body.prop_map(|s| ("ice-pwd", s)),
            body.prop_map(|s| ("userinfo", s)),
            body.prop_map(|s| ("cookie", s)),
        ]
    }

    fn dressed(shape: &str, secret: &str) -> String {
        match shape {
            "bearer" => format!("authorization: Bearer {secret}"),
            "basic" => format!("Proxy-Authorization: Basic {secret}=="),
            "subprotocol" => format!("realtime, openai-insecure-api-key.{secret}, x"),
            "ice-pwd" => format!("a=ice-pwd:{secret}\\r\\n"),
            "userinfo" => format!("https://user:{secret}@proxy:3128/x"),
            "cookie" => format!("__cf_bm={secret}; path=/"),
            _ => format!("value {secret}"),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn no_secret_survives_in_any_place(
            (shape, secret) in secrets(),
            before in "[ -~]{0,40}",
            after in "[ -~]{0,40}",
            quote in "[\" ,=:({\\[]",
        ) {
            let line = format!("{before}{quote}{}\" {after}", dressed(shape, &secret));
            let clean = redact(&line);
            prop_assert!(!clean.contains(&secret), "{line} -> {clean}");
        }

        #[test]
        fn ordinary_lines_stay_as_they_are(
            words in prop::collection::vec("[a-z]{1,9}|[0-9]{1,6}|/v1/[a-z/]{1,12}|[a-z]{1,10}_ms=[0-9.]{1,6}|req_[0-9a-f]{32}", 1..12)
        ) {
            let line = words.join(" ");
            prop_assert_eq!(redact(&line), line.as_str());
        }
    }

    #[test]
    fn words_that_only_look_like_secrets_stay() {
        for line in [
            "task-force sk-learn week_12345678 desk-1",
            "risk-averse trek_2026 work_0123456789",
            "GET https://api.openai.com/v1/models?x=a@b 200",
            "a Bearer of news",
        ] {
            let clean = redact(line);
            assert!(
                clean == line || line.contains("Bearer"),
                "{line} -> {clean}"
            );
        }
    }

    #[test]
    fn a_long_line_of_false_starts_is_looked_at_once() {
        let line = "sk-".repeat(100_000);
        assert_eq!(redact(&line), line);
        let line = format!("{line}sk-{}1", "a".repeat(100));
        assert!(redact(&line).ends_with(MASK));
    }

    #[test]
    fn every_marker_is_looked_for() {
        for (marker, _) in MARKERS {
            let line = format!("{marker}abcdefgh12345678");
            assert_eq!(redact(&line), MASK, "{marker}");
        }
    }

    #[test]
    fn several_secrets_in_one_line_are_all_cut() {
        let clean = redact("sk-abcdefgh1 then sk-abcdefgh2 then ek_abcdefg12");
        assert_eq!(clean, "[redacted] then [redacted] then [redacted]");
    }
}
