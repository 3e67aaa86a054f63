//! Standing: who a login belongs to and whether it is still good, remembered so that a relayed
//! request asks the database at most once a minute, and goes on for a while when that is gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::store::{BATCH, Fault, Member, Role, Store};

/// How long an answer of the database's is good: with the sweep, whoever is out is out within a minute.
const FRESH: Duration = Duration::from_secs(55);
/// When the standing of a running exchange is asked for again, so that it stays fresh.
const AGEING: Duration = Duration::from_secs(45);
/// How long an answer serves while the database gives no other.
const STALE: Duration = Duration::from_secs(15 * 60);

/// An account that is logged in.
#[derive(Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's id.
    pub user_id: String,
    /// The login's id.
    pub login_id: String,
    /// What it may do.
    pub role: Role,
    /// Under which name it is counted and logged.
    pub subject: String,
}

/// An account whose login was good when it was last looked at.
#[derive(Clone, Debug)]
pub struct Standing {
    account: Arc<Account>,
    slot: Arc<Slot>,
}

impl Standing {
    /// Who it is.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Whether the login was ended since.
    pub fn is_revoked(&self) -> bool {
        self.slot.revoked.is_cancelled()
    }

    /// Cancelled when the login is ended.
    pub fn revoked(&self) -> CancellationToken {
        self.slot.revoked.clone()
    }
}

/// What is known of one login.
#[derive(Debug)]
struct Slot {
    user_id: String,
    login_id: String,
    memory: Mutex<Memory>,
    /// Held by whoever asks the database, so that one asks for all.
    asking: tokio::sync::Mutex<()>,
    revoked: CancellationToken,
}

#[derive(Debug, Default)]
struct Memory {
    known: Option<Known>,
    /// How often what the database may have said became outdated.
    generation: u64,
}

#[derive(Clone, Debug)]
struct Known {
    /// `None` where there is no such login any more.
    account: Option<Arc<Account>>,
    at: Instant,
}

/// The standings of all logins that were seen lately.
pub(super) struct Standings {
    store: Arc<Store>,
    slots: Mutex<Slots>,
}

/// By the login's id.
type Slots = HashMap<String, Arc<Slot>>;

impl Standings {
    pub(super) fn new(store: Arc<Store>) -> Standings {
        Standings {
            store,
            slots: Mutex::default(),
        }
    }

    /// The standing of a login; `None` if it is over. `Err` where nobody can tell.
    pub(super) async fn of(
        &self,
        user_id: &str,
        login_id: &str,
    ) -> Result<Option<Standing>, Fault> {
        loop {
            let slot = self.slot(user_id, login_id);
            // A login has one user: a token that names another was not made here.
            if slot.user_id != user_id {
                return Ok(None);
            }
            let known = match slot.known(FRESH) {
                Some(known) => known,
                None => self.ask(&slot, FRESH).await?,
            };
            let Some(account) = known.account else {
                return Ok(None);
            };
            // Ended while the database was asked: the answer may be from before that.
            if !slot.revoked.is_cancelled() {
                return Ok(Some(Standing { account, slot }));
            }
        }
    }

    /// Asks the database, unless somebody else just did.
    async fn ask(&self, slot: &Slot, enough: Duration) -> Result<Known, Fault> {
        let _turn = slot.asking.lock().await;
        loop {
            if let Some(known) = slot.known(enough) {
                return Ok(known);
            }
            let generation = slot.generation();
            match self.store.member(&slot.login_id, &slot.user_id).await {
                Ok(member) => slot.learn(member, generation),
                Err(fault) => return slot.known(STALE).ok_or(fault),
            }
        }
    }

