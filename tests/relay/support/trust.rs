//! What a test measured of a promise, for TRUST.md.

use std::path::Path;

use serde_json::json;

/// Keeps the value that `scripts/test` measured of a promise such as `P03`.
pub fn record(promise: &str, measured: &str) {
    record_by(promise, measured, "scripts/test");
}

/// The same for a promise of which several tests each show a part.
pub fn record_part(promise: &str, part: &str, measured: &str) {
    write(
        &format!("{promise}-{part}"),
        promise,
        measured,
        "scripts/test",
    );
}

/// The same, by another command.
pub fn record_by(promise: &str, measured: &str, command: &str) {
    write(promise, promise, measured, command);
}

fn write(name: &str, promise: &str, measured: &str, command: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/trust");
    std::fs::create_dir_all(&folder).expect("a folder");
    let row = json!({ "promise": promise, "measured": measured, "command": command });
    let command = command.replace(['/', ' '], "-");
    let path = folder.join(format!("{name}-{command}.json"));
    std::fs::write(path, row.to_string()).expect("a record");
}
