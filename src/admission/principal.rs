//! Who is calling: Principal, what it may do, and under which name it is counted.

use secrecy::SecretString;

/// A verified caller.
#[derive(Debug)]
pub enum Principal {
    /// Holder of `RELAY_TOKEN`.
    RelayToken,
    /// Brings an ephemeral credential of OpenAI's own (`ek_…`), which goes upstream as it is.
    Ephemeral(SecretString),
    /// Brings a key of its own (`sk-…`), which goes upstream as it is.
    ClientKey(SecretString),
    /// Nobody in particular, where the operator allows that.
    Anonymous,
}

impl Principal {
    /// The stable name under which this caller is counted and logged.
    pub fn subject(&self) -> &'static str {
        match self {
            Principal::RelayToken => "relay-token",
            Principal::Ephemeral(_) => "ephemeral",
            Principal::ClientKey(_) => "client-key",
            Principal::Anonymous => "anonymous",
        }
    }

    /// The caller's own OpenAI credential; `None` where the server lends its key.
    pub fn own_credential(&self) -> Option<&SecretString> {
        match self {
            Principal::Ephemeral(secret) | Principal::ClientKey(secret) => Some(secret),
            Principal::RelayToken | Principal::Anonymous => None,
        }
    }

    /// Whether `OpenAI-Organization` and `OpenAI-Project` of this caller go upstream
    /// (contract section 5).
    pub fn may_name_organization(&self) -> bool {
        !matches!(self, Principal::Anonymous)
    }
}
