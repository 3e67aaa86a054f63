//! The texts that follow from the table: `docs/configuration.md`, `.env.example`, and the table that `config` prints.
//!
//! Nothing here may hold a fact of its own about a variable: what is said of one stands in its row.

use std::fmt::Write;

use super::Effective;
use super::row::{Row, Section};
use super::table::rows;

const HEAD: &str = "\
# Configuration

Generated from src/config/table.rs; `UPDATE_DOCS=1 cargo test --test config` rewrites it.

The relay is configured by environment variables. None is required to start; most setups set two:

```bash
OPENAI_API_KEY=sk-...
RELAY_TOKEN=...   # openssl rand -hex 32
```

## Where values come from

1. The process's environment.
2. `.env.local` in the working directory.
3. `.env` in the working directory.
4. The default.

The first one that has a value wins. An empty value counts as unset. In `.env` files nothing is substituted: a `$` is a `$`.

Every variable can also come from a file: `NAME_FILE` holds the path of a file with the value, such as
`OPENAI_API_KEY_FILE=/run/secrets/openai_api_key`. The file has at most 64 KiB; space and line ends around the value are
dropped. Setting `NAME` and `NAME_FILE` in the same place is an error.

Times are in seconds unless a suffix says otherwise: `500ms`, `15m`, `0.5`, `1h`.

A value that cannot be read stops the start with exit code 2. All errors are printed at once, each with the variable, what
it holds, what it accepts and where it was set; secrets are never printed. A name that is nearly a known one is pointed out.
`openai-relay config` prints every variable with its value and its source.
";

/// The text of `docs/configuration.md`.
#[must_use]
pub fn configuration_markdown() -> String {
    let mut out = HEAD.to_owned();
    for section in Section::ALL {
        let _ = write!(
            out,
            "\n## {}\n\n| variable | default | unit | meaning | accepts |\n| --- | --- | --- | --- | --- |\n",
            section.title()
        );
        for row in rows().filter(|row| row.section == section) {
            let _ = writeln!(out, "{}", markdown_row(row));
        }
    }
    out
}

/// The text of `.env.example`.
#[must_use]
pub fn env_example() -> String {
    let mut out = "# Copy to .env and fill in. What each variable means and accepts: docs/configuration.md.\n\
                   # Generated from src/config/table.rs; `UPDATE_DOCS=1 cargo test --test config` rewrites it.\n"
        .to_owned();
    for section in Section::ALL {
        let _ = writeln!(out, "\n# --- {} ---", section.title());
        for row in rows().filter(|row| row.section == section) {
            let mark = if section == Section::Keys { "" } else { "# " };
            let unit = if row.unit.is_empty() {
                String::new()
            } else {
                format!(" ({})", row.unit)
            };
            let _ = write!(
                out,
                "\n# {}{unit}\n{mark}{}={}\n",
                first_sentence(row.help),
                row.name,
                row.default
            );
        }
    }
    out
}

/// The table that the `config` command prints.
#[must_use]
pub fn effective_text(values: &[Effective]) -> String {
    let head = ["NAME", "VALUE", "SOURCE"].map(str::to_owned);
    let rows = values
        .iter()
        .map(|one| [one.name.to_owned(), one.value.clone(), one.source.clone()]);
    let lines: Vec<_> = std::iter::once(head).chain(rows).collect();
    aligned(&lines)
}

/// Lines of cells, each column as wide as its widest cell.
#[must_use]
pub fn aligned<const COLUMNS: usize>(lines: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| {
        let cells = lines.iter().map(|cells| cells[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let mut out = String::new();
    for cells in lines {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

fn markdown_row(row: &Row) -> String {
    let names: Vec<String> = row.names().map(|name| format!("`{name}`")).collect();
    let default = if row.default.is_empty() {
        "—".to_owned()
    } else {
        format!("`{}`", row.default)
    };
    let secret = if row.secret { " Secret." } else { "" };
    let cells = [
        names.join(", "),
        default,
        row.unit.to_owned(),
        format!("{}{secret}", row.help),
        row.accepts.to_owned(),
    ];
    format!(
        "| {} |",
        cells.map(|cell| cell.replace('|', "\\|")).join(" | ")
    )
}

/// A help text up to its first full stop, which is dropped, and without its marks of code.
fn first_sentence(help: &str) -> String {
    let end = help.find(". ").unwrap_or(help.trim_end_matches('.').len());
    help[..end].replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_name_every_variable() {
        for row in rows() {
            for name in row.names() {
                assert!(
                    configuration_markdown().contains(&format!("`{name}`")),
                    "{name}"
                );
            }
            assert!(
                env_example().contains(&format!("{}=", row.name)),
                "{}",
                row.name
            );
        }
    }

    #[test]
    fn the_example_starts_with_the_two_keys() {
        let example = env_example();
        let set: Vec<&str> = example
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .collect();
        assert_eq!(set, ["OPENAI_API_KEY=", "RELAY_TOKEN="]);
    }
}
