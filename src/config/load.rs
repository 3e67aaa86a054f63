//! Reads all variables, checks each and all together, and says what is in effect or wrong.

use std::fmt;

use super::draft::Draft;
use super::mask::Mask;
use super::review::review;
use super::row::Row;
use super::table::rows;
use super::{Config, Sources};

/// What a successful [`load`] gives.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Warnings to log at start, each a sentence that stands alone.
    pub notes: Vec<String>,
    /// Every variable with its value and where that came from.
    pub values: Vec<Effective>,
}

/// One variable as it is in effect, safe to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The variable's name.
    pub name: &'static str,
    /// Its value, masked where it is secret; `-` where unset.
    pub value: String,
    /// Where the value came from.
    pub source: String,
}

/// Everything that is wrong with a configuration, in the order of the table; never holds a secret's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub(super) Vec<String>);

impl ConfigErrors {
    /// The errors, one sentence each, starting with what they are about.
    #[must_use]
    pub fn messages(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

/// Reads every variable from `sources`, checks each and all together.
///
/// # Errors
/// All mistakes at once, each naming its variable, what it holds (secrets masked), what it accepts and where it was set.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let mask = sources.mask();
    let mut errors: Vec<String> = sources.problems().to_vec();
    let mut draft = Draft::blank();
    draft.notes.extend(sources.notes().iter().cloned());
    draft.notes.extend(sources.slips().iter().cloned());
    let mut found = Vec::new();
    for row in rows() {
        let one = sources
            .find(row, &mask, &mut draft.notes)
            .unwrap_or_else(|error| {
                errors.push(error);
                None
            });
        if one.is_some() {
            draft.given.insert(row.name);
        }
        found.push(one);
    }
    let mut values = Vec::new();
    for (row, one) in rows().zip(found) {
        let (text, place) = one.map_or_else(
            || (row.default.to_owned(), "default".to_owned()),
            |one| (one.text, one.place),
        );
        values.push(effective(row, &text, &place, &mask));
        if text.is_empty() {
            continue;
        }
        if let Err(fault) = (row.set)(&mut draft, &text) {
            let shown = mask.quoted(row, &text);
            errors.push(format!(
                "{}: {shown} {fault}; accepts {} (from {place})",
                row.name, row.accepts
            ));
        }
    }
    review(&mut draft, &mut errors);
    if !errors.is_empty() {
        // A value that seems to be missing may be there under another name.
        errors.extend(sources.slips().iter().cloned());
        return Err(ConfigErrors(errors));
    }
    Ok(Loaded {
        config: draft.config,
        notes: draft.notes,
        values,
    })
}

fn effective(row: &Row, text: &str, place: &str, mask: &Mask) -> Effective {
    if text.is_empty() {
        return Effective {
            name: row.name,
            value: "-".to_owned(),
            source: "not set".to_owned(),
        };
    }
    Effective {
        name: row.name,
        value: mask.plain(row, text),
        source: place.to_owned(),
    }
}
