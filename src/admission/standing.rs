//! Standing: whether a credential is still good and what it stands for, remembered so that a relayed
//! request asks the database at most once a minute, and goes on for a while when that is gone.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::slot::{FRESH, Known, STALE, Slot};
use super::strangers::Strangers;
use crate::store::{BATCH, Fault};

/// How often standings are looked after.
pub(super) const SWEEP: Duration = Duration::from_secs(5);
/// How often a database that does not answer is asked again.
pub(super) const PROBE: Duration = Duration::from_secs(1);
/// When the standing of a running exchange is asked for again, so that it stays fresh.
const AGEING: Duration = Duration::from_secs(45);
/// Past so many, credentials that are none are not remembered: anybody can make them up.
const MOST_UNKNOWN: usize = 20_000;

/// Who knows whether a credential is good.
pub(super) trait Register: Send + Sync {
    /// What is asked about.
    type Name: Clone + Debug + Eq + Hash + Send + Sync;
    /// What a good one stands for.
    type Entry: Debug + Send + Sync;

    /// Whether anybody can make such a name up. While nothing good is known of one, it is a
    /// stranger's, and few of those are asked about at once.
    fn can_be_made_up(_: &Self::Name) -> bool {
        false
    }

    /// Asks about at most [`BATCH`] at once; those that are none, or not any more, are left out.
    fn look_up(
        &self,
        names: &[&Self::Name],
    ) -> impl Future<Output = Result<HashMap<Self::Name, Self::Entry>, Fault>> + Send;
}

/// Something that was good when it was last looked at.
#[derive(Debug)]
pub struct Standing<E> {
    entry: Arc<E>,
    slot: Arc<Slot<E>>,
}

impl<E> Clone for Standing<E> {
    fn clone(&self) -> Standing<E> {
        Standing {
            entry: Arc::clone(&self.entry),
            slot: Arc::clone(&self.slot),
        }
    }
}

impl<E> Standing<E> {
    /// What it stands for.
    pub fn entry(&self) -> &E {
        &self.entry
    }

    /// Whether it was ended since.
    pub fn is_revoked(&self) -> bool {
        self.slot.revoked.is_cancelled()
    }

    /// Cancelled when it is ended.
    pub fn revoked(&self) -> CancellationToken {
        self.slot.revoked.clone()
    }
}

/// The standings of all credentials of one sort that were seen lately.
pub(super) struct Standings<R: Register> {
    register: R,
    slots: Mutex<Slots<R>>,
    strangers: Strangers,
}

type SlotOf<R> = Arc<Slot<<R as Register>::Entry>>;
type Slots<R> = HashMap<<R as Register>::Name, SlotOf<R>>;

impl<R: Register> Standings<R> {
    pub(super) fn new(register: R) -> Standings<R> {
        Standings {
            register,
            slots: Mutex::default(),
            strangers: Strangers::new(),
        }
    }

    /// How a credential stands; `None` if it is none, or is over. `Err` where nobody can tell.
    pub(super) async fn of(&self, name: &R::Name) -> Result<Option<Standing<R::Entry>>, Fault> {
        loop {
            let slot = self.slot(name);
            let known = match slot.known(FRESH) {
                Some(known) => known,
                None => match self.ask(name, &slot, FRESH).await {
                    Ok(known) => known,
                    Err(fault) => {
                        self.forget(name, slot, 0);
                        return Err(fault);
                    }
                },
            };
            let Some(entry) = known.entry else {
                self.forget(name, slot, MOST_UNKNOWN);
                return Ok(None);
            };
            // Ended while the database was asked: the answer may be from before that.
            if !slot.revoked.is_cancelled() {
                return Ok(Some(Standing { entry, slot }));
            }
        }
    }

    /// Asks the database, unless somebody else just did.
    async fn ask(
        &self,
        name: &R::Name,
        slot: &Slot<R::Entry>,
        enough: Duration,
    ) -> Result<Known<R::Entry>, Fault> {
        let _turn = slot.asking.lock().await;
        loop {
            if let Some(known) = slot.known(enough) {
                return Ok(known);
            }
            let generation = slot.generation();
            match self.ask_in_turn(name, slot).await {
                Ok(entry) => slot.learn(entry, generation),
                Err(fault) => return slot.known(STALE).ok_or(fault),
            }
        }
    }

