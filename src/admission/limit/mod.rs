//! What is limited: requests, new sockets, and what runs at the same time, by user and by address.
//!
//! The gate asks once for each request, after it knows who asks. Whatever refuses, everything that was
//! charged before is given back, so that a refused request has cost nothing.

mod bucket;
mod key;
mod memory;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Right;
use super::network::network;
use crate::config::{Bound, CallerKind, Family, Limit, Limiting, Per, What};
use crate::error::{Kind, Refusal};
use crate::fields::Allowance;
use bucket::{Quota, Wait};
use key::{Key, Keys, Subject};
use memory::{Buckets, Running};

/// How often what is full again is looked for.
const SWEEP: Duration = Duration::from_secs(20);
/// What a client is told to wait, in seconds, when as much of its own runs as may.
const CONCURRENT_RETRY_AFTER_S: u64 = 5;

/// Who asks, and what for.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// What kind of caller it is.
    pub kind: CallerKind,
    /// Its name, if it has one here.
    pub name: Option<&'a str>,
    /// Its address, seen through trusted proxies.
    pub client: IpAddr,
    /// What for.
    pub right: Right,
    /// The family of the route, where it is relayed.
    pub family: Option<Family>,
    /// Whether it wants to become a socket.
    pub is_upgrade: bool,
}

/// All limits of this relay.
pub struct Limiter {
    rules: Vec<Rule>,
    home: Arc<Home>,
    refused: AtomicU64,
}

/// One limit, ready to be applied.
struct Rule {
    limit: Limit,
    /// `None` for what runs at the same time.
    quota: Option<Quota>,
    number: usize,
}

/// Where counts are kept.
struct Home {
    keys: Keys,
    start: Instant,
    replicas: u32,
    buckets: Buckets,
    running: Running,
}

/// What came of a charge.
struct Decision {
    /// What it was decided by: the limit, or this relay's share of it.
    quota: Quota,
    /// The debt, or how long to wait.
    verdict: Result<u64, Wait>,
}

/// What a request took: given back as a whole, or held until it ends.
#[derive(Debug, Default)]
pub struct Taken {
    /// The rules that were charged, one bit each.
    charged: u64,
    /// What is left of the tightest limit.
    allowance: Option<Allowance>,
    leases: Vec<Lease>,
}

/// The place of something that runs, given back on drop.
pub struct Lease {
    home: Arc<Home>,
    key: Key,
}

/// How limits are doing, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimiterState {
    /// Requests that were refused.
    pub refused: u64,
    /// Buckets in memory that owe something.
    pub buckets: usize,
}

impl Limiter {
    /// A limiter of these limits.
    pub fn new(config: &Limiting) -> Limiter {
        let rules = config.limits.iter().enumerate();
        let rules = rules.map(|(number, limit)| Rule {
            limit: limit.clone(),
            quota: match limit.bound {
                Bound::Rate { count, window } => Some(Quota::new(count, window)),
                Bound::Concurrent(_) => None,
            },
            number,
        });
        Limiter {
            rules: rules.collect(),
            home: Arc::new(Home {
                keys: Keys::new(),
                start: Instant::now(),
                replicas: config.replicas.unwrap_or(1),
                buckets: Buckets::new(),
                running: Running::new(),
            }),
            refused: AtomicU64::new(0),
        }
    }

    /// Takes what a request needs, in the order of the gate: requests and sockets first, then what
    /// runs at the same time.
    pub async fn take(&self, asking: &Asking<'_>) -> Result<Taken, Refusal> {
        let mut taken = self.charge(asking).await?;
        for rule in self.rules.iter().filter(|rule| rule.concerns(asking)) {
            let Bound::Concurrent(most) = rule.limit.bound else {
                continue;
            };
            let key = self.home.keys.of(rule.number, rule.subject(asking));
            match Home::lease(&self.home, key, most).await {
                Some(lease) => taken.leases.push(lease),
                None => {
                    self.give_back(asking, taken).await;
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    return Err(rule.too_many_at_once(most));
                }
            }
        }
        Ok(taken)
    }

