//! The registry: relay keys as owners and the operator look after them. Needs no running relay.

use std::sync::Arc;

use uuid::Uuid;

use super::rules::RulesText;
use super::secret::{self, hint, new_key};
use crate::admission::accounts::directory::failed;
use crate::admission::accounts::keys::hash;
use crate::error::{Kind, Problem, Refusal};
use crate::store::{Key, NewKey, Store, User, now_ms};

/// The most keys of one user that were not revoked.
const MOST: i64 = 500;
/// The longest name of a key, in characters.
const LONGEST_NAME: usize = 100;

/// A key that somebody wants.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// What to call it.
    pub name: String,
    /// When it ends, in milliseconds since the epoch.
    pub expires_at_ms: Option<i64>,
    /// What it may be used for.
    pub rules: RulesText,
}

/// Relay keys.
pub struct Registry {
    store: Arc<Store>,
}

impl Registry {
    /// What this store holds.
    pub fn new(store: Arc<Store>) -> Registry {
        Registry { store }
    }

    /// Makes a key for a user, or for the operator: the key, which nobody can see again, and what is
    /// known of it.
    pub async fn create(&self, wish: &Wish, owner: Option<&str>) -> Result<(String, Key), Refusal> {
        let name = wish.name.trim();
        let mut problems = Vec::new();
        if name.is_empty() || name.chars().count() > LONGEST_NAME {
            problems.push(Problem::of("name", "Use a name of 1 to 100 characters."));
        }
        if wish.expires_at_ms.is_some_and(|at| at <= now_ms()) {
            problems.push(Problem::of("expires_at", "Use a time that is yet to come."));
        }
        if !problems.is_empty() {
            return Err(Refusal::over_fields(problems));
        }
        wish.rules.read()?;
        if let Some(owner) = owner
            && self.store.count_keys_of(owner).await.map_err(failed)? >= MOST
        {
            return Err(Refusal::new(
                Kind::Conflict,
                "This user has 500 keys. Revoke those that nobody uses.",
            ));
        }
        let owner = match owner {
            Some(owner) => Some(self.owner(owner).await?),
            None => None,
        };
        let (id, key) = (Uuid::new_v4().to_string(), new_key());
        let rules = serde_json::to_string(&wish.rules).unwrap_or_default();
        let new = NewKey {
            id: &id,
            hash: &hash(&key),
            hint: hint(&key),
            name,
            owner: owner.as_ref(),
            rules: &rules,
            expires_at_ms: wish.expires_at_ms,
            now_ms: now_ms(),
        };
        let known = self.store.add_key(&new).await.map_err(failed)?;
        Ok((key, known))
    }

    async fn owner(&self, id: &str) -> Result<User, Refusal> {
        let owner = self.store.user(id).await.map_err(failed)?;
        owner.ok_or_else(|| Refusal::new(Kind::NotFound, "There is no such user."))
    }

    /// A key by its id, or by the key itself.
    pub async fn key(&self, id_or_key: &str) -> Result<Key, Refusal> {
        let found = match secret::hash(id_or_key) {
            Some(_) => self.store.key_by_hash(&hash(id_or_key)).await,
            None => self.store.key(id_or_key).await,
        };
        found.map_err(failed)?.ok_or_else(Registry::no_such_key)
    }

    /// A part of all keys, or of one user's.
    pub async fn keys(
        &self,
        owner: Option<&str>,
        limit: i64,
        offset: i64,
    ) -> Result<Vec<Key>, Refusal> {
        let listed = match owner {
            Some(owner) => self.store.keys_of(owner, limit, offset).await,
            None => self.store.keys(limit, offset).await,
        };
        listed.map_err(failed)
    }

    /// Puts another key in the place of one: the new one, which nobody can see again.
    pub async fn rotate(&self, id: &str) -> Result<String, Refusal> {
        let key = new_key();
        let rotated = self.store.rotate_key(id, &hash(&key), hint(&key)).await;
        match rotated.map_err(failed)? {
            true => Ok(key),
            false => Err(Registry::no_such_key()),
        }
    }

    /// The same for a key that was looked up before, and what is known of the new one.
    pub async fn rotate_known(&self, known: Key) -> Result<(String, Key), Refusal> {
        let key = self.rotate(&known.id).await?;
        let known = Key {
            hint: hint(&key).to_owned(),
            version: known.version + 1,
            ..known
        };
        Ok((key, known))
    }

    /// Revokes a key.
    pub async fn revoke(&self, id: &str) -> Result<(), Refusal> {
        match self.store.revoke_key(id, now_ms()).await.map_err(failed)? {
            true => Ok(()),
            false => Err(Registry::no_such_key()),
        }
    }

    /// What is said of a key that is none, or another one's.
    pub fn no_such_key() -> Refusal {
        Refusal::new(Kind::NotFound, "There is no such key, or it is revoked.")
    }
}
