//! Where values come from: the process environment, `.env.local`, `.env`, and files named by `NAME_FILE`.
//!
//! Everything is read once, here, so that loading stays pure; values must never be printed but through [`Mask`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::mask::Mask;
use super::row::Row;
use super::table::rows;
use super::{ConfigErrors, dotenv, spelling};

/// The files in the working directory, the stronger one first.
const ENV_FILES: [&str; 2] = [".env.local", ".env"];
/// The largest `.env` file, in bytes.
const ENV_FILE_LIMIT: u64 = 1024 * 1024;
/// The largest file that `NAME_FILE` may name, in bytes.
const VALUE_FILE_LIMIT: u64 = 64 * 1024;

/// Every value that was given, by layer; the stronger layers come first.
pub struct Sources {
    layers: Vec<Layer>,
    /// What the files named by `NAME_FILE` hold, or why they cannot be read, by the path as it was written.
    files: BTreeMap<String, Result<String, String>>,
    problems: Vec<String>,
    notes: Vec<String>,
    slips: Vec<String>,
}

/// The environment or one file.
struct Layer {
    /// The file's name; none for the environment.
    file: Option<&'static str>,
    entries: BTreeMap<String, Entry>,
}

struct Entry {
    /// None where it is not UTF-8.
    text: Option<String>,
    line: usize,
}

/// The value of one row and where it came from.
pub(super) struct Found {
    pub(super) text: String,
    pub(super) place: String,
}

impl Sources {
    /// Reads this process's environment and the `.env` files in `dir`.
    ///
    /// # Errors
    /// When a `.env` file cannot be read or parsed; then everything else that is wrong is reported with it.
    pub fn from_process(dir: &Path) -> Result<Self, ConfigErrors> {
        Self::gather(std::env::vars_os(), dir)
    }

    /// Reads the given environment and the `.env` files in `dir`, which is also where relative paths start.
    ///
    /// # Errors
    /// As [`Sources::from_process`].
    pub fn gather(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        dir: &Path,
    ) -> Result<Self, ConfigErrors> {
        let entries = environment.into_iter().filter_map(|(name, text)| {
            let name = name.into_string().ok()?;
            Some((
                name,
                Entry {
                    text: text.into_string().ok(),
                    line: 0,
                },
            ))
        });
        let mut sources = Self::from_layer(Layer {
            file: None,
            entries: entries.collect(),
        });
        for file in ENV_FILES {
            if let Some(text) = sources.read_env_file(dir, file) {
                sources.add_env_file(file, &text);
            }
        }
        sources.finish(dir);
        if sources.problems.is_empty() {
            return Ok(sources);
        }
        match super::load(&sources) {
            Err(errors) => Err(errors),
            Ok(_) => Err(ConfigErrors(sources.problems)),
        }
    }

