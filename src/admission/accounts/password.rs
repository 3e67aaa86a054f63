//! Passwords: argon2id for new ones, bcrypt for those that came along. Slow on purpose, so it runs
//! off the async threads, few at a time, and says so when too many wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use tokio::sync::Semaphore;

use super::keys::random;

/// OWASP's minimum for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// What a current hash starts with.
const CURRENT: &str = "$argon2id$v=19$m=19456,t=2,p=1$";
/// How many may wait for their turn.
const QUEUE: usize = 32;
/// The longest password, in bytes: hashing takes time in proportion to nothing else.
const LONGEST: usize = 1024;
/// The shortest new password, in characters.
const SHORTEST: usize = 8;

/// The 3,000 most common passwords of eight characters or more, in order, from zxcvbn's list (MIT).
const COMMON: &str = include_str!("common_passwords.txt");

/// Whether a password is the right one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is not.
    Wrong,
    /// It is. With a better hash, if the one it was compared with is outdated.
    Right(Option<String>),
}

/// Too many passwords wait to be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Busy;

/// Hashes and verifies, a few at a time.
pub(super) struct Hasher {
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
    dummy: String,
    old_dummy: String,
    /// Of a thousand users, so many still have a hash of bcrypt's.
    old_share: AtomicU64,
    /// How long the last comparison took, waiting included, in microseconds.
    last_took_us: AtomicU64,
}

impl Hasher {
    /// One for this machine: half of its cores hash at once.
    pub(super) fn new() -> Hasher {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (salt, tail) = (
            BASE64_STANDARD_NO_PAD.encode(random::<16>()),
            BASE64_STANDARD_NO_PAD.encode(random::<32>()),
        );
        // bcrypt's own alphabet has no `+`; all else of base64 is in it.
        let letters = |length| -> String {
            let text = BASE64_STANDARD_NO_PAD.encode(random::<64>());
            text.replace('+', ".").chars().take(length).collect()
        };
        Hasher {
            slots: Arc::new(Semaphore::new((cores / 2).max(1))),
            waiting: AtomicUsize::new(0),
            dummy: format!("{CURRENT}{salt}${tail}"),
            // The last characters of salt and hash hold fewer bits than others.
            old_dummy: format!("$2b$12${}u{}u", letters(21), letters(30)),
            old_share: AtomicU64::new(0),
            last_took_us: AtomicU64::new(0),
        }
    }

    /// Hashes a new password.
    pub(super) async fn hash(&self, password: &str) -> Result<String, Busy> {
        let password = password.to_owned();
        self.run(move || hash(&password)).await
    }

    /// Whether `password` matches `stored`.
    pub(super) async fn verify(&self, password: &str, stored: &str) -> Result<Verdict, Busy> {
        let (password, stored) = (password.to_owned(), stored.to_owned());
        let begun = Instant::now();
        let verdict = self.run(move || verify(&password, &stored)).await?;
        let took_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last_took_us.store(took_us, Ordering::Relaxed);
        Ok(verdict)
    }

    /// Takes as long as a comparison, and no work.
    pub(super) async fn pretend(&self) {
        let took_us = self.last_took_us.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_micros(took_us)).await;
    }

    /// A hash that no password matches, for names that nobody has. Of all such names as many take
    /// bcrypt's time as of those that somebody has; which ones follows from `lot`.
    pub(super) fn dummy(&self, lot: [u8; 16]) -> &str {
        let lot = u64::from(u16::from_le_bytes([lot[0], lot[1]])) % 1000;
        if lot < self.old_share.load(Ordering::Relaxed) {
            &self.old_dummy
        } else {
            &self.dummy
        }
    }

    /// Notes how many hashes of bcrypt's there are among all.
    pub(super) fn note_old(&self, old: i64, total: i64) {
        let share = (old.max(0) * 1000).checked_div(total).unwrap_or(0);
        let share = u64::try_from(share).unwrap_or(0);
        self.old_share.store(share, Ordering::Relaxed);
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let turn = {
            let _waits = Waiting::among(&self.waiting)?;
            Arc::clone(&self.slots)
                .acquire_owned()
                .await
                .map_err(|_| Busy)?
        };
        let done = tokio::task::spawn_blocking(move || {
            // Whoever asked may have left: the slot is free when the work is done, not before.
            let _turn = turn;
            job()
        });
        done.await.map_err(|_| Busy)
    }
}

/// A place in the queue.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn among(waiting: &'a AtomicUsize) -> Result<Waiting<'a>, Busy> {
        let place = Waiting(waiting);
        if waiting.fetch_add(1, Ordering::Relaxed) >= QUEUE {
            return Err(Busy);
        }
        Ok(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is wrong with a new password of this user's, if anything.
pub(super) fn weakness(password: &str, username: &str, email: &str) -> Option<&'static str> {
    if password.len() > LONGEST {
        return Some("Use at most 1024 bytes.");
    }
    if password.chars().count() < SHORTEST {
        return Some("Use at least 8 characters.");
    }
    if password.contains('\0') {
        return Some("Leave out the NUL character.");
    }
    let folded = password.to_lowercase();
    if folded == username.to_lowercase() || folded == email.to_lowercase() {
        return Some("Use something other than the name or the address.");
    }
    let is_common = COMMON.lines().any(|common| common == folded);
    is_common.then_some("This is one of the passwords that are guessed first. Use another one.")
}

