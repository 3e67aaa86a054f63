//! Keeps imports between rooms going downwards, and the server's key in one room.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room with the rooms that it may import. Leaves (`config`, `error`, `family`, `fields`,
/// `telemetry`, `wire`) are open to all rooms; their own imports are listed like the others'.
const ALLOWED: [(&str, &[&str]); 16] = [
    ("command", &["admission", "app", "store", "upstream"]),
    (
        "app",
        &[
            "admission",
            "control",
            "edge",
            "relay",
            "server",
            "store",
            "upstream",
        ],
    ),
    // For tests alone.
    ("fuzzing", &["edge", "relay"]),
    ("server", &["admission", "edge"]),
    ("edge", &["admission", "relay"]),
    ("control", &["admission", "store"]),
    ("relay", &["admission", "upstream"]),
    ("admission", &["store"]),
    ("store", &[]),
    ("upstream", &[]),
    ("config", &[]),
    ("error", &[]),
    ("telemetry", &[]),
    ("family", &[]),
    ("fields", &[]),
    ("wire", &[]),
];
const LEAVES: [&str; 6] = ["config", "error", "family", "fields", "telemetry", "wire"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found
}

/// Every source file of the product with the room it belongs to.
fn rooms() -> Vec<(String, PathBuf)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&src)
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(&src).expect("below src");
            let first = inside.components().next().expect("a name");
            let room = first
                .as_os_str()
                .to_string_lossy()
                .trim_end_matches(".rs")
                .to_owned();
            (room, path)
        })
        .filter(|(room, _)| room != "main" && room != "lib")
        .collect()
}

/// The rooms that a file names after `crate::`, in single paths and in braces.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in text.split("crate::").skip(1) {
        let names: Vec<&str> = match rest.strip_prefix('{') {
            Some(list) => list
                .split('}')
                .next()
                .unwrap_or_default()
                .split(',')
                .collect(),
            None => vec![rest],
        };
        for name in names {
            let end = name
                .trim()
                .find(|c: char| !(c.is_ascii_lowercase() || c == '_'));
            let name = &name.trim()[..end.unwrap_or(name.trim().len())];
            if !name.is_empty() {
                found.push(name.to_owned());
            }
        }
    }
    found
}

#[test]
fn imports_between_rooms_go_downwards_only() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    let mut wrong = Vec::new();
    for (room, path) in rooms() {
        let may = allowed.get(room.as_str());
        let may = may.unwrap_or_else(|| panic!("{room} is a new room: say what it may import"));
        let text = fs::read_to_string(&path).expect("readable");
        for import in imports(&text) {
            let is_fine = import == room
                || may.contains(&import.as_str())
                || LEAVES.contains(&import.as_str());
            if !is_fine {
                wrong.push(format!("{} imports {import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_the_upstream_room_touches_the_servers_key() {
    let may = ["config", "upstream"];
    for (room, path) in rooms() {
        let text = fs::read_to_string(&path).expect("readable");
        let reads = text.contains("api_key") && text.contains("expose_secret");
        assert!(!reads || may.contains(&room.as_str()), "{}", path.display());
    }
}

#[test]
fn nobody_but_the_gate_makes_a_permit() {
    for (room, path) in rooms() {
        let text = fs::read_to_string(&path).expect("readable");
        let makes = text.contains("Permit::new(");
        assert!(!makes || room == "admission", "{}", path.display());
    }
}

#[test]
fn the_stand_in_upstream_is_used_by_the_demo_alone() {
    for (_, path) in rooms() {
        let text = fs::read_to_string(&path).expect("readable");
        let uses = text.contains("fake_openai");
        assert!(
            !uses || path.ends_with("command/demo.rs"),
            "{}",
            path.display()
        );
    }
}

#[test]
fn files_stay_small_enough_for_one_topic() {
    for (_, path) in rooms() {
        let text = fs::read_to_string(&path).expect("readable");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.trim().starts_with("//"))
            .count();
        assert!(lines <= 400, "{} has {lines} code lines", path.display());
    }
}
