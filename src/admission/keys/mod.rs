//! Relay keys: a credential for each client, with rules, kept as a hash.
//!
//! [`Registry`] is what the operator and owners do with them and needs no running relay;
//! [`RelayKeys`] is what a running relay knows of them. Neither can show a key again.

mod registry;
pub mod rules;
mod secret;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

pub use registry::{Registry, Wish};

use super::accounts::directory::failed;
use super::accounts::keys::hex;
use super::accounts::logins::subject_of;
use super::limit::OwnLimits;
use super::standing::{self, PROBE, Register, SWEEP, Standings};
use crate::error::Refusal;
use crate::store::{Condition, Fault, Key, Shelf, now_ms};
use rules::{Rules, RulesText};
pub(super) use secret::PREFIX;

/// A relay key that was good when it was last looked at.
pub type Standing = standing::Standing<RelayKey>;

/// What a relay key stands for.
#[derive(Debug)]
pub struct RelayKey {
    /// Its id.
    pub id: String,
    /// Whose it is; `None` for the operator's.
    pub owner: Option<String>,
    /// Under which name it is logged.
    pub subject: String,
    /// Under which name it is counted: all credentials of a user are one.
    pub counted_as: String,
    /// What it may be used for.
    pub rules: Arc<Rules>,
    /// Limits of its own.
    pub(super) limits: OwnLimits,
    /// Grows with each rotation.
    pub(super) version: i64,
    /// When it ends, in milliseconds since the epoch.
    expires_at_ms: Option<i64>,
}

impl RelayKey {
    /// `None` for one that is over, or whose rules nobody can read.
    fn of(key: Key, now_ms: i64) -> Option<RelayKey> {
        let has_expired = key.expires_at_ms.is_some_and(|at| at <= now_ms);
        if key.is_revoked || !key.is_owner_active || has_expired {
            return None;
        }
        let text: Option<RulesText> = serde_json::from_str(&key.rules).ok();
        let Some(rules) = text.and_then(|text| text.read().ok()) else {
            tracing::error!(
                key = key.id,
                "the rules of a relay key cannot be read, so it opens nothing"
            );
            return None;
        };
        let subject = format!("key:{}", key.id);
        Some(RelayKey {
            counted_as: key
                .user_id
                .as_deref()
                .map_or_else(|| subject.clone(), subject_of),
            limits: OwnLimits::new(&subject, rules.limits()),
            subject,
            rules: Arc::new(rules),
            version: key.version,
            expires_at_ms: key.expires_at_ms,
            owner: key.user_id,
            id: key.id,
        })
    }

    fn has_expired(&self) -> bool {
        self.expires_at_ms.is_some_and(|at| at <= now_ms())
    }
}

/// How a key is asked about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    /// By what its holder shows.
    Hash([u8; 32]),
    /// By what was made with it when it had this version: after a rotation that is none.
    Maker { id: Box<str>, version: i64 },
}

/// All keys, as the database knows them.
struct Book(Arc<Shelf>);

impl Register for Book {
    type Name = Name;
    type Entry = RelayKey;

    /// Tokens, which name their maker, are sealed.
    fn can_be_made_up(name: &Name) -> bool {
        matches!(name, Name::Hash(_))
    }

    async fn look_up(&self, names: &[&Name]) -> Result<HashMap<Name, RelayKey>, Fault> {
        let store = self.0.look().await;
        let store = store.map_err(|error| Fault::Unreachable(format!("{error:#}")))?;
        let Some(store) = store else {
            return Ok(HashMap::new());
        };
        let (mut hashes, mut ids) = (HashMap::new(), Vec::new());
        for name in names {
            match name {
                Name::Hash(hash) => drop(hashes.insert(hex(hash), *hash)),
                Name::Maker { id, .. } => ids.push(&**id),
            }
        }
        let shown: Vec<&str> = hashes.keys().map(String::as_str).collect();
        let by_hash = store.keys_by_hash(&shown).await?;
        let by_id = store.keys_by_id(&ids).await?;
        let now_ms = now_ms();
        let mut entries = HashMap::new();
        for (hash, key) in by_hash {
            if let (Some(hash), Some(key)) = (hashes.get(&hash), RelayKey::of(key, now_ms)) {
                entries.insert(Name::Hash(*hash), key);
            }
        }
        for key in by_id {
            if let Some(key) = RelayKey::of(key, now_ms) {
                let (id, version) = (key.id.as_str().into(), key.version);
                entries.insert(Name::Maker { id, version }, key);
            }
        }
        Ok(entries)
    }
}

/// What is known of whether any key was ever made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    /// There is no database.
    Nowhere,
    /// The database has said so.
    None,
    /// There is a database, and it has not said anything yet.
    Unknown,
    Some,
}

impl Made {
    /// What is known when this is heard. A database that falls silent takes nothing back.
    fn and(self, heard: Made) -> Made {
        match (self, heard) {
            (Made::Some, _) | (Made::None, Made::Unknown) => self,
            _ => heard,
        }
    }
}

/// The relay keys of a running relay.
pub struct RelayKeys {
    shelf: Arc<Shelf>,
    standings: Standings<Book>,
    made: Mutex<Made>,
}

