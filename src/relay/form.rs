//! The form in which a WebRTC offer goes up with a session (wire.md 6.2): `multipart/form-data`
//! (RFC 7578) of two parts, `sdp` and `session`. Pure.

use std::ops::Range;

use ::http::HeaderValue;
use bytes::Bytes;
use memchr::memmem;
use serde_json::Value;
use uuid::Uuid;

const KIND: &str = "multipart/form-data";

/// A form of both parts, and its `Content-Type`.
pub(super) fn write(sdp: &str, session: &Value) -> (HeaderValue, Bytes) {
    let boundary = Uuid::new_v4().simple().to_string();
    let body = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"sdp\"\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"session\"\r\nContent-Type: application/json\r\n\r\n{session}\r\n\
         --{boundary}--\r\n"
    );
    let content_type = format!("{KIND}; boundary={boundary}");
    let content_type = HeaderValue::from_str(&content_type).expect("hexadecimal boundary");
    (content_type, Bytes::from(body))
}

/// The boundary of a form; `None` where the type names no form.
pub(super) fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case(KIND) {
        return None;
    }
    let boundary = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_it = name.trim().eq_ignore_ascii_case("boundary");
        is_it.then(|| value.trim().trim_matches('"'))
    })?;
    (!boundary.is_empty()).then_some(boundary)
}

/// Where the content of the part lies that has this name.
pub(super) fn part(body: &[u8], boundary: &str, name: &str) -> Option<Range<usize>> {
    let delimiter = format!("\r\n--{boundary}");
    // The first one has no line end before it.
    let mut at = if body.starts_with(&delimiter.as_bytes()[2..]) {
        delimiter.len() - 2
    } else {
        memmem::find(body, delimiter.as_bytes())? + delimiter.len()
    };
    loop {
        let rest = &body[at..];
        let end = at + memmem::find(rest, delimiter.as_bytes())?;
        let content = at + memmem::find(&body[at..end], b"\r\n\r\n")? + 4;
        if is_named(&body[at..content], name) {
            return Some(content..end);
        }
        at = end + delimiter.len();
    }
}

fn is_named(head: &[u8], name: &str) -> bool {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let disposition = lines.find_map(|line| {
        let (field, value) = line.split_once(':')?;
        let is_it = field.eq_ignore_ascii_case("content-disposition");
        is_it.then_some(value)
    });
    disposition.is_some_and(|value| {
        value.split(';').skip(1).any(|parameter| {
            parameter.split_once('=').is_some_and(|(key, value)| {
                key.trim().eq_ignore_ascii_case("name") && value.trim().trim_matches('"') == name
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_found() {
        let session = json!({ "model": "m" });
        let (kind, body) = write("v=0\r\n", &session);
        let boundary = boundary(kind.to_str().expect("text")).expect("a boundary");
        assert_eq!(&body[part(&body, boundary, "sdp").expect("it")], b"v=0\r\n");
        let found = part(&body, boundary, "session").expect("it");
        assert_eq!(body[found], *session.to_string().as_bytes());
        assert_eq!(part(&body, boundary, "other"), None);
    }

    #[test]
    fn forms_come_as_clients_write_them() {
        for (kind, expected) in [
            ("multipart/form-data; boundary=\"a b\"", Some("a b")),
            ("Multipart/Form-Data;charset=utf-8;Boundary=x", Some("x")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("application/sdp; boundary=x", None),
        ] {
            assert_eq!(boundary(kind), expected, "{kind}");
        }
        let body = b"preamble\r\n--x\r\ncontent-type: a/b\r\nCONTENT-DISPOSITION: form-data;name=session; filename=\"s\"\r\n\r\n\
                     {}\r\n--x--";
        assert_eq!(&body[part(body, "x", "session").expect("it")], b"{}");
        for cut in 0..body.len() {
            let _ = part(&body[..cut], "x", "session");
        }
    }
}
