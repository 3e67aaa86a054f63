//! What a row of the table is made of.
//!
//! A row only describes: it must never read a value from anywhere by itself.

use super::draft::Draft;

/// One variable.
pub(super) struct Row {
    /// The name under which it is reported.
    pub(super) name: &'static str,
    /// Further names, weaker than `name`.
    pub(super) aliases: &'static [&'static str],
    /// The default, read by the same setter; empty for none.
    pub(super) default: &'static str,
    /// The unit of a bare number; empty for none.
    pub(super) unit: &'static str,
    /// What it accepts, in words that follow "accepts".
    pub(super) accepts: &'static str,
    /// What it is for, in sentences; the first one goes into `.env.example`.
    pub(super) help: &'static str,
    /// Whether its value must never be shown.
    pub(super) secret: bool,
    /// Where it stands in the documents.
    pub(super) section: Section,
    /// Reads the value into the draft, or gives the end of a sentence that starts with the value.
    pub(super) set: fn(&mut Draft, &str) -> Result<(), String>,
}

impl Row {
    /// Every name of the row, the strongest first.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// A chapter of the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Keys,
    Access,
    Server,
    Limits,
    Rates,
    Upstream,
    Realtime,
    Accounts,
    Log,
}

impl Section {
    pub(super) const ALL: [Self; 9] = [
        Self::Keys,
        Self::Access,
        Self::Server,
        Self::Limits,
        Self::Rates,
        Self::Upstream,
        Self::Realtime,
        Self::Accounts,
        Self::Log,
    ];

    /// The chapter's heading.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Keys => "Keys",
            Self::Access => "Who may use the server's key",
            Self::Server => "Listening and stopping",
            Self::Limits => "Limits that protect",
            Self::Rates => "Limits on callers",
            Self::Upstream => "The way to OpenAI",
            Self::Realtime => "Realtime",
            Self::Accounts => "Accounts",
            Self::Log => "Logging",
        }
    }
}

/// A row with the fields that most rows leave alone.
pub(super) const PLAIN: Row = Row {
    name: "",
    aliases: &[],
    default: "",
    unit: "",
    accepts: "",
    help: "",
    secret: false,
    section: Section::Keys,
    set: |_, _| Ok(()),
};
