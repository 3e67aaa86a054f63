//! Who is calling: Principal, what it may do, and under which name it is counted.

use std::sync::Arc;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::accounts::{Account, Standing};
use super::keys::rules::{OnLeave, Rules, forbidden};
use super::keys::{self, RelayKey};
use super::limit::OwnLimits;
use super::revocation::Revocation;
use super::{Ask, Right};
use crate::config::CallerKind;
use crate::error::Refusal;
use crate::store::Role;

/// A verified caller.
#[derive(Debug)]
pub enum Principal {
    /// Holder of `RELAY_TOKEN`.
    RelayToken,
    /// Somebody who is logged in.
    Account(Standing),
    /// Holder of a relay key.
    Key(keys::Standing),
    /// Holder of a sealed token.
    Sealed(Box<Sealed>),
    /// Brings an ephemeral credential of OpenAI's own (`ek_…`), which goes upstream as it is.
    Ephemeral(SecretString),
    /// Brings a key of its own (`sk-…`), which goes upstream as it is.
    ClientKey(SecretString),
    /// Nobody in particular, where the operator allows that.
    Anonymous,
}

/// What a sealed token stands for.
#[derive(Debug)]
pub struct Sealed {
    /// Who made it.
    pub(super) maker: Maker,
    /// What it may be used for, beside what its maker may.
    pub(super) rules: Arc<Rules>,
    /// Limits of its own.
    pub(super) limits: OwnLimits,
    /// The model of its session, where it is for one.
    pub(super) model: Option<String>,
    /// OpenAI's own credential, which goes upstream in its place.
    pub(super) secret: Option<SecretString>,
    /// Under which name it is logged.
    pub(super) subject: String,
}

/// Who makes sealed tokens.
#[derive(Debug)]
pub(super) enum Maker {
    /// Holder of `RELAY_TOKEN`.
    RelayToken,
    /// Somebody who is logged in.
    Account(Standing),
    /// Holder of a relay key.
    Key(keys::Standing),
}

/// The name of whoever holds `RELAY_TOKEN`.
const RELAY_TOKEN: &str = "relay-token";

impl Maker {
    /// Under which name it is counted.
    pub(super) fn counted_as(&self) -> &str {
        match self {
            Maker::RelayToken => RELAY_TOKEN,
            Maker::Account(standing) => &standing.account().subject,
            Maker::Key(standing) => &standing.entry().counted_as,
        }
    }

    fn key(&self) -> Option<&RelayKey> {
        match self {
            Maker::Key(standing) => Some(standing.entry()),
            Maker::RelayToken | Maker::Account(_) => None,
        }
    }

    fn revoked(&self) -> Option<CancellationToken> {
        match self {
            Maker::RelayToken => None,
            Maker::Account(standing) => Some(standing.revoked()),
            Maker::Key(standing) => Some(standing.revoked()),
        }
    }
}

impl Principal {
    /// The stable name under which this caller is logged.
    pub fn subject(&self) -> &str {
        match self {
            Principal::RelayToken => RELAY_TOKEN,
            Principal::Account(standing) => &standing.account().subject,
            Principal::Key(standing) => &standing.entry().subject,
            Principal::Sealed(sealed) => &sealed.subject,
            Principal::Ephemeral(_) => "ephemeral",
            Principal::ClientKey(_) => "client-key",
            Principal::Anonymous => "anonymous",
        }
    }

    /// What kind of caller it is, for limits.
    pub fn kind(&self) -> CallerKind {
        match self {
            Principal::RelayToken => CallerKind::Token,
            Principal::Account(_) | Principal::Key(_) => CallerKind::User,
            Principal::Sealed(sealed) => match sealed.maker {
                Maker::RelayToken => CallerKind::Token,
                Maker::Account(_) | Maker::Key(_) => CallerKind::User,
            },
            Principal::Ephemeral(_) | Principal::ClientKey(_) => CallerKind::OpenAi,
            Principal::Anonymous => CallerKind::Anonymous,
        }
    }

    /// The name under which it is limited as a user, and under which its calls are its own: all
    /// credentials of a user are one, and a sealed token is its maker's. Whoever the relay cannot tell apart has none:
    /// OpenAI's credentials are not verified here, so anybody could make up as many as it takes.
    pub fn name(&self) -> Option<&str> {
        match self {
            Principal::RelayToken | Principal::Account(_) => Some(self.subject()),
            Principal::Key(standing) => Some(&standing.entry().counted_as),
            Principal::Sealed(sealed) => Some(sealed.maker.counted_as()),
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
            Principal::Sealed(sealed) => sealed.secret.as_ref(),
            Principal::RelayToken
            | Principal::Account(_)
            | Principal::Key(_)
            | Principal::Anonymous => None,
        }
    }

    /// Whether what goes upstream is an ephemeral credential, which knows its session.
    pub fn is_ephemeral(&self) -> bool {
        match self {
            Principal::Ephemeral(_) => true,
            Principal::Sealed(sealed) => sealed.secret.is_some(),
            _ => false,
        }
    }