impl RelayKeys {
    /// The keys on this shelf.
    pub fn new(shelf: Arc<Shelf>) -> RelayKeys {
        RelayKeys {
            standings: Standings::new(Book(Arc::clone(&shelf))),
            shelf,
            made: Mutex::new(Made::Nowhere),
        }
    }

    /// Whether any key was ever made, or may have been as nobody can tell yet: then nobody gets in
    /// without a credential.
    pub fn any(&self) -> bool {
        matches!(*self.made(), Made::Some | Made::Unknown)
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the database, which they share with accounts, answered when it was last asked; `None`
    /// where there is none.
    pub fn is_stored(&self) -> Option<bool> {
        let store = self.shelf.store();
        store.map(|store| store.condition() == Condition::Up)
    }

    /// What a key stands for; `None` if it is none, or not any more.
    pub(super) async fn recognise(&self, key: &str) -> Result<Option<Standing>, Refusal> {
        match secret::hash(key) {
            Some(hash) => self.standing(Name::Hash(hash)).await,
            None => Ok(None),
        }
    }

    /// Whether it could be a key, by its form and its checksum.
    pub(super) fn is_one(&self, key: &str) -> bool {
        secret::hash(key).is_some()
    }

    /// How the key stands that made something when it had this version.
    pub(super) async fn maker(&self, id: &str, version: i64) -> Result<Option<Standing>, Refusal> {
        let id = id.into();
        self.standing(Name::Maker { id, version }).await
    }

    async fn standing(&self, name: Name) -> Result<Option<Standing>, Refusal> {
        let standing = self.standings.of(&name).await.map_err(failed)?;
        let standing = standing.filter(|standing| !standing.entry().has_expired());
        if standing.is_some() {
            *self.made() = Made::Some;
        }
        Ok(standing)
    }

    /// What owners and admins do with keys while the relay runs: ends at once what they end.
    pub fn registry(&self) -> Result<Registry, Refusal> {
        let store = self.shelf.store().cloned();
        store.map(Registry::new).ok_or_else(|| {
            failed(Fault::Unreachable(
                "there is no database of keys".to_owned(),
            ))
        })
    }

    /// A key was revoked or rotated.
    pub fn end_key(&self, id: &str) {
        self.standings.end(|name, key| match (name, key) {
            (Name::Maker { id: named, .. }, _) => **named == *id,
            (_, Some(key)) => key.id == id,
            // Somebody asks about it now, and may hear what was.
            (_, None) => true,
        });
    }

    /// A user may be in again: forgets that keys opened nothing.
    pub fn ask_anew(&self) {
        self.standings.end(|_, key| key.is_none());
    }

    /// A user is out, or gone.
    pub fn end_keys_of(&self, user_id: &str) {
        self.standings
            .end(|_, key| key.is_none_or(|key| key.owner.as_deref() == Some(user_id)));
    }

    /// Looks for keys for the first time.
    ///
    /// # Errors
    /// There is a database that cannot be used.
    pub async fn begin(&self) -> anyhow::Result<()> {
        self.shelf.look().await?;
        self.note_any().await;
        Ok(())
    }

    /// Looks after standings until told to stop.
    pub async fn watch(&self, stop: CancellationToken) {
        let work = async {
            loop {
                let Some(store) = self.shelf.store() else {
                    tokio::time::sleep(SWEEP).await;
                    self.sweep().await;
                    continue;
                };
                let mut conditions = store.conditions();
                let is_up = *conditions.borrow_and_update() == Condition::Up;
                if !is_up {
                    self.standings.tidy();
                }
                tokio::select! {
                    () = tokio::time::sleep(SWEEP), if is_up => self.sweep().await,
                    () = tokio::time::sleep(PROBE), if !is_up => if store.probe().await.is_ok() {
                        self.note_any().await;
                    },
                    _ = conditions.changed() => self.note_any().await,
                }
            }
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
    }

    async fn sweep(&self) {
        self.note_any().await;
        self.standings.refresh().await;
    }

    async fn note_any(&self) {
        if *self.made() == Made::Some {
            return;
        }
        let heard = match self.shelf.look().await {
            Ok(None) => Made::Nowhere,
            Ok(Some(store)) => match store.has_keys().await {
                Ok(true) => Made::Some,
                Ok(false) => Made::None,
                Err(_) => Made::Unknown,
            },
            // What is wrong with it is said when a key is shown.
            Err(_) => Made::Unknown,
        };
        let mut made = self.made();
        *made = made.and(heard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_there_are_keys_is_supposed_until_the_database_says_no_and_never_forgotten() {
        assert_eq!(Made::Nowhere.and(Made::Unknown), Made::Unknown);
        assert_eq!(Made::Unknown.and(Made::None), Made::None);
        assert_eq!(Made::None.and(Made::Unknown), Made::None);
        assert_eq!(Made::None.and(Made::Some), Made::Some);
        for heard in [Made::Nowhere, Made::None, Made::Unknown] {
            assert_eq!(Made::Some.and(heard), Made::Some);
        }
    }
}
