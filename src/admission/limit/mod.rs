//! What is limited: requests, new sockets, and what runs at the same time, by user and by address.
//!
//! The gate asks once for each request, after it knows who asks. Whatever refuses, everything that was
//! charged before is given back, so that a refused request has cost nothing.

mod bucket;
mod home;
mod key;
mod memory;
mod redis;
mod rule;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use tokio_util::sync::CancellationToken;

use self::home::{ALONE_WITHOUT_REPLICAS, Decision, Home, Lease};
use self::redis::Budget;
use self::redis::Shared;
pub use self::redis::{Reach, SharedState};
pub use self::rule::OwnLimits;
use self::rule::{Rule, allowance};
use super::Right;
use crate::config::{Bound, CallerKind, Limiting};
use crate::error::Refusal;
use crate::family::Family;
use crate::fields::Allowance;

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
    /// Limits that its credential brings along.
    pub own: [Option<&'a OwnLimits>; 2],
}

impl Asking<'_> {
    fn own(&self) -> impl Iterator<Item = &Rule> {
        self.own.iter().flatten().flat_map(|limits| limits.rules())
    }
}

/// All limits of this relay.
pub struct Limiter {
    rules: Vec<Rule>,
    home: Arc<Home>,
}

/// What a request took: given back as a whole, or kept until it ends.
#[derive(Debug, Default)]
pub struct Taken {
    /// The rules that were charged, one bit each: those of the configuration, then the caller's own.
    charged: [u64; 2],
    /// What is left of the tightest limit.
    allowance: Option<Allowance>,
    leases: Vec<Lease>,
    /// What was left of the time for Redis.
    budget: Budget,
}

/// What an admitted exchange keeps of it. Thousands of sessions idle with theirs.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) allowance: Option<Allowance>,
    leases: Box<[Lease]>,
}

/// How limits are doing, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimiterState {
    /// Requests that were refused.
    pub refused: u64,
    /// The same by limit, as it is written, in the order in which they hold.
    pub refusals: Vec<(String, u64)>,
    /// Buckets that owe something, as far as this relay knows.
    pub buckets: usize,
    /// How many relays share the limits.
    pub replicas: u32,
    /// How Redis is doing, where there is one.
    pub shared: Option<SharedState>,
}

impl Limiter {
    /// A limiter of these limits, 64 at the most.
    ///
    /// # Errors
    /// `REDIS_CA_FILE` cannot be read.
    pub fn new(config: &Limiting) -> Result<Limiter> {
        let rules = config.limits.iter().enumerate();
        let rules = rules.map(|(number, limit)| Rule::new(number, limit, limit.to_string()));
        Ok(Limiter {
            rules: rules.collect(),
            home: Arc::new(Home::new(config)?),
        })
    }

    /// Takes what a request needs, in the order of the gate: requests and sockets first, then what
    /// runs at the same time.
    pub async fn take(&self, asking: &Asking<'_>) -> Result<Taken, Refusal> {
        let mut budget = Budget::default();
        let mut taken = self.charge_within(asking, &mut budget).await?;
        for (_, rule) in self.rules(asking) {
            let Bound::Concurrent(most) = rule.limit.bound else {
                continue;
            };
            let count = rule.count(asking);
            match self.home.lease(&count, most, &mut budget).await {
                Some(lease) => taken.leases.push(lease),
                None => {
                    self.give_back_within(asking, taken, &mut budget).await;
                    return Err(rule.too_many_at_once(most));
                }
            }
        }
        taken.budget = budget;
        Ok(taken)
    }

    /// Gives back what a request took that is refused at once after all.
    pub async fn give_back(&self, asking: &Asking<'_>, taken: Taken) {
        let mut budget = taken.budget;
        self.give_back_within(asking, taken, &mut budget).await;
    }

    /// Gives back what a request took that has run, and that should cost nothing.
    pub async fn forgive(&self, asking: &Asking<'_>, taken: Taken) {
        let mut budget = Budget::default();
        self.give_back_within(asking, taken, &mut budget).await;
    }

    /// How limits are doing.
    pub fn state(&self) -> LimiterState {
        let refusals = self
            .rules
            .iter()
            .map(|rule| (rule.name.clone(), rule.refused.load(Ordering::Relaxed)));
        let refusals: Vec<_> = refusals.collect();
        LimiterState {
            refused: refusals.iter().map(|(_, count)| count).sum(),
            refusals,
            buckets: self.home.buckets(),
            replicas: self.home.replicas(),
            shared: self.home.shared(),
        }
    }

    /// Whether Redis answers; words say why not.
    ///
    /// # Errors
    /// It is configured and does not.
    pub async fn probe(&self) -> Result<(), String> {
        self.home.probe().await
    }

    /// Leaves a note for the relays that share these limits.
    pub async fn note(&self, key: &str, text: &str, life: Duration) {
        self.home.note(key, text, life).await;
    }

    /// A note that one of them left.
    pub async fn noted(&self, key: &str) -> Option<String> {
        self.home.noted(key).await
    }

    /// Tries to reach Redis, so that the first request finds it. A log line says what came of it.
    pub async fn begin(&self) {
        self.home.begin().await;
    }

