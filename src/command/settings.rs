//! `config`: the settings in effect.

use std::process::ExitCode;

use anyhow::Result;

use super::say;
use crate::config::{Loaded, effective_text};

pub(super) fn run(loaded: &Loaded) -> Result<ExitCode> {
    say(effective_text(&loaded.values).trim_end());
    if !loaded.notes.is_empty() {
        say("");
    }
    for note in &loaded.notes {
        say(&format!("note: {note}"));
    }
    Ok(ExitCode::SUCCESS)
}
