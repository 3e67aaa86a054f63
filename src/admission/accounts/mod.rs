//! Accounts: people with a name and a password, and the tokens that they get for them.
//!
//! Whatever is asked about an account is answered here; the database is reached through
//! [`Directory`] alone, and never holds anything that could be used in place of a credential.

mod details;
pub(in crate::admission) mod directory;
pub(in crate::admission) mod keys;
pub(in crate::admission) mod logins;
mod own;
mod password;
mod sign_in;
mod throttle;
mod token;

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

pub use details::Details;
pub use directory::Directory;
pub use logins::{Account, Standing};
pub use sign_in::Tokens;

use crate::admission::keys::RelayKeys;
use crate::admission::standing::{PROBE, SWEEP, Standings};
use crate::config::{self, Registration};
use crate::error::{Kind, Refusal};
use crate::store::{Condition, Role, Store, User, now_ms};
use directory::failed;
use keys::Keys;
use logins::{Login, Logins};
use throttle::Throttle;
use token::AccessTokens;

/// How often what is over is deleted.
const HOUSEKEEPING: Duration = Duration::from_secs(3600);
/// How often what kinds of hashes there are is counted: an import may change that.
const COUNTING: Duration = Duration::from_secs(60);

/// All accounts of this relay.
pub struct Accounts {
    directory: Directory,
    keys: Keys,
    access: AccessTokens,
    standings: Standings<Logins>,
    relay_keys: Arc<RelayKeys>,
    throttle: Throttle,
    registration: Registration,
}

impl Accounts {
    /// The accounts in this store, whose users may have relay keys.
    pub fn new(
        config: &config::Accounts,
        store: Arc<Store>,
        relay_keys: Arc<RelayKeys>,
    ) -> Accounts {
        let keys = Keys::derive(config.secret_key.expose_secret());
        Accounts {
            access: AccessTokens::new(&keys.access, config.access_token_life),
            standings: Standings::new(Logins(Arc::clone(&store))),
            relay_keys,
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
        match self.standing(&claims.sub, &claims.sid).await? {
            Some(standing) => Ok(standing),
            None => Err(bad_token("the login was ended, or the account disabled")),
        }
    }

    /// How a login stands; `None` if it is over.
    pub(in crate::admission) async fn standing(
        &self,
        user_id: &str,
        login_id: &str,
    ) -> Result<Option<Standing>, Refusal> {
        let login = Login {
            id: login_id.to_owned(),
            user_id: user_id.to_owned(),
        };
        self.standings.of(&login).await.map_err(failed)
    }

    /// A login was ended.
    fn forget_login(&self, login_id: &str) {
        self.standings.end(|login, _| login.id == login_id);
    }

    /// A user's logins were ended, but for one.
    fn end_logins_of(&self, user_id: &str, kept: Option<&str>) {
        self.standings
            .end(|login, _| login.user_id == user_id && Some(login.id.as_str()) != kept);
    }

    /// A user is out, or gone: ends its logins and its keys.
    fn end_all_of(&self, user_id: &str) {
        self.end_logins_of(user_id, None);
        self.relay_keys.end_keys_of(user_id);
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
