//! Reads `multipart/form-data` (RFC 7578) from a whole body.

/// One part of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) name: String,
    pub(crate) filename: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) bytes: &'a [u8],
}

/// A parsed form.
#[derive(Clone, Debug, Default)]
pub(crate) struct Form<'a> {
    pub(crate) parts: Vec<Part<'a>>,
}

impl<'a> Form<'a> {
    /// Reads a form; `content_type` is the request's.
    pub(crate) fn parse(content_type: &str, body: &'a [u8]) -> Result<Form<'a>, String> {
        if !content_type
            .to_ascii_lowercase()
            .starts_with("multipart/form-data")
        {
            return Err("the content type is not multipart/form-data".to_owned());
        }
        let boundary = content_type
            .split_once("boundary=")
            .map(|(_, rest)| {
                rest.split(';')
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .trim_matches('"')
            })
            .filter(|boundary| !boundary.is_empty())
            .ok_or("the content type names no boundary")?;
        let opening = format!("--{boundary}");
        let mut rest = body
            .strip_prefix(opening.as_bytes())
            .ok_or("the form does not begin with its boundary")?;
        let separator = format!("\r\n--{boundary}");
        let mut form = Form::default();
        while !rest.starts_with(b"--") {
            rest = rest
                .strip_prefix(b"\r\n")
                .ok_or("a boundary is not followed by a line end")?;
            let end = find(rest, separator.as_bytes()).ok_or("a part does not end")?;
            form.parts.push(Part::parse(&rest[..end])?);
            rest = &rest[end + separator.len()..];
        }
        Ok(form)
    }

    /// The part of this name; with `[]` behind it, as SDKs write lists, too.
    pub(crate) fn part(&self, name: &str) -> Option<&Part<'a>> {
        self.parts
            .iter()
            .find(|part| part.name.trim_end_matches("[]") == name)
    }

    /// A field's text.
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.part(name)
            .and_then(|part| std::str::from_utf8(part.bytes).ok())
    }
}

impl<'a> Part<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Part<'a>, String> {
        let end = find(bytes, b"\r\n\r\n").ok_or("a part has no empty line")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let field = |wanted: &str| {
            head.split("\r\n").find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case(wanted)
                    .then(|| value.trim().to_owned())
            })
        };
        let disposition = field("content-disposition").ok_or("a part has no disposition")?;
        Ok(Part {
            name: parameter(&disposition, "name").ok_or("a part has no name")?,
            filename: parameter(&disposition, "filename"),
            content_type: field("content-type"),
            bytes: &bytes[end + 4..],
        })
    }
}

fn parameter(disposition: &str, name: &str) -> Option<String> {
    disposition.split(';').find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then(|| value.trim_matches('"').to_owned())
    })
}

/// Where `wanted` begins; looks for its first byte fast, because bodies may be large.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=B";

    #[test]
    fn parts_come_with_their_names_and_exact_bytes() {
        let body = b"--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\nx\r\n--C\r\n\r\n--B\r\ncontent-disposition: form-data; name=purpose\r\n\r\nassistants\r\n--B--\r\n";
        let form = Form::parse(TYPE, body).expect("a form");
        let file = form.part("file").expect("a file");
        assert_eq!(file.bytes, b"x\r\n--C\r\n");
        assert_eq!(file.filename.as_deref(), Some("a.txt"));
        assert_eq!(form.text("purpose"), Some("assistants"));
    }

    #[test]
    fn broken_forms_are_refused() {
        for body in [
            "",
            "--C\r\n",
            "--B\r\nno end",
            "--B\r\nname\r\n--B--",
            "--B\r\n\r\n\r\nx\r\n--B--",
        ] {
            assert!(Form::parse(TYPE, body.as_bytes()).is_err(), "{body:?}");
        }
        assert!(Form::parse("application/json", b"--B--").is_err());
        assert!(Form::parse("multipart/form-data", b"--B--").is_err());
    }
}