    /// Asks again about logins with something running, ends what is over, and forgets what nobody
    /// has asked about for long.
    pub(super) async fn refresh(&self) {
        let ageing: Vec<Arc<Slot>> = {
            let mut slots = self.lock();
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.known(STALE).is_some());
            let running = slots.values().filter(|slot| Arc::strong_count(slot) > 1);
            let ageing = running.filter(|slot| slot.known(AGEING).is_none());
            ageing.cloned().collect()
        };
        for slots in ageing.chunks(BATCH) {
            if self.look_up(slots).await.is_err() {
                // What is known serves on; the next sweep asks again.
                return;
            }
        }
    }

    /// Asks the database about many at once, and ends what is over.
    async fn look_up(&self, slots: &[Arc<Slot>]) -> Result<(), Fault> {
        let generations: Vec<u64> = slots.iter().map(|slot| slot.generation()).collect();
        let ids: Vec<&str> = slots.iter().map(|slot| slot.login_id.as_str()).collect();
        let mut members: HashMap<_, _> = self.store.members(&ids).await?.into_iter().collect();
        for (slot, generation) in slots.iter().zip(generations) {
            let member = members.remove(&slot.login_id);
            slot.learn(member, generation);
            if slot.is_over() {
                self.end_login(&slot.login_id);
            }
        }
        Ok(())
    }

    /// Ends all that runs for these logins, and forgets what was known of them.
    fn forget(&self, is_meant: impl Fn(&Slot) -> bool) {
        self.lock().retain(|_, slot| {
            let stays = !is_meant(slot);
            if !stays {
                slot.revoked.cancel();
            }
            stays
        });
    }

    /// A login was ended.
    pub(super) fn end_login(&self, login_id: &str) {
        self.forget(|slot| slot.login_id == login_id);
    }

    /// A user's logins were ended, but for one.
    pub(super) fn end_logins_of(&self, user_id: &str, kept: Option<&str>) {
        self.forget(|slot| slot.user_id == user_id && Some(slot.login_id.as_str()) != kept);
    }

    /// Something about a user has changed that ends nothing.
    pub(super) fn changed(&self, user_id: &str) {
        let slots = self.lock();
        for slot in slots.values().filter(|slot| slot.user_id == user_id) {
            slot.outdate();
        }
    }

    fn slot(&self, user_id: &str, login_id: &str) -> Arc<Slot> {
        let mut slots = self.lock();
        if let Some(slot) = slots.get(login_id) {
            return Arc::clone(slot);
        }
        let slot = Arc::new(Slot {
            user_id: user_id.to_owned(),
            login_id: login_id.to_owned(),
            memory: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            revoked: CancellationToken::new(),
        });
        slots.insert(login_id.to_owned(), Arc::clone(&slot));
        slot
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn known(&self, not_older_than: Duration) -> Option<Known> {
        let known = self.lock().known.clone();
        known.filter(|known| known.at.elapsed() < not_older_than)
    }

    /// To be read before the database is asked.
    fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// What is known, or is about to be told, is not so any more.
    fn outdate(&self) {
        let mut memory = self.lock();
        memory.known = None;
        memory.generation += 1;
    }

    /// Whether the database has said that the login is over.
    fn is_over(&self) -> bool {
        let memory = self.lock();
        let known = memory.known.as_ref();
        known.is_some_and(|known| known.account.is_none())
    }

    /// Keeps the database's answer, unless it became outdated on its way.
    fn learn(&self, member: Option<Member>, generation: u64) {
        let good = member.filter(|member| {
            member.user.is_active && !member.is_revoked && member.user.id == self.user_id
        });
        let account = good.map(|member| {
            Arc::new(Account {
                login_id: self.login_id.clone(),
                role: member.user.role,
                subject: format!("user:{}", member.user.id),
                user_id: member.user.id,
            })
        });
        let known = Known {
            account,
            at: Instant::now(),
        };
        let mut memory = self.lock();
        if memory.generation == generation {
            memory.known = Some(known);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::User;

    fn member(role: Role) -> Member {
        Member {
            user: User {
                id: "alice".to_owned(),
                username: "alice".to_owned(),
                email: "alice@example.com".to_owned(),
                role,
                is_active: true,
                created_at_ms: 0,
                last_login_at_ms: None,
            },
            is_revoked: false,
            expires_at_ms: i64::MAX,
        }
    }

    #[test]
    fn an_answer_from_before_a_change_is_not_kept() {
        let slot = Slot {
            user_id: "alice".to_owned(),
            login_id: "login".to_owned(),
            memory: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            revoked: CancellationToken::new(),
        };
        let asked = slot.generation();
        slot.outdate();
        slot.learn(Some(member(Role::Admin)), asked);
        assert!(slot.known(STALE).is_none());
        slot.learn(Some(member(Role::User)), slot.generation());
        let account = slot.known(STALE).and_then(|known| known.account);
        assert_eq!(account.expect("good").role, Role::User);
    }
}
