//! Accounts: people with a name and a password, and the tokens that they get for them.
//!
//! Whatever is asked about an account is answered here; the database is reached through
//! [`Directory`] alone, and never holds anything that could be used in place of a credential.

mod details;
mod directory;
mod keys;
mod own;
mod password;
mod sign_in;
mod standing;
mod throttle;
mod token;

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

pub use details::Details;
pub use directory::Directory;
pub use sign_in::Tokens;
pub use standing::{Account, Standing};

use crate::config::{self, Registration};
use crate::error::{Kind, Refusal};
use crate::store::{Condition, Role, Store, User, now_ms};
use directory::failed;
use keys::Keys;
use standing::Standings;
use throttle::Throttle;
use token::AccessTokens;

/// How often standings are looked after.
const SWEEP: Duration = Duration::from_secs(5);
/// How often a database that does not answer is asked again.
const PROBE: Duration = Duration::from_secs(1);
/// How often what is over is deleted.
const HOUSEKEEPING: Duration = Duration::from_secs(3600);
/// How often what kinds of hashes there are is counted: an import may change that.
const COUNTING: Duration = Duration::from_secs(60);

/// All accounts of this relay.
pub struct Accounts {
    directory: Directory,
    keys: Keys,
    access: AccessTokens,
    standings: Standings,
    throttle: Throttle,
    registration: Registration,
}

impl Accounts {
    /// The accounts in this store.
    pub fn new(config: &config::Accounts, store: Arc<Store>) -> Accounts {
        let keys = Keys::derive(config.secret_key.expose_secret());
        Accounts {
            access: AccessTokens::new(&keys.access, config.access_token_life),
            standings: Standings::new(Arc::clone(&store)),
            directory: Directory::new(store),
            throttle: Throttle::default(),
            registration: config.registration,
            keys,
        }
    }

    /// The users, for whoever looks after them.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Whether a token claims to be an access token of these accounts.
    pub fn is_access_token(&self, token: &str) -> bool {
        self.access.is_ours(token)
    }

    /// Who an access token belongs to.
    pub async fn recognise(&self, token: &str) -> Result<Standing, Refusal> {
        let now_s = u64::try_from(now_ms() / 1000).unwrap_or(0);
        let Some(claims) = self.access.read(token, now_s) else {
            return Err(bad_token("an access token that is expired or forged"));
        };
        match self.standings.of(&claims.sub, &claims.sid).await {
            Ok(Some(standing)) => Ok(standing),
            Ok(None) => Err(bad_token("the login was ended, or the account disabled")),
            Err(fault) => Err(failed(fault)),
        }
    }

    /// Adds a user who asks for it, where the operator allows that.
    pub async fn register(&self, details: Details, invite: Option<&str>) -> Result<User, Refusal> {
        let invite = match (self.registration, invite) {
            (Registration::Open, _) => None,
            (Registration::Invite, Some(code)) => Some(code),
            (Registration::Invite, None) => {
                return Err(Refusal::new(
                    Kind::Forbidden,
                    "Registering here needs an invite. Send the operator's code as `invite`.",
                ));
            }
            (Registration::Closed, _) => {
                return Err(Refusal::new(
                    Kind::Forbidden,
                    "Nobody can register here. The operator adds users, or can set REGISTRATION.",
                ));
            }
        };
        let user = self.directory.add(details, Role::User, invite).await?;
        tracing::info!(user = user.id, "a user registered");
        Ok(user)
    }

    /// Whether the database that they are kept in answered when it was last asked.
    pub fn is_stored(&self) -> bool {
        self.directory.store.condition() == Condition::Up
    }

    /// Looks after standings and the database until told to stop.
    pub async fn watch(&self, stop: CancellationToken) {
        let work = async {
            let store = &self.directory.store;
            let mut conditions = store.conditions();
            let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
            let mut counting = tokio::time::interval(COUNTING);
            loop {
                let is_up = *conditions.borrow_and_update() == Condition::Up;
                tokio::select! {
                    () = tokio::time::sleep(SWEEP), if is_up => self.standings.refresh().await,
                    // Says itself when it is back.
                    () = tokio::time::sleep(PROBE), if !is_up => drop(store.probe().await),
                    _ = housekeeping.tick(), if is_up => self.keep_house().await,
                    _ = counting.tick(), if is_up => self.count_hashes().await,
                    _ = conditions.changed() => {}
                }
            }
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
        // A database that hangs does not keep the relay from ending.
        let _ = tokio::time::timeout(PROBE, self.directory.store.close()).await;
    }

    async fn keep_house(&self) {
        let store = &self.directory.store;
        if let Err(fault) = store.purge(now_ms()).await {
            tracing::warn!(cause = %fault, "old logins could not be deleted");
        }
    }

    async fn count_hashes(&self) {
        if let Ok((old, total)) = self.directory.store.old_hashes().await {
            self.directory.hasher.note_old(old, total);
        }
    }
}

fn bad_token(cause: &'static str) -> Refusal {
    Refusal::new(
        Kind::Unauthorized,
        "This access token is not good, or not any more. Log in again, or refresh it.",
    )
    .because(cause)
}
