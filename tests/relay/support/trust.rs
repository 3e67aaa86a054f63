//! What a test measured of a promise, for TRUST.md.

use std::path::Path;

use serde_json::json;

/// Keeps the value that `scripts/test` measured of a promise such as `P03`.
pub fn record(promise: &str, measured: &str) {
    record_by(promise, measured, "scripts/test");
}

/// The same, where several tests measure parts of one promise.
pub fn record_part(promise: &str, part: &str, measured: &str) {
    keep(promise, measured, "scripts/test", &format!("-{part}"));
}

/// The same as [`record`], by another command.
pub fn record_by(promise: &str, measured: &str, command: &str) {
    keep(promise, measured, command, "");
}

fn keep(promise: &str, measured: &str, command: &str, part: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/trust");
    std::fs::create_dir_all(&folder).expect("a folder");
    let row = json!({ "promise": promise, "measured": measured, "command": command });
    let name = command.replace('/', "-");
    let path = folder.join(format!("{promise}-{name}{part}.json"));
    std::fs::write(path, row.to_string()).expect("a record");
}