    /// Takes the given pairs as the environment and reads no `.env` file.
    pub fn from_map<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let entries = pairs.into_iter().map(|(name, text)| {
            (
                name.into(),
                Entry {
                    text: Some(text.into()),
                    line: 0,
                },
            )
        });
        let mut sources = Self::from_layer(Layer {
            file: None,
            entries: entries.collect(),
        });
        sources.finish(Path::new(""));
        sources
    }

    /// What went wrong while reading.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// What should be warned about from reading alone.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What was probably meant by names that mean nothing.
    pub(super) fn slips(&self) -> &[String] {
        &self.slips
    }

    /// A mask that knows every secret in any layer, also those that another value outranks.
    pub(super) fn mask(&self) -> Mask {
        let mut secrets = Vec::new();
        for (row, name) in names().filter(|(row, _)| row.secret) {
            for layer in &self.layers {
                let direct = layer.text(name);
                let file = layer
                    .text(&file_name(name))
                    .and_then(|path| self.files.get(path)?.as_ref().ok());
                secrets.extend(
                    direct
                        .into_iter()
                        .chain(file.map(String::as_str))
                        .map(|text| clean(text).0.to_owned()),
                );
            }
            debug_assert!(row.default.is_empty(), "a secret has no default");
        }
        Mask::new(secrets.into_iter())
    }

    /// The value of a row from the strongest layer that has one.
    pub(super) fn find(
        &self,
        row: &Row,
        mask: &Mask,
        notes: &mut Vec<String>,
    ) -> Result<Option<Found>, String> {
        for layer in &self.layers {
            let mut candidates = Vec::new();
            for name in row.names() {
                if let Some(found) = self.candidate(layer, name, mask, notes)? {
                    candidates.push((name, found));
                }
            }
            let mut candidates = candidates.into_iter();
            let Some((first, found)) = candidates.next() else {
                continue;
            };
            if let Some((other, _)) = candidates.find(|(_, other)| other.text != found.text) {
                if row.secret {
                    return Err(format!(
                        "{first}: {other} is set too, to another value; keep one of them (in {})",
                        layer.name()
                    ));
                }
                notes.push(format!(
                    "`{first}` and `{other}` are set to different values; `{first}` is used"
                ));
            }
            return Ok(Some(found));
        }
        Ok(None)
    }

    /// The value that one layer holds under one name, directly or by file.
    fn candidate(
        &self,
        layer: &Layer,
        name: &str,
        mask: &Mask,
        notes: &mut Vec<String>,
    ) -> Result<Option<Found>, String> {
        let by_file = file_name(name);
        layer.check_utf8(name)?;
        layer.check_utf8(&by_file)?;
        let direct = layer.text(name).filter(|text| !clean(text).0.is_empty());
        let path = layer
            .text(&by_file)
            .map(|text| clean(text).0)
            .filter(|path| !path.is_empty());
        let (raw, place) = match (direct, path) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err(format!(
                    "{name}: {by_file} is set too; keep one of them (in {})",
                    layer.name()
                ));
            }
            (Some(text), None) => (text, layer.place(name)),
            (None, Some(path)) => {
                let text = self.file_text(path).map_err(|fault| {
                    let shown = mask.quoted_text(path);
                    format!(
                        "{by_file}: the file {shown} {fault} (from {})",
                        layer.place(&by_file)
                    )
                })?;
                (
                    text,
                    format!("the file that {by_file} names in {}", layer.name()),
                )
            }
        };
        let (text, unquoted) = clean(raw);
        if unquoted {
            notes.push(format!("`{name}` was in quotes, which are not part of its value and were dropped (from {place})"));
        }
        if layer.file.is_some() && text.contains("${") {
            notes.push(format!("`{name}` contains `${{`, which is taken as it stands: nothing is substituted (from {place})"));
        }
        Ok(Some(Found {
            text: text.to_owned(),
            place,
        }))
    }

    /// What a file named by `NAME_FILE` holds; an empty one is a fault, so that no token is lost in silence.
    fn file_text(&self, path: &str) -> Result<&str, &str> {
        match self.files.get(path) {
            None => Err("was not read"),
            Some(Err(fault)) => Err(fault),
            Some(Ok(text)) if clean(text).0.is_empty() => {
                Err("is empty; put the value into it or unset the variable")
            }
            Some(Ok(text)) => Ok(text),
        }
    }

    fn from_layer(layer: Layer) -> Self {
        Self {
            layers: vec![layer],
            files: BTreeMap::new(),
            problems: Vec::new(),
            notes: Vec::new(),
            slips: Vec::new(),
        }
    }

    fn read_env_file(&mut self, dir: &Path, file: &'static str) -> Option<String> {
        let path = dir.join(file);
        let read = match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => Err(format!("cannot be read: {error}")),
            Ok(meta) if meta.is_dir() => Err("is a directory; a file was expected".to_owned()),
            Ok(_) => read_limited(&path, ENV_FILE_LIMIT),
        };
        read.map_err(|fault| self.problems.push(format!("{file}: the file {fault}")))
            .ok()
    }

    fn add_env_file(&mut self, file: &'static str, text: &str) {
        let parsed = dotenv::parse(text);
        for line in parsed.faulty_lines {
            self.problems.push(format!(
                "{file}: line {line} cannot be read; accepts NAME=value, a comment after #, or nothing (is a quote left open?)"
            ));
        }
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for one in parsed.assignments {
            let entry = Entry {
                text: Some(one.text),
                line: one.line,
            };
            let earlier = entries.insert(one.name.clone(), entry);
            if earlier.is_some() && names().any(|(_, name)| name == one.name) {
                self.notes.push(format!(
                    "`{}` is set more than once in {file}; line {} is used",
                    one.name, one.line
                ));
            }
        }
        self.layers.push(Layer {
            file: Some(file),
            entries,
        });
    }

    /// Reads the files that `NAME_FILE` variables name, and looks for misspelt names.
    fn finish(&mut self, dir: &Path) {
        for (_, name) in names() {
            for layer in &self.layers {
                let path = layer
                    .text(&file_name(name))
                    .map(|text| clean(text).0)
                    .filter(|path| !path.is_empty());
                if let Some(path) = path {
                    self.files
                        .entry(path.to_owned())
                        .or_insert_with(|| read_value_file(&dir.join(path)));
                }
            }
        }
        let given: Vec<&str> = self
            .layers
            .iter()
            .flat_map(|layer| layer.entries.keys().map(String::as_str))
            .collect();
        self.slips = spelling::suspects(&given);
    }
}

