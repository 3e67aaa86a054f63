//! Rule: one limit, whom it concerns, and in which words it refuses.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Asking;
use super::bucket::{Quota, Wait};
use super::home::Count;
use super::key::Subject;
use crate::admission::Right;
use crate::admission::network::network;
use crate::config::{Bound, Limit, Per, What};
use crate::error::{Kind, Refusal};
use crate::fields::Allowance;

/// What a client is told to wait, in seconds, when as much of its own runs as may.
const CONCURRENT_RETRY_AFTER_S: u64 = 5;

/// The limits of one credential: each counts apart from the same limit of another one.
#[derive(Debug, Default)]
pub struct OwnLimits(Vec<Rule>);

impl OwnLimits {
    /// These limits, of the credential with this name.
    pub fn new(of: &str, limits: &[Limit]) -> OwnLimits {
        let rules = limits.iter().map(|limit| {
            let name = format!("{of} {limit}");
            // Counts of limits in the configuration have small numbers.
            let mut number = DefaultHasher::new();
            name.hash(&mut number);
            let number = usize::try_from(number.finish()).unwrap_or(usize::MAX) | 1 << 63;
            Rule::new(number, limit, name)
        });
        OwnLimits(rules.collect())
    }

    pub(super) fn rules(&self) -> &[Rule] {
        &self.0
    }
}

/// One limit, ready to be applied.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) number: usize,
    pub(super) limit: Limit,
    /// The limit as it is written, behind whose it is.
    pub(super) name: String,
    /// `None` for what runs at the same time.
    pub(super) quota: Option<Quota>,
    pub(super) refused: AtomicU64,
}

impl Rule {
    pub(super) fn new(number: usize, limit: &Limit, name: String) -> Rule {
        Rule {
            number,
            limit: limit.clone(),
            name,
            quota: match limit.bound {
                Bound::Rate { count, window } => Some(Quota::new(count, window)),
                Bound::Concurrent(_) => None,
            },
            refused: AtomicU64::new(0),
        }
    }

    pub(super) fn concerns(&self, asking: &Asking<'_>) -> bool {
        let is_counted = match self.limit.what {
            What::All => asking.family.is_some(),
            What::Sockets => asking.is_upgrade,
            What::Offer => asking.right == Right::Offer,
            What::Accounts => matches!(asking.right, Right::User | Right::Seal),
            What::Family(family) => asking.family == Some(family),
        };
        is_counted && self.limit.callers.contain(asking.kind)
    }

    pub(super) fn count<'a>(&'a self, asking: &Asking<'a>) -> Count<'a> {
        let subject = match (self.limit.per, asking.name) {
            (Per::User, Some(name)) => Subject::Name(name),
            _ => Subject::Network(network(asking.client)),
        };
        Count {
            limit: self.number,
            name: &self.name,
            subject,
        }
    }

    /// Counts a refusal, and words it.
    pub(super) fn too_fast(&self, quota: Quota, Wait(wait): Wait) -> Refusal {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let seconds = wait.div_ceil(1_000_000).max(1);
        let owed = quota.burst() - quota.interval() + wait;
        let within = match self.limit.bound {
            Bound::Rate { window, .. } => format!(" in {window:?}"),
            Bound::Concurrent(_) => String::new(),
        };
        let message = format!(
            "Rate limit reached: this relay takes {} {}{within}. Try again in {seconds} s.",
            quota.limit(),
            self.whose(),
        );
        Refusal::new(Kind::RateLimited, message)
            .because(self.name.clone())
            .retry_after(seconds)
            .leaving(allowance(quota, owed))
    }

    pub(super) fn too_many_at_once(&self, most: u32) -> Refusal {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let message = format!(
            "Rate limit reached: this relay takes {most} {} at the same time. Try again when one of them has ended.",
            self.whose()
        );
        Refusal::new(Kind::RateLimited, message)
            .because(self.name.clone())
            .retry_after(CONCURRENT_RETRY_AFTER_S)
    }

    /// What is counted, and of whom.
    fn whose(&self) -> String {
        let what = match self.limit.what {
            What::All => "requests".to_owned(),
            What::Sockets => "sockets".to_owned(),
            What::Offer => "offers".to_owned(),
            What::Accounts => "requests to the accounts API".to_owned(),
            What::Family(family) => format!("{} requests", What::Family(family)),
        };
        match self.limit.per {
            Per::User => format!("{what} of one user"),
            Per::Address => format!("{what} from one address"),
        }
    }
}

pub(super) fn allowance(quota: Quota, debt: u64) -> Allowance {
    Allowance {
        limit: quota.limit(),
        remaining: quota.remaining(debt),
        reset: Duration::from_micros(debt),
    }
}
