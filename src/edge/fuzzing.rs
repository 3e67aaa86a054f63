//! What holds for every path that passes the jail.

use super::sanitize::check_path;

/// For an upstream that decodes once and takes either slash, an accepted path stays where it is.
pub(crate) fn path(path: &[u8]) {
    if check_path(path).is_err() || !path.starts_with(b"/v1/") {
        return;
    }
    let text = String::from_utf8_lossy(path).to_lowercase();
    let decoded = text
        .replace("%2e", ".")
        .replace("%2f", "/")
        .replace("%5c", "/");
    let mut depth = 0;
    for segment in decoded
        .split(['/', '\\'])
        .filter(|segment| !segment.is_empty())
    {
        depth += if segment == ".." { -1 } else { 1 };
        assert!(depth >= 1, "{text}");
    }
}