    /// Asks the database, about a stranger only when it is its turn.
    async fn ask_in_turn(
        &self,
        name: &R::Name,
        slot: &Slot<R::Entry>,
    ) -> Result<Option<R::Entry>, Fault> {
        let is_stranger = R::can_be_made_up(name) && slot.entry().is_none();
        let _turn = match is_stranger {
            true => Some(self.strangers.turn().await?),
            false => None,
        };
        let mut entries = self.register.look_up(&[name]).await?;
        Ok(entries.remove(name))
    }

    /// Forgets what nobody has asked about for long, and what came to nothing. Asks nobody.
    pub(super) fn tidy(&self) {
        self.lock()
            .retain(|_, slot| Arc::strong_count(slot) > 1 || slot.is_worth_keeping());
    }

    /// Asks again about what has something running, ends what is over, and forgets what nobody has
    /// asked about for long.
    pub(super) async fn refresh(&self) {
        self.tidy();
        let ageing: Vec<(R::Name, SlotOf<R>)> = {
            let slots = self.lock();
            let running = slots.iter().filter(|(_, slot)| Arc::strong_count(slot) > 1);
            let ageing = running.filter(|(_, slot)| slot.known(AGEING).is_none());
            ageing
                .map(|(name, slot)| (name.clone(), Arc::clone(slot)))
                .collect()
        };
        for slots in ageing.chunks(BATCH) {
            if self.look_up(slots).await.is_err() {
                // What is known serves on; the next sweep asks again.
                return;
            }
        }
    }

    /// Asks the database about many at once, and ends what is over.
    async fn look_up(&self, slots: &[(R::Name, SlotOf<R>)]) -> Result<(), Fault> {
        let generations: Vec<u64> = slots.iter().map(|(_, slot)| slot.generation()).collect();
        let names: Vec<&R::Name> = slots.iter().map(|(name, _)| name).collect();
        let mut entries = self.register.look_up(&names).await?;
        for ((name, slot), generation) in slots.iter().zip(generations) {
            slot.learn(entries.remove(name), generation);
            if slot.is_over() {
                self.end(|other, _| other == name);
            }
        }
        Ok(())
    }

    /// Ends all that runs for these, and forgets what was known of them. What nothing is known of
    /// yet has no entry.
    pub(super) fn end(&self, is_meant: impl Fn(&R::Name, Option<&R::Entry>) -> bool) {
        self.lock().retain(|name, slot| {
            let stays = !is_meant(name, slot.entry().as_deref());
            if !stays {
                slot.revoked.cancel();
            }
            stays
        });
    }

    /// Something has changed about these that ends nothing.
    pub(super) fn changed(&self, is_meant: impl Fn(&R::Name) -> bool) {
        let slots = self.lock();
        for (_, slot) in slots.iter().filter(|(name, _)| is_meant(name)) {
            slot.outdate();
        }
    }

    /// Gives a slot back that nothing good is known of; past so many it is not kept. Whoever else
    /// holds it still may learn something, and then has to be found by [`Standings::end`].
    fn forget(&self, name: &R::Name, slot: SlotOf<R>, most: usize) {
        let mut slots = self.lock();
        drop(slot);
        let is_idle = |slot: &SlotOf<R>| Arc::strong_count(slot) == 1 && slot.entry().is_none();
        if slots.len() > most && slots.get(name).is_some_and(is_idle) {
            slots.remove(name);
        }
    }

    fn slot(&self, name: &R::Name) -> Arc<Slot<R::Entry>> {
        let mut slots = self.lock();
        if let Some(slot) = slots.get(name) {
            return Arc::clone(slot);
        }
        let slot = Arc::new(Slot::new());
        slots.insert(name.clone(), Arc::clone(&slot));
        slot
    }

    fn lock(&self) -> MutexGuard<'_, Slots<R>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::task::{Context, Waker};

    use tokio_util::task::TaskTracker;

    use tokio::sync::Semaphore;