    /// Charges a request that holds no place while it runs.
    pub async fn charge(&self, asking: &Asking<'_>) -> Result<Taken, Refusal> {
        let mut taken = Taken::default();
        for rule in self.rules.iter().filter(|rule| rule.concerns(asking)) {
            let Some(quota) = rule.quota else {
                continue;
            };
            let key = self.home.keys.of(rule.number, rule.subject(asking));
            let Decision { quota, verdict } = self.home.charge(key, quota).await;
            match verdict {
                Ok(debt) => taken.charged(rule.number, allowance(quota, debt)),
                Err(wait) => {
                    self.give_back(asking, taken).await;
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    return Err(rule.too_fast(quota, wait));
                }
            }
        }
        Ok(taken)
    }

    /// Gives back what a request took that is refused after all, or that should cost nothing.
    pub async fn give_back(&self, asking: &Asking<'_>, taken: Taken) {
        for rule in &self.rules {
            if let Some(quota) = rule.quota
                && taken.charged & (1 << rule.number) != 0
            {
                let key = self.home.keys.of(rule.number, rule.subject(asking));
                self.home.give_back(key, quota).await;
            }
        }
    }

    /// How limits are doing.
    pub fn state(&self) -> LimiterState {
        LimiterState {
            refused: self.refused.load(Ordering::Relaxed),
            buckets: self.home.buckets.len(),
        }
    }

    /// Looks after the counts until told to stop.
    pub async fn watch(&self, stop: CancellationToken) {
        let work = async {
            loop {
                tokio::time::sleep(SWEEP).await;
                self.home.buckets.forget(self.home.now());
            }
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
    }
}

impl Home {
    /// Microseconds since start.
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    async fn charge(&self, key: Key, quota: Quota) -> Decision {
        let quota = quota.share(self.replicas);
        let verdict = self.buckets.charge(key, quota, self.now());
        Decision { quota, verdict }
    }

    async fn give_back(&self, key: Key, quota: Quota) {
        self.buckets
            .give_back(key, quota.share(self.replicas), self.now());
    }

    async fn lease(home: &Arc<Home>, key: Key, most: u32) -> Option<Lease> {
        let lease = Lease {
            home: Arc::clone(home),
            key,
        };
        let running = home.running.add(key);
        (running <= (most / home.replicas).max(1)).then_some(lease)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.home.running.remove(self.key);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Lease")
    }
}

impl Taken {
    /// What is left of the tightest limit on requests, if any was charged.
    pub fn allowance(&self) -> Option<Allowance> {
        self.allowance
    }

    fn charged(&mut self, rule: usize, allowance: Allowance) {
        self.charged |= 1 << rule;
        let rank = |one: &Allowance| (one.remaining, std::cmp::Reverse(one.reset));
        if self
            .allowance
            .is_none_or(|known| rank(&allowance) < rank(&known))
        {
            self.allowance = Some(allowance);
        }
    }
}

impl Rule {
    fn concerns(&self, asking: &Asking<'_>) -> bool {
        let is_counted = match self.limit.what {
            What::All => asking.family.is_some(),
            What::Sockets => asking.is_upgrade,
            What::Offer => asking.right == Right::Offer,
            What::Accounts => asking.right == Right::User,
            What::Family(family) => asking.family == Some(family),
        };
        is_counted && self.limit.callers.contain(asking.kind)
    }

    fn subject<'a>(&self, asking: &Asking<'a>) -> Subject<'a> {
        match (self.limit.per, asking.name) {
            (Per::User, Some(name)) => Subject::Name(name),
            _ => Subject::Network(network(asking.client)),
        }
    }

    fn too_fast(&self, quota: Quota, Wait(wait): Wait) -> Refusal {
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
            .retry_after(seconds)
            .leaving(allowance(quota, owed))
    }

    fn too_many_at_once(&self, most: u32) -> Refusal {
        let message = format!(
            "Rate limit reached: this relay takes {most} {} at the same time. Try again when one of them has ended.",
            self.whose()
        );
        Refusal::new(Kind::RateLimited, message).retry_after(CONCURRENT_RETRY_AFTER_S)
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

fn allowance(quota: Quota, debt: u64) -> Allowance {
    Allowance {
        limit: quota.limit(),
        remaining: quota.remaining(debt),
        reset: Duration::from_micros(debt),
    }
}
