//! Who is calling: Principal, what it may do, and under which name it is counted.

use secrecy::SecretString;

use super::Right;
use super::accounts::{Account, Standing};
use super::revocation::Revocation;
use crate::config::CallerKind;
use crate::error::{Kind, Refusal};
use crate::store::Role;

/// A verified caller.
#[derive(Debug)]
pub enum Principal {
    /// Holder of `RELAY_TOKEN`.
    RelayToken,
    /// Somebody who is logged in.
    Account(Standing),
    /// Brings an ephemeral credential of OpenAI's own (`ek_…`), which goes upstream as it is.
    Ephemeral(SecretString),
    /// Brings a key of its own (`sk-…`), which goes upstream as it is.
    ClientKey(SecretString),
    /// Nobody in particular, where the operator allows that.
    Anonymous,
}

impl Principal {
    /// The stable name under which this caller is counted and logged.
    pub fn subject(&self) -> &str {
        match self {
            Principal::RelayToken => "relay-token",
            Principal::Account(standing) => &standing.account().subject,
            Principal::Ephemeral(_) => "ephemeral",
            Principal::ClientKey(_) => "client-key",
            Principal::Anonymous => "anonymous",
        }
    }

    /// What kind of caller it is, for limits.
    pub fn kind(&self) -> CallerKind {
        match self {
            Principal::RelayToken => CallerKind::Token,
            Principal::Account(_) => CallerKind::User,
            Principal::Ephemeral(_) | Principal::ClientKey(_) => CallerKind::OpenAi,
            Principal::Anonymous => CallerKind::Anonymous,
        }
    }

    /// The name under which it is limited as a user. Whoever the relay cannot tell apart has none:
    /// OpenAI's credentials are not verified here, so anybody could make up as many as it takes.
    pub fn name(&self) -> Option<&str> {
        match self {
            Principal::RelayToken | Principal::Account(_) => Some(self.subject()),
            Principal::Ephemeral(_) | Principal::ClientKey(_) | Principal::Anonymous => None,
        }
    }

    /// The account that is logged in.
    pub fn account(&self) -> Option<&Account> {
        match self {
            Principal::Account(standing) => Some(standing.account()),
            _ => None,
        }
    }

    /// The caller's own OpenAI credential; `None` where the server lends its key.
    pub fn own_credential(&self) -> Option<&SecretString> {
        match self {
            Principal::Ephemeral(secret) | Principal::ClientKey(secret) => Some(secret),
            Principal::RelayToken | Principal::Account(_) | Principal::Anonymous => None,
        }
    }

    /// Whether `OpenAI-Organization` and `OpenAI-Project` of this caller go upstream
    /// (contract section 5).
    pub fn may_name_organization(&self) -> bool {
        !matches!(self, Principal::Account(_) | Principal::Anonymous)
    }

    /// Tells when this caller's credential is withdrawn.
    pub fn revocation(&self) -> Revocation {
        Revocation::of(match self {
            Principal::Account(standing) => Some(standing.revoked()),
            _ => None,
        })
    }

    /// Whether this caller's credential was withdrawn since it was verified.
    pub(super) fn is_revoked(&self) -> bool {
        matches!(self, Principal::Account(standing) if standing.is_revoked())
    }

    /// Whether a known caller may do this; the refusal names the rule.
    pub(super) fn check(&self, right: Right) -> Result<(), Refusal> {
        let role = self.account().map(|account| account.role);
        let rule = match right {
            Right::Api | Right::Realtime | Right::RealtimeSocket | Right::Offer => return Ok(()),
            Right::ClientSecret if role.is_none() => return Ok(()),
            Right::ClientSecret => {
                "Accounts cannot make OpenAI credentials through this relay: they would outlive its rules. Connect through the relay instead."
            }
            Right::User if role.is_some() => return Ok(()),
            Right::User => {
                "This route is for users. Log in at /api/v1/auth/login and send the access token."
            }
            Right::Admin if role == Some(Role::Admin) => return Ok(()),
            Right::Admin => "This route is for admins.",
            Right::Operate if role == Some(Role::Admin) => return Ok(()),
            Right::Operate if matches!(self, Principal::RelayToken) => return Ok(()),
            Right::Operate => "This route is for RELAY_TOKEN and admins.",
        };
        Err(Refusal::new(Kind::Forbidden, rule))
    }
}
