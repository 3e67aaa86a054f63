//! Documents that repeat the code, and what they point at.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every page of the project's.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![root().join("docs"), root().join("deploy")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                pages.push(path);
            }
        }
    }
    let top = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "TRUST.md",
    ];
    pages.extend(top.map(|name| root().join(name)));
    pages
}

#[test]
fn the_table_of_metrics_is_the_codes() {
    let path = root().join("docs/metrics.md");
    let page = read(&path);
    let (before, rest) = page.split_once("<!-- table -->\n").expect("a table");
    let (_, after) = rest.split_once("<!-- end of table -->").expect("its end");
    let table = openai_relay::control::metrics_markdown();
    let wanted = format!("{before}<!-- table -->\n{table}<!-- end of table -->{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &wanted).expect("the document is written");
    }
    assert!(
        read(&path) == wanted,
        "docs/metrics.md differs from the table: run `UPDATE_DOCS=1 cargo test --test documents`"
    );
}

#[test]
fn links_between_pages_lead_to_files_that_are_there() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = read(&page);
        for rest in text.split("](").skip(1) {
            let target = rest.split(')').next().unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            let is_local = !file.is_empty() && !file.contains("://") && !file.contains(' ');
            let folder = page.parent().expect("a folder");
            if is_local && !folder.join(file).exists() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn alerts_dashboard_and_queries_ask_for_metrics_that_there_are() {
    let table = openai_relay::control::metrics_markdown();
    let mut known: Vec<String> = Vec::new();
    for line in table.lines().skip(2) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`');
        known.push(name.to_owned());
        if cells[2] == "histogram" {
            known.extend(["_bucket", "_count", "_sum"].map(|part| format!("{name}{part}")));
        }
    }
    let mut unknown = Vec::new();
    for file in [
        "deploy/prometheus/alerts.yml",
        "deploy/grafana/openai-relay.json",
        "docs/metrics.md",
    ] {
        let text = read(&root().join(file));
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let asked =
            words.filter(|word| word.starts_with("openai_relay_") || word.starts_with("process_"));
        let asked = asked.filter(|word| !known.iter().any(|name| name == word));
        unknown.extend(asked.map(|word| format!("{file}: {word}")));
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}
