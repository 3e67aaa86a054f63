//! The directory: users and invites as the operator looks after them. Needs no keys, so that the
//! command line can do it beside a running relay.

use std::sync::Arc;

use uuid::Uuid;

use super::details::Details;
use super::keys::{hash, new_invite_code, new_password};
use super::password::{Busy, Hasher, weakness};
use crate::error::{Kind, Problem, Refusal};
use crate::store::{
    Adoption, Fault, ForeignUser, Invite, LastAdmin, NewInvite, NewUser, Page, Role, Store, Taken,
    User, UserChange, now_ms,
};

/// What a client is told to wait, in seconds, when the database does not answer.
const DATABASE_RETRY_AFTER_S: u64 = 5;
/// The same when too many passwords wait to be hashed.
const HASHING_RETRY_AFTER_S: u64 = 2;

/// Users and invites.
pub struct Directory {
    pub(super) store: Arc<Store>,
    pub(super) hasher: Hasher,
}

impl Directory {
    /// What this store holds.
    pub fn new(store: Arc<Store>) -> Directory {
        Directory {
            store,
            hasher: Hasher::new(),
        }
    }

    /// A password for somebody who will change it.
    pub fn made_up_password() -> String {
        new_password()
    }

    /// Adds a user. With an invite's code, that is used up.
    pub async fn add(
        &self,
        details: Details,
        role: Role,
        invite: Option<&str>,
    ) -> Result<User, Refusal> {
        let details = details.checked()?;
        let password_hash = self.hasher.hash(&details.password).await.map_err(busy)?;
        let invite_hash = invite.map(hash);
        let new = NewUser {
            id: Uuid::new_v4().to_string(),
            username: &details.username,
            email: &details.email,
            password_hash: &password_hash,
            role,
            invite_hash: invite_hash.as_deref(),
            now_ms: now_ms(),
        };
        let user = self.store.add_user(&new).await.map_err(failed)?;
        user.ok_or_else(|| {
            Refusal::new(
                Kind::Forbidden,
                "This invite is none, was used, or has expired. Ask the operator for another one.",
            )
        })
    }

    /// A user by id or name.
    pub async fn user(&self, id_or_name: &str) -> Result<User, Refusal> {
        let user = self.store.user(id_or_name).await.map_err(failed)?;
        user.ok_or_else(no_such_user)
    }

    /// The users whose name or address contains `search`.
    pub async fn users(&self, search: &str, limit: i64, offset: i64) -> Result<Page, Refusal> {
        let page = self.store.users(search, limit, offset).await;
        page.map_err(failed)
    }

    /// Changes a user; one that is kept out has its logins ended. Returns what it is then.
    pub async fn change(
        &self,
        id: &str,
        change: UserChange,
        last_admin: LastAdmin,
    ) -> Result<User, Refusal> {
        let changed = self.store.change_user(id, change, last_admin, now_ms());
        changed.await.map_err(failed)?.ok_or_else(no_such_user)
    }

    /// Gives a user a password, or makes one up, and ends its logins but for one. Returns what was
    /// made up.
    pub async fn set_password(
        &self,
        user: &User,
        password: Option<&str>,
        kept_login: Option<&str>,
    ) -> Result<Option<String>, Refusal> {
        let made_up = password.is_none().then(new_password);
        let password = password.or(made_up.as_deref()).unwrap_or_default();
        if let Some(weakness) = weakness(password, &user.username, &user.email) {
            let problem = Problem::of("new_password", weakness);
            return Err(Refusal::over_fields(vec![problem]));
        }
        let hash = self.hasher.hash(password).await.map_err(busy)?;
        let set = self
            .store
            .set_password(&user.id, &hash, kept_login, now_ms());
        found(set.await)?;
        Ok(made_up)
    }

    /// Whether there is an admin who can log in.
    pub async fn has_admin(&self) -> Result<bool, Refusal> {
        self.store.has_admin().await.map_err(failed)
    }

    /// Deletes a user.
    pub async fn delete(&self, id: &str, last_admin: LastAdmin) -> Result<(), Refusal> {
        found(self.store.delete_user(id, last_admin).await)
    }

    /// Takes over the users of another program, all or none, and says what became of each.
    pub async fn import(&self, users: &[ForeignUser]) -> Result<Vec<Adoption>, Refusal> {
        let adopted = self.store.adopt(users, now_ms()).await;
        adopted.map_err(failed)
    }

    /// Makes an invite for so many users until then, in milliseconds since the epoch: its id, and
    /// the code, which nobody can see again.
    pub async fn invite(
        &self,
        uses: u32,
        expires_at_ms: i64,
        note: &str,
    ) -> Result<(String, String), Refusal> {
        let (id, code) = (Uuid::new_v4().to_string(), new_invite_code());
        let new = NewInvite {
            id: &id,
            hash: &hash(&code),
            note,
            uses: i64::from(uses),
            expires_at_ms,
            now_ms: now_ms(),
        };
        self.store.add_invite(&new).await.map_err(failed)?;
        Ok((id, code))
    }

    /// All invites.
    pub async fn invites(&self) -> Result<Vec<Invite>, Refusal> {
        self.store.invites().await.map_err(failed)
    }

    /// Takes an invite back.
    pub async fn revoke_invite(&self, id: &str) -> Result<(), Refusal> {
        match self.store.revoke_invite(id, now_ms()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::new(
                Kind::NotFound,
                "There is no such invite to take back.",
            )),
            Err(fault) => Err(failed(fault)),
        }
    }
}

fn found(done: Result<bool, Fault>) -> Result<(), Refusal> {
    match done {
        Ok(true) => Ok(()),
        Ok(false) => Err(no_such_user()),
        Err(fault) => Err(failed(fault)),
    }
}

fn no_such_user() -> Refusal {
    Refusal::new(Kind::NotFound, "There is no such user.")
}

/// What a client hears of a database that did not do it.
pub(in crate::admission) fn failed(fault: Fault) -> Refusal {
    match fault {
        Fault::Taken(Taken::Username) => {
            Refusal::new(Kind::AlreadyTaken, "This username is already registered.")
        }
        Fault::Taken(Taken::Email) => {
            Refusal::new(Kind::AlreadyTaken, "This email is already registered.")
        }
        Fault::LastAdmin => Refusal::new(
            Kind::Conflict,
            "This is the last admin. Make another one first, or use the command line.",
        ),
        // The store has said so, once.
        Fault::Unreachable(_) => database_unavailable(),
        Fault::Failed(why) => {
            tracing::warn!(cause = why, "the database could not do what it was asked");
            database_unavailable()
        }
    }
}

fn database_unavailable() -> Refusal {
    Refusal::new(
        Kind::DatabaseUnavailable,
        "The database of accounts cannot do this now. Try again shortly.",
    )
    .retry_after(DATABASE_RETRY_AFTER_S)
}

pub(super) fn busy(_: Busy) -> Refusal {
    Refusal::new(
        Kind::Overloaded,
        "Too many passwords wait to be checked. Try again shortly.",
    )
    .retry_after(HASHING_RETRY_AFTER_S)
}