/// Whether a password may be compared at all.
pub(super) fn is_too_long(password: &str) -> bool {
    password.len() > LONGEST
}

fn argon2id() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None);
    let params = params.expect("parameters within argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &str) -> String {
    let salt = random::<16>();
    let hash = argon2id().hash_password_with_salt(password.as_bytes(), &salt);
    // Fails only for passwords of 4 GiB and salts that are too short.
    hash.expect("a password within argon2's bounds").to_string()
}

fn verify(password: &str, stored: &str) -> Verdict {
    let is_right = if stored.starts_with("$2") {
        // The old rule: what is beyond 72 bytes never counted.
        bcrypt::verify(password, stored).unwrap_or(false)
    } else {
        PasswordHash::new(stored).is_ok_and(|stored| {
            argon2id()
                .verify_password(password.as_bytes(), &stored)
                .is_ok()
        })
    };
    match is_right {
        false => Verdict::Wrong,
        true if stored.starts_with(CURRENT) => Verdict::Right(None),
        true => Verdict::Right(Some(hash(password))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_hashes_are_argon2id_and_match_their_password_alone() {
        let stored = hash("correct horse battery");
        assert!(stored.starts_with(CURRENT), "{stored}");
        assert_ne!(stored, hash("correct horse battery"));
        assert_eq!(
            verify("correct horse battery", &stored),
            Verdict::Right(None)
        );
        assert_eq!(verify("correct horse batter", &stored), Verdict::Wrong);
    }

    #[test]
    fn bcrypt_hashes_match_and_are_replaced() {
        // Made by passlib, node's bcryptjs and PHP, of "correct horse".
        let hash = bcrypt::hash_with_result("correct horse", 4).expect("a hash");
        for version in [
            bcrypt::Version::TwoA,
            bcrypt::Version::TwoB,
            bcrypt::Version::TwoY,
        ] {
            let stored = hash.format_for_version(version);
            let Verdict::Right(Some(better)) = verify("correct horse", &stored) else {
                panic!("{stored}");
            };
            assert_eq!(verify("correct horse", &better), Verdict::Right(None));
            assert_eq!(verify("correct hors", &stored), Verdict::Wrong);
        }
    }

    #[test]
    fn dummies_are_well_formed_and_match_nothing() {
        let hasher = Hasher::new();
        assert!(PasswordHash::new(&hasher.dummy).is_ok());
        assert!(hasher.old_dummy.parse::<bcrypt::HashParts>().is_ok());
        assert!(bcrypt::verify("", &hasher.old_dummy).is_ok_and(|matches| !matches));
        assert_eq!(hasher.dummy([0; 16]), hasher.dummy);
        hasher.note_old(10, 10);
        assert_eq!(hasher.dummy([9; 16]), hasher.old_dummy);
    }

    #[test]
    fn weak_passwords_are_refused_with_a_reason() {
        for weak in [
            "short",
            "12345678",
            "PASSWORD1",
            "alice@example.com",
            "nul\0nul\0nul",
            &"x".repeat(1025),
        ] {
            assert!(
                weakness(weak, "alice", "alice@example.com").is_some(),
                "{weak}"
            );
        }
        for fine in [
            "correct horse battery",
            "пароль-иван",
            "a b c d e",
            &"x".repeat(1024),
        ] {
            assert_eq!(weakness(fine, "alice", "alice@example.com"), None, "{fine}");
        }
    }

    #[tokio::test]
    async fn past_its_queue_the_hasher_says_that_it_is_busy() {
        let hasher = Hasher::new();
        let held = hasher.slots.available_permits();
        let held = Arc::clone(&hasher.slots)
            .acquire_many_owned(u32::try_from(held).expect("few"))
            .await
            .expect("slots");
        let waiting: Vec<_> = (0..QUEUE).map(|_| hasher.hash("some password")).collect();
        let mut waiting = Box::pin(futures_of(waiting));
        std::future::poll_fn(|cx| {
            assert!(waiting.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        assert_eq!(hasher.hash("one too many").await, Err(Busy));
        drop(waiting);
        drop(held);
        assert!(hasher.hash("some password").await.is_ok());
    }

    /// Polls all of them, each time.
    async fn futures_of(futures: Vec<impl Future>) {
        let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
        std::future::poll_fn(|cx| {
            futures.retain_mut(|future| future.as_mut().poll(cx).is_pending());
            if futures.is_empty() {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
    }
}