impl Layer {
    fn text(&self, name: &str) -> Option<&str> {
        self.entries.get(name)?.text.as_deref()
    }

    fn check_utf8(&self, name: &str) -> Result<(), String> {
        match self.entries.get(name) {
            Some(Entry { text: None, .. }) => Err(format!(
                "{name}: the value is not UTF-8 text (from {})",
                self.place(name)
            )),
            _ => Ok(()),
        }
    }

    fn name(&self) -> &'static str {
        self.file.unwrap_or("the environment")
    }

    /// Where a name stands, for people.
    fn place(&self, name: &str) -> String {
        let line = self.entries.get(name).map_or(0, |entry| entry.line);
        let alias = names().all(|(row, _)| row.name != name);
        match (self.file, alias) {
            (Some(file), false) => format!("{file} line {line}"),
            (Some(file), true) => format!("{name} in {file} line {line}"),
            (None, false) => "the environment".to_owned(),
            (None, true) => format!("{name} in the environment"),
        }
    }
}

/// Every name of every row.
fn names() -> impl Iterator<Item = (&'static Row, &'static str)> {
    rows().flat_map(|row| row.names().map(move |name| (row, name)))
}

/// The variable that names a file with the value of `name`.
pub(super) fn file_name(name: &str) -> String {
    format!("{name}_FILE")
}

/// A value without the space around it and one pair of quotes, and whether there were quotes.
fn clean(text: &str) -> (&str, bool) {
    let text = text.trim();
    for quote in ['"', '\''] {
        let inside = text
            .strip_prefix(quote)
            .and_then(|text| text.strip_suffix(quote));
        if let Some(inside) = inside.filter(|inside| !inside.contains(quote)) {
            return (inside.trim(), true);
        }
    }
    (text, false)
}

fn read_value_file(path: &Path) -> Result<String, String> {
    let meta = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    if !meta.is_file() {
        return Err("is not a regular file".to_owned());
    }
    read_limited(path, VALUE_FILE_LIMIT)
}

fn read_limited(path: &Path, limit: u64) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > limit {
        return Err(format!("is larger than {} KiB", limit / 1024));
    }
    let text =
        String::from_utf8(bytes).map_err(|_| "is not UTF-8 text; save it as UTF-8".to_owned())?;
    Ok(text
        .strip_prefix('\u{feff}')
        .map(str::to_owned)
        .unwrap_or(text))
}