    /// Whether limits can be shared in the Redis that is configured, if one is: where it is, and what
    /// is wrong. Leaves nothing behind there.
    ///
    /// # Errors
    /// `REDIS_CA_FILE` cannot be read.
    pub async fn try_redis(config: &Limiting) -> Result<Option<(String, Result<(), String>)>> {
        let Some(shared) = Shared::new(config)?.map(Arc::new) else {
            return Ok(None);
        };
        let mut begun = shared.begin().await;
        if begun.is_ok() {
            begun = shared.probe().await;
        }
        shared.leave().await;
        let hint = match (&begun, config.replicas) {
            (Err(_), None) => format!(". {ALONE_WITHOUT_REPLICAS}"),
            _ => String::new(),
        };
        Ok(Some((shared.shown(), begun.map_err(|cause| cause + &hint))))
    }

    /// Looks after the counts until told to stop.
    pub async fn watch(&self, stop: CancellationToken) {
        self.home.watch(stop).await;
    }

    async fn charge_within(
        &self,
        asking: &Asking<'_>,
        budget: &mut Budget,
    ) -> Result<Taken, Refusal> {
        let mut taken = Taken::default();
        for (number, rule) in self.rules(asking) {
            let Some(quota) = rule.quota else {
                continue;
            };
            let count = rule.count(asking);
            let Decision { quota, verdict } = self.home.charge(&count, quota, budget).await;
            match verdict {
                Ok(debt) => taken.charge(number, allowance(quota, debt)),
                Err(wait) => {
                    self.give_back_within(asking, taken, budget).await;
                    return Err(rule.too_fast(quota, wait));
                }
            }
        }
        Ok(taken)
    }

    async fn give_back_within(&self, asking: &Asking<'_>, taken: Taken, budget: &mut Budget) {
        for (number, rule) in self.rules(asking) {
            if let Some(quota) = rule.quota
                && taken.was_charged(number)
            {
                let count = rule.count(asking);
                self.home.give_back(&count, quota, budget).await;
            }
        }
    }

    /// The rules that concern a request, each with its number: at most 64 of the configuration, and 64
    /// that the caller brings along.
    fn rules<'a>(&'a self, asking: &'a Asking<'_>) -> impl Iterator<Item = (usize, &'a Rule)> {
        let configured = self.rules.iter().enumerate();
        let own = asking.own().take(64).enumerate();
        let own = own.map(|(number, rule)| (64 + number, rule));
        let all = configured.chain(own);
        all.filter(|(_, rule)| rule.concerns(asking))
    }
}

impl Kept {
    /// Gives back the places, of what runs no more.
    pub(super) fn release(&mut self) {
        self.leases = Box::default();
    }
}

impl Taken {
    /// It will not be given back.
    pub(super) fn keep(self) -> Kept {
        Kept {
            allowance: self.allowance,
            leases: self.leases.into_boxed_slice(),
        }
    }

    /// What is left of the tightest limit on requests, if any was charged.
    pub fn allowance(&self) -> Option<Allowance> {
        self.allowance
    }

    fn was_charged(&self, number: usize) -> bool {
        self.charged[number / 64] & (1 << (number % 64)) != 0
    }

    fn charge(&mut self, number: usize, allowance: Allowance) {
        self.charged[number / 64] |= 1 << (number % 64);
        let rank = |one: &Allowance| (one.remaining, std::cmp::Reverse(one.reset));
        if self
            .allowance
            .is_none_or(|known| rank(&allowance) < rank(&known))
        {
            self.allowance = Some(allowance);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Callers, Limit, Per, What};

    fn limit(what: What, bound: Bound) -> Limit {
        Limit {
            what,
            bound,
            per: Per::User,
            callers: Callers::EVERYONE,
        }
    }

    #[tokio::test]
    async fn refusals_are_counted_by_the_limit_that_refused() {
        let rate = |count| Bound::Rate {
            count,
            window: Duration::from_secs(3600),
        };
        let limiter = Limiter::new(&Limiting {
            limits: vec![
                limit(What::All, rate(3)),
                limit(What::Family(Family::Chat), rate(2)),
                limit(What::Sockets, Bound::Concurrent(1)),
            ],
            ..Limiting::none()
        })
        .expect("a limiter");
        let asking = |family, is_upgrade| Asking {
            kind: CallerKind::Token,
            name: Some("somebody"),
            client: IpAddr::from([203, 0, 113, 1]),
            right: Right::Api,
            family: Some(family),
            is_upgrade,
            own: [None, None],
        };
        let chat = asking(Family::Chat, false);
        let socket = asking(Family::Realtime, true);
        let held = limiter.take(&socket).await.expect("the first");
        limiter.take(&socket).await.expect_err("one at a time");
        for _ in 0..2 {
            limiter.take(&chat).await.expect("within both");
        }
        for _ in 0..4 {
            limiter.take(&chat).await.expect_err("past the first");
        }
        limiter.give_back(&socket, held).await;
        limiter.take(&chat).await.expect_err("past the second");
        let state = limiter.state();
        let counts: Vec<_> = state
            .refusals
            .iter()
            .map(|(limit, count)| (limit.as_str(), *count))
            .collect();
        assert_eq!(
            counts,
            [
                ("all=3/1h per user", 4),
                ("chat=2/1h per user", 1),
                ("concurrent sockets=1 per user", 1)
            ]
        );
        assert_eq!(state.refused, 6);
        assert_eq!(state.shared, None);
    }
}
