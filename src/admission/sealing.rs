//! Sealing: who may make a sealed token of what, and who stands behind one that is shown.

use std::sync::Arc;

use secrecy::ExposeSecret;

use super::Terms;
use super::keys::rules::{RulesText, forbidden};
use super::limit::OwnLimits;
use super::principal::{Maker, Principal, Sealed};
use super::sealed::{Contents, MakerName, Seal};
use crate::config::{self, Access, ClientSecrets};
use crate::error::{Kind, Refusal};
use crate::store::now_ms;

/// The shortest and the longest life of a token, in seconds: OpenAI's own (wire.md 6.1).
pub const LIVES_S: std::ops::RangeInclusive<u64> = 10..=7200;

/// Makes sealed tokens, and opens them.
pub struct Sealing {
    seal: Option<Seal>,
    client_secrets: Option<ClientSecrets>,
    /// What stands for `RELAY_TOKEN` in tokens that end with it: by the newest key, then by older ones.
    relay_token: Vec<String>,
}

/// What a token is to be for.
#[derive(Clone, Debug, Default)]
pub struct TokenTerms {
    /// Its rules, beside its maker's.
    pub rules: RulesText,
    /// The model of the session that OpenAI's credential inside is for.
    pub model: Option<String>,
}

impl TokenTerms {
    /// For the page that asks, if it is one: another page cannot use it.
    pub fn of_page(origin: Option<&str>) -> TokenTerms {
        let mut terms = TokenTerms::default();
        terms.rules.origins.extend(origin.map(str::to_owned));
        terms
    }

    /// With these rules; the page stays, unless they name others.
    pub fn set_rules(&mut self, rules: RulesText) {
        let page = std::mem::replace(&mut self.rules, rules).origins;
        if self.rules.origins.is_empty() {
            self.rules.origins = page;
        }
    }
}

/// A token that was made.
pub struct Minted {
    /// `ek_relay_…`.
    pub token: String,
    /// Until when it starts anything, in seconds since the epoch.
    pub expires_at_s: i64,
}

impl Sealing {
    /// With these keys.
    pub fn new(config: &config::Tokens, access: &Access) -> Sealing {
        let seal = Seal::new(&config.keys);
        let fingerprints = |seal: &Seal| {
            let token = access.relay_token.as_ref()?;
            Some(seal.fingerprints(token.expose_secret()))
        };
        Sealing {
            relay_token: seal.as_ref().and_then(fingerprints).unwrap_or_default(),
            seal,
            client_secrets: config.client_secrets,
        }
    }

    /// Whether OpenAI's ephemeral credentials that this caller makes stay within the relay. A refusal
    /// where they would leave it, and know nothing of the caller's rules.
    pub fn keeps_secrets_of(&self, principal: &Principal) -> Result<bool, Refusal> {
        let keeps = match principal {
            Principal::RelayToken => self.client_secrets == Some(ClientSecrets::Sealed),
            Principal::Account(_) | Principal::Key(_) => {
                self.client_secrets != Some(ClientSecrets::Passthrough)
            }
            _ => false,
        };
        let unkept = principal.rules().find_map(|rules| rules.kept_here_alone());
        match unkept.filter(|_| !keeps) {
            None => Ok(keeps),
            Some(rule) => Err(forbidden(format!(
                "This credential's rule `{rule}` would not hold for OpenAI's own credentials, which this relay hands out (CLIENT_SECRETS=passthrough). Make a token that keeps it: POST /api/v1/tokens."
            ))),
        }
    }

    /// A token of this caller's, until `expires_at_s`, for what it may itself and these terms allow;
    /// `secret` goes up in its place.
    pub fn mint(
        &self,
        principal: &Principal,
        expires_at_s: i64,
        terms: &TokenTerms,
        secret: Option<&str>,
    ) -> Result<Minted, Refusal> {
        terms.rules.read()?;
        let Some(seal) = &self.seal else {
            return Err(forbidden(
                "This relay has nothing to seal tokens with. The operator can set TOKEN_KEY.",
            )
            .because("no TOKEN_KEY, SECRET_KEY or RELAY_TOKEN"));
        };
        let maker = match principal {
            Principal::RelayToken => self.relay_token.first().cloned().map(MakerName::RelayToken),
            Principal::Account(standing) => Some(MakerName::Login {
                user: standing.account().user_id.clone(),
                login: standing.account().login_id.clone(),
            }),
            Principal::Key(standing) => Some(MakerName::Key {
                id: standing.entry().id.clone(),
                version: standing.entry().version,
            }),
            _ => None,
        };
        let maker = maker.ok_or_else(|| forbidden("This credential makes no tokens."))?;
        let contents = Contents::new(maker, expires_at_s, terms, secret);
        let token = seal.close(&contents).ok_or_else(|| {
            Refusal::new(
                Kind::Unclear,
                "These rules are more than a token holds (16 KiB). Give them to a relay key, and make the token by that.",
            )
        })?;
        Ok(Minted {
            token,
            expires_at_s,
        })
    }
}

impl Terms {
    /// Who shows this token.
    pub(super) async fn unseal(&self, token: &str) -> Result<Principal, Refusal> {
        let opened = self.sealing.seal.as_ref().and_then(|seal| seal.open(token));
        let Some(mut contents) = opened else {
            return Err(bad_token("a sealed token that no key opens"));
        };
        if now_ms() >= contents.expires_at_s.saturating_mul(1000) {
            return Err(bad_token("a sealed token that has expired"));
        }
        let Some(maker) = self.maker(&contents.maker).await? else {
            return Err(bad_token("a sealed token whose maker is no more"));
        };
        let rules = contents.rules.read();
        let rules = rules.map_err(|_| bad_token("a sealed token with rules of a newer relay"))?;
        let subject = format!("token of {}", maker.counted_as());
        Ok(Principal::Sealed(Box::new(Sealed {
            limits: OwnLimits::new(
                &format!("token {} of {}", contents.id, maker.counted_as()),
                rules.limits(),
            ),
            maker,
            rules: Arc::new(rules),
            model: contents.model.take(),
            secret: contents.take_secret(),
            subject,
        })))
    }

    async fn maker(&self, name: &MakerName) -> Result<Option<Maker>, Refusal> {
        Ok(match name {
            MakerName::RelayToken(fingerprint) => {
                let is_known = self.sealing.relay_token.contains(fingerprint);
                is_known.then_some(Maker::RelayToken)
            }
            MakerName::Login { user, login } => match &self.accounts {
                Some(accounts) => accounts.standing(user, login).await?.map(Maker::Account),
                None => None,
            },
            MakerName::Key { id, version } => self.keys.maker(id, *version).await?.map(Maker::Key),
        })
    }
}

fn bad_token(cause: &'static str) -> Refusal {
    Refusal::new(
        Kind::Unauthorized,
        "This token is not good, or not any more. Ask for a new one where it came from.",
    )
    .because(cause)
}