    /// The rules that hold for it: all of them.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<Rules>> {
        let (key, own) = match self {
            Principal::Key(standing) => (Some(standing.entry()), None),
            Principal::Sealed(sealed) => (sealed.maker.key(), Some(&sealed.rules)),
            _ => (None, None),
        };
        key.map(|key| &key.rules).into_iter().chain(own)
    }

    /// Whether what it asks for is finished upstream if its client leaves: some rule says so, and none
    /// says otherwise.
    pub fn finishes(&self) -> bool {
        let mut said = self.rules().filter_map(|rules| rules.on_leave());
        let is_finish = |leaving| leaving == OnLeave::Finish;
        said.next().is_some_and(is_finish) && said.all(is_finish)
    }

    /// The model that its credential was made for.
    pub fn model(&self) -> Option<&str> {
        match self {
            Principal::Sealed(sealed) => sealed.model.as_deref(),
            _ => None,
        }
    }

    /// The limits that its credential brings along.
    pub(super) fn limits(&self) -> [Option<&OwnLimits>; 2] {
        match self {
            Principal::Key(standing) => [Some(&standing.entry().limits), None],
            Principal::Sealed(sealed) => {
                let key = sealed.maker.key();
                [key.map(|key| &key.limits), Some(&sealed.limits)]
            }
            _ => [None, None],
        }
    }

    /// Whether `OpenAI-Organization` and `OpenAI-Project` of this caller go upstream
    /// (contract section 5).
    pub fn may_name_organization(&self) -> bool {
        match self {
            Principal::RelayToken | Principal::Ephemeral(_) | Principal::ClientKey(_) => true,
            Principal::Account(_) | Principal::Anonymous => false,
            Principal::Key(_) => self.rules().all(|rules| rules.names_organization()),
            Principal::Sealed(sealed) => {
                let is_account = matches!(sealed.maker, Maker::Account(_));
                !is_account && self.rules().all(|rules| rules.names_organization())
            }
        }
    }

    /// Tells when this caller's credential is withdrawn.
    pub fn revocation(&self) -> Revocation {
        Revocation::of(self.revoked())
    }

    fn revoked(&self) -> Option<CancellationToken> {
        match self {
            Principal::Account(standing) => Some(standing.revoked()),
            Principal::Key(standing) => Some(standing.revoked()),
            Principal::Sealed(sealed) => sealed.maker.revoked(),
            _ => None,
        }
    }

    /// Whether this caller's credential was withdrawn since it was verified.
    pub(super) fn is_revoked(&self) -> bool {
        self.revoked().is_some_and(|revoked| revoked.is_cancelled())
    }

    /// Whether a known caller may do this; the refusal names the rule.
    pub(super) fn check(&self, ask: &Ask<'_>) -> Result<(), Refusal> {
        self.check_right(ask.right)?;
        self.rules().try_for_each(|rules| rules.check(ask))
    }

    fn check_right(&self, right: Right) -> Result<(), Refusal> {
        if let Principal::Sealed(sealed) = self {
            return sealed.check_right(right);
        }
        let role = self.account().map(|account| account.role);
        let rule = match right {
            Right::Api | Right::Realtime | Right::RealtimeSocket | Right::Offer => return Ok(()),
            Right::ClientSecret => return Ok(()),
            Right::Seal if self.can_seal() => return Ok(()),
            Right::Seal => "Tokens are made by RELAY_TOKEN, accounts and relay keys.",
            Right::User if role.is_some() => return Ok(()),
            Right::User => {
                "This route is for users. Log in at /api/v1/auth/login and send the access token."
            }
            Right::Admin if role == Some(Role::Admin) => return Ok(()),
            Right::Admin => {
                "This route is for admins. The operator makes one: openai-relay user role NAME admin."
            }
            Right::Operate if role == Some(Role::Admin) => return Ok(()),
            Right::Operate if matches!(self, Principal::RelayToken) => return Ok(()),
            Right::Operate => "This route is for RELAY_TOKEN and admins.",
        };
        Err(forbidden(rule))
    }

    /// Whether it may make sealed tokens.
    fn can_seal(&self) -> bool {
        matches!(
            self,
            Principal::RelayToken | Principal::Account(_) | Principal::Key(_)
        )
    }
}

impl Sealed {
    fn check_right(&self, right: Right) -> Result<(), Refusal> {
        match right {
            Right::Realtime | Right::RealtimeSocket | Right::Offer => Ok(()),
            Right::Api if self.secret.is_none() => Ok(()),
            Right::Api => Err(forbidden(
                "This token opens realtime routes only: it was made by /v1/realtime/client_secrets.",
            )),
            Right::ClientSecret | Right::Seal => Err(forbidden(
                "A token makes no tokens. Make them with what made this one.",
            )),
            Right::User | Right::Admin | Right::Operate => Err(forbidden(
                "This token opens relayed routes, none of the relay's own.",
            )),
        }
    }
}