    use super::*;
    use crate::admission::strangers::{MOST_ASKING, MOST_WAITING};

    /// Knows that 0 is good and all else is none; even numbers can be made up.
    struct Numbers {
        is_down: AtomicBool,
        asked: AtomicUsize,
        /// One for each answer that may be given.
        answers: Semaphore,
    }

    impl Numbers {
        fn with(answers: usize) -> Arc<Standings<Numbers>> {
            Arc::new(Standings::new(Numbers {
                is_down: AtomicBool::new(false),
                asked: AtomicUsize::new(0),
                answers: Semaphore::new(answers),
            }))
        }
    }

    impl Register for Numbers {
        type Name = u32;
        type Entry = &'static str;

        fn can_be_made_up(name: &u32) -> bool {
            name.is_multiple_of(2)
        }

        async fn look_up(&self, names: &[&u32]) -> Result<HashMap<u32, &'static str>, Fault> {
            if self.is_down.load(Ordering::Relaxed) {
                return Err(Fault::Unreachable("it is down".to_owned()));
            }
            self.asked.fetch_add(1, Ordering::Relaxed);
            let answer = self.answers.acquire().await;
            answer.expect("it stays open").forget();
            let good = names.iter().filter(|name| ***name == 0);
            Ok(good.map(|name| (**name, "good")).collect())
        }
    }

    #[tokio::test]
    async fn what_strangers_make_up_while_the_database_is_gone_takes_no_memory() {
        let standings = Numbers::with(1);
        let known = standings.of(&0).await.expect("an answer");
        standings.register.is_down.store(true, Ordering::Relaxed);
        for made_up in 1..=10_000 {
            assert!(standings.of(&made_up).await.is_err());
        }
        assert_eq!(standings.lock().len(), 1, "the one that is known");
        assert!(standings.of(&0).await.is_ok_and(|found| found.is_some()));
        drop(known);
    }

    #[tokio::test]
    async fn who_leaves_before_the_answer_is_forgotten_without_asking_the_database() {
        let standings = Numbers::with(1);
        let running = standings.of(&0).await.expect("an answer").expect("good");
        for name in 1..=100 {
            let asking = pin!(standings.of(&name));
            let mut nobody = Context::from_waker(Waker::noop());
            assert!(asking.poll(&mut nobody).is_pending());
        }
        assert_eq!(standings.lock().len(), 101);
        standings.tidy();
        assert_eq!(standings.lock().len(), 1);
        standings.end(|_, _| true);
        assert!(running.is_revoked(), "what runs can still be ended");
    }

    #[tokio::test]
    async fn whoever_asks_beside_one_that_got_no_answer_can_still_be_ended() {
        let standings = Numbers::with(0);
        let (first, second) = (standings.slot(&0), standings.slot(&0));
        standings.forget(&0, first, 0);
        second.learn(Some("good"), second.generation());
        standings.end(|name, _| *name == 0);
        assert!(second.revoked.is_cancelled());
    }

    #[tokio::test]
    async fn a_flood_of_strangers_leaves_the_database_to_others() {
        let (standings, tasks) = (Numbers::with(0), TaskTracker::new());
        let ask = |name| {
            let standings = Arc::clone(&standings);
            tasks.spawn(async move { standings.of(&name).await.map(|found| found.is_some()) })
        };
        let most = MOST_ASKING + MOST_WAITING;
        let strangers: Vec<_> = (2..).step_by(2).take(most).map(ask).collect();
        while standings.strangers.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let asked = || standings.register.asked.load(Ordering::Relaxed);
        assert_eq!(asked(), MOST_ASKING);
        assert!(standings.of(&0).await.is_err(), "one too many");
        assert_eq!(asked(), MOST_ASKING, "it costs nothing");
        let signed = ask(1);
        while asked() == MOST_ASKING {
            tokio::task::yield_now().await;
        }
        standings.register.answers.add_permits(most + 2);
        for asking in strangers.into_iter().chain([signed]) {
            assert!(!asking.await.expect("no panic").expect("an answer"));
        }
        assert!(standings.of(&0).await.is_ok_and(|found| found.is_some()));
    }
}
