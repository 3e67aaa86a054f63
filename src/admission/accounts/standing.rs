//! Standing: who a login belongs to and whether it is still good, remembered so that a relayed
//! request asks the database at most once a minute, and goes on for a while when that is gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::store::{Fault, Member, Role, Store};

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
    known: Mutex<Option<Known>>,
    /// Held by whoever asks the database, so that one asks for all.
    asking: tokio::sync::Mutex<()>,
    revoked: CancellationToken,
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
        if let Some(known) = slot.known(enough) {
            return Ok(known);
        }
        match self.store.member(&slot.login_id, &slot.user_id).await {
            Ok(member) => Ok(slot.learn(member)),
            Err(fault) => slot.known(STALE).ok_or(fault),
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
        for slot in ageing {
            if let Ok(Known { account: None, .. }) = self.ask(&slot, AGEING).await {
                self.forget(|other| other.login_id == slot.login_id);
            }
        }
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
            *slot.lock() = None;
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
            known: Mutex::default(),
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
        let known = self.lock().clone();
        known.filter(|known| known.at.elapsed() < not_older_than)
    }

    fn learn(&self, member: Option<Member>) -> Known {
        let good = member.filter(|member| member.user.is_active && !member.is_revoked);
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
        *self.lock() = Some(known.clone());
        known
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
