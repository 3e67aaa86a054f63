//! What a test measured of a promise, for TRUST.md.

use std::path::Path;

use serde_json::json;

/// Keeps the last measured value of a promise such as `P03`.
pub fn record(promise: &str, measured: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/trust");
    std::fs::create_dir_all(&folder).expect("a folder");
    let row = json!({ "promise": promise, "measured": measured, "command": "scripts/test" });
    let path = folder.join(format!("{promise}.json"));
    std::fs::write(path, row.to_string()).expect("a record");
}
