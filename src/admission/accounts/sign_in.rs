//! Logging in, staying logged in, logging out. One answer for whoever may not, whatever the reason.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::Accounts;
use super::directory::{busy, failed};
use super::keys::{hash, new_refresh_token};
use super::logins::Account;
use super::password::{Verdict, is_too_long};
use super::throttle::{ACCOUNT, ADDRESS, Attempt, Key, Schedule, TooEarly};
use crate::admission::network;
use crate::error::{Kind, Refusal};
use crate::store::{Member, NewLogin, Refresh, Rotation, User, now_ms};

/// How long a login lasts, however often it is refreshed.
const LOGIN_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// For so long a used refresh token may be shown again: its answer may have been lost.
const GRACE: Duration = Duration::from_secs(10);

/// What somebody who logged in gets.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// A JWT.
    pub access: String,
    /// For how long it is good, in seconds.
    pub expires_in_s: u64,
    /// Makes the next pair, once.
    pub refresh: String,
}

impl Accounts {
    /// Logs somebody in.
    pub async fn log_in(
        &self,
        username: &str,
        password: &str,
        client: IpAddr,
    ) -> Result<Tokens, Refusal> {
        // The hash may change while it is compared: by a login beside this one, which replaces an
        // old one, or by a new password.
        for _ in 0..2 {
            if let Some(tokens) = self.try_log_in(username, password, client).await? {
                return Ok(tokens);
            }
        }
        Err(bad_login())
    }

    async fn try_log_in(
        &self,
        username: &str,
        password: &str,
        client: IpAddr,
    ) -> Result<Option<Tokens>, Refusal> {
        let address = self.blind_address(client);
        let found = self.directory.store.credentials(username, &address).await;
        let found = found.map_err(failed)?;
        let pair = self
            .keys
            .blind("login pair", &format!("{address}\0{username}"));
        let name = self.keys.blind("login name", username);
        let from = self.keys.blind("login address", &address);
        let here = self.attempt(&[(pair, ACCOUNT)]).await?;
        let anywhere = self.attempt(&[(name, ACCOUNT), (from, ADDRESS)]).await;
        let is_known = found.as_ref().is_some_and(|found| found.is_known_address);
        let hasher = &self.directory.hasher;
        let (anywhere, otherwise) = match anywhere {
            Ok(attempt) => (Some(attempt), bad_login()),
            // Others guess. Whoever has logged in from here is heard all the same, and nobody can tell
            // by a wrong password whether that is so.
            Err(wait) if is_known => (None, wait),
            Err(wait) => {
                hasher.pretend().await;
                return Err(wait);
            }
        };
        let stored = match &found {
            Some(found) => found.password_hash.as_str(),
            None => hasher.dummy(name),
        };
        let attempts: Vec<Attempt<'_>> = [Some(here), anywhere].into_iter().flatten().collect();
        let verdict = self.verdict(password, stored, attempts).await?;
        let (Some(found), Some((better, attempts))) = (&found, verdict) else {
            return Err(otherwise);
        };
        if !found.user.is_active {
            return Err(otherwise.because("the account is disabled"));
        }
        attempts.into_iter().for_each(Attempt::succeeded);
        self.throttle.forget(&pair);
        let begun = self.begin_login(&found.user, &address, stored, better.as_deref());
        let Some(tokens) = begun.await? else {
            return Ok(None);
        };
        tracing::info!(user = found.user.id, %client, "a user logged in");
        Ok(Some(tokens))
    }

    /// Whether it is the user's own password, as asked before what must not be done by whoever
    /// only found an open session.
    pub(super) async fn confirm(&self, user_id: &str, password: &str) -> Result<(), Refusal> {
        let key = self.keys.blind("confirm", user_id);
        let attempt = self.attempt(&[(key, ACCOUNT)]).await?;
        let stored = self.directory.store.password_hash(user_id).await;
        let stored = stored.map_err(failed)?.unwrap_or_default();
        match self.verdict(password, &stored, vec![attempt]).await? {
            Some((_, attempts)) => {
                attempts.into_iter().for_each(Attempt::succeeded);
                Ok(())
            }
            None => Err(Refusal::new(
                Kind::Forbidden,
                "That is not the current password.",
            )),
        }
    }

    /// `None` where the password is wrong; else a better hash, if there should be one, and the
    /// attempts, which are not charged if nothing was compared.
    async fn verdict<'a>(
        &self,
        password: &str,
        stored: &str,
        attempts: Vec<Attempt<'a>>,
    ) -> Result<Option<(Option<String>, Vec<Attempt<'a>>)>, Refusal> {
        if is_too_long(password) {
            return Ok(None);
        }
        match self.directory.hasher.verify(password, stored).await {
            Ok(Verdict::Wrong) => Ok(None),
            Ok(Verdict::Right(better)) => Ok(Some((better, attempts))),
            Err(too_many) => {
                attempts.into_iter().for_each(Attempt::succeeded);
                Err(busy(too_many))
            }
        }
    }

    /// An attempt on all of these, once it is known how those end that are made already.
    async fn attempt(&self, on: &[(Key, Schedule)]) -> Result<Attempt<'_>, Refusal> {
        loop {
            let mut settled = std::pin::pin!(self.throttle.settled());
            settled.as_mut().enable();
            let wait = match self.throttle.attempt(on, Instant::now()) {
                Ok(attempt) => return Ok(attempt),
                Err(TooEarly::Wait(wait)) => wait,
                Err(TooEarly::Undecided) => {
                    settled.await;
                    continue;
                }
            };
            let refusal = Refusal::new(
                Kind::TooManyAttempts,
                "Too many passwords were tried here. Wait, and try again.",
            );
            return Err(refusal.retry_after(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)));
        }
    }

    /// `None` where the user has another hash by now.
    async fn begin_login(
        &self,
        user: &User,
        address_hash: &str,
        password_hash: &str,
        better_hash: Option<&str>,
    ) -> Result<Option<Tokens>, Refusal> {
        let (login_id, refresh) = (Uuid::new_v4().to_string(), new_refresh_token());
        let now_ms = now_ms();
        let expires_at_ms = now_ms + millis(LOGIN_LIFE);
        let new = NewLogin {
            user_id: &user.id,
            login_id: &login_id,
            refresh_hash: &hash(&refresh),
            expires_at_ms,
            address_hash,
            password_hash,
            better_hash,
            now_ms,
        };
        let begun = self.directory.store.add_login(&new).await.map_err(failed)?;
        Ok(begun.then(|| self.tokens(&user.id, &login_id, expires_at_ms, refresh)))
    }

    /// A new pair for a refresh token, which is used up by that.
    pub async fn refresh(&self, token: &str, client: IpAddr) -> Result<Tokens, Refusal> {
        let successor = self.keys.successor(token);
        let shown = Refresh {
            hash: &hash(token),
            successor_hash: &hash(&successor),
            address_hash: &self.blind_address(client),
            grace_ms: millis(GRACE),
            now_ms: now_ms(),
        };
        match self.directory.store.rotate(&shown).await.map_err(failed)? {
            Rotation::Done { login_id, member } | Rotation::Repeated { login_id, member } => {
                let Member {
                    user,
                    expires_at_ms,
                    ..
                } = member;
                Ok(self.tokens(&user.id, &login_id, expires_at_ms, successor))
            }
            Rotation::Stolen { login_id, user_id } => {
                self.forget_login(&login_id);
                tracing::warn!(
                    user = user_id,
                    login = login_id,
                    %client,
                    "a refresh token was used twice: its login is ended, because somebody else may hold it"
                );
                Err(bad_refresh().because("a refresh token was used twice"))
            }
            Rotation::Unknown => Err(bad_refresh()),
        }
    }

    /// A new pair for a login that is still good.
    pub async fn renew(&self, account: &Account) -> Result<Tokens, Refusal> {
        let store = &self.directory.store;
        let (user_id, login_id) = (&account.user_id, &account.login_id);
        let member = store.member(login_id, user_id).await.map_err(failed)?;
        let good = member.filter(|member| !member.is_revoked && member.user.is_active);
        let member = good.ok_or_else(bad_refresh)?;
        let refresh = new_refresh_token();
        let refresh_hash = hash(&refresh);
        let added = store.add_refresh_token(login_id, &refresh_hash, now_ms());
        added.await.map_err(failed)?;
        Ok(self.tokens(user_id, login_id, member.expires_at_ms, refresh))
    }

    /// Ends a login, and all that runs for it.
    pub async fn log_out(&self, account: &Account) -> Result<(), Refusal> {
        self.end_login(&account.login_id).await
    }

    /// Ends the login that a refresh token belongs to, if there is one.
    pub async fn log_out_by_refresh_token(&self, token: &str) -> Result<(), Refusal> {
        let login = self.directory.store.login_of(&hash(token)).await;
        match login.map_err(failed)? {
            Some(login_id) => self.end_login(&login_id).await,
            None => Ok(()),
        }
    }

    async fn end_login(&self, login_id: &str) -> Result<(), Refusal> {
        let store = &self.directory.store;
        let ended = store.revoke_login(login_id, "logout", now_ms()).await;
        ended.map_err(failed)?;
        self.forget_login(login_id);
        Ok(())
    }

    fn tokens(&self, user_id: &str, login_id: &str, login_end_ms: i64, refresh: String) -> Tokens {
        let seconds = |millis: i64| u64::try_from(millis / 1000).unwrap_or(0);
        let made = self
            .access
            .make(user_id, login_id, seconds(now_ms()), seconds(login_end_ms));
        let (access, expires_in_s) = made;
        Tokens {
            access,
            expires_in_s,
            refresh,
        }
    }

    /// What stands for an address in the database, and for all of one's IPv6 addresses.
    pub(super) fn blind_address(&self, client: IpAddr) -> String {
        self.keys
            .blind_text("address", &network(client).to_string())
    }
}

fn bad_login() -> Refusal {
    Refusal::new(Kind::BadLogin, "Incorrect username or password.")
}

fn bad_refresh() -> Refusal {
    Refusal::new(
        Kind::BadLogin,
        "This is no refresh token that is still good. Log in again.",
    )
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
