//! The gate: the ordered checks between a caller's claim and a Permit.
//!
//! Order: draining → origin → credential → what the credential may do → a key to lend → limits on
//! requests → limits on what runs at once → room for a session. Nobody else builds a
//! Permit, and nothing is sent upstream before there is one.

pub mod accounts;
mod calls;
mod credential;
mod drain;
pub mod keys;
mod limit;
mod network;
mod permit;
mod pressure;
mod principal;
mod revocation;
mod sealed;
mod sealing;
mod sessions;
mod slot;
mod standing;
mod strangers;
mod told;
mod visitor;

use std::net::IpAddr;
use std::sync::Arc;

pub use calls::{Calls, Noter};
pub use drain::{Closing, Cutting, Departure, Drain};
pub use limit::{Asking, Limiter, LimiterState, Reach, SharedState, Taken};
pub use network::network;
pub use permit::{Permit, Request};
pub use pressure::{HELD_FOR_NOTHING, Holding, Level, Pressure};
pub use principal::Principal;
pub use revocation::Revocation;
pub use sealing::{LIVES_S, Minted, Sealing, TokenTerms};
pub use sessions::Sessions;
pub use visitor::{Caller, Visitor};

use accounts::Accounts;
use keys::RelayKeys;

use crate::config::{Access, CallerKind, Environment};
use crate::error::{Kind, Refusal};
use crate::family::Family;
use crate::store::now_ms;
use crate::telemetry::{Counters, Lane};
use permit::Held;
use sessions::SessionSlot;

/// What a client is told to wait, in seconds, when the relay shuts down: by then its successor runs.
const DRAIN_RETRY_AFTER_S: u64 = 5;
/// What a client is told to wait, in seconds, when all sessions are taken.
const CAPACITY_RETRY_AFTER_S: u64 = 5;

/// What the wire claims about the caller's credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim<'a> {
    /// No carrier holds one.
    None,
    /// One carrier holds this.
    Token(&'a str),
    /// A carrier holds something that is not one token.
    Unreadable,
}

/// What a request asks to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Any route under `/v1/` outside the families below.
    Api,
    /// HTTP routes and sockets of the realtime and live families.
    Realtime,
    /// The realtime sockets that browsers use: `/`, `/realtime`, `/v1/realtime`.
    RealtimeSocket,
    /// `POST /offer`.
    Offer,
    /// Making an OpenAI credential that a client keeps.
    ClientSecret,
    /// Making a sealed token.
    Seal,
    /// The relay's own routes for users.
    User,
    /// The relay's own routes for admins.
    Admin,
    /// Seeing how the relay is.
    Operate,
}

impl Right {
    /// Whether OpenAI's ephemeral credentials open it.
    fn takes_ephemeral(self) -> bool {
        matches!(
            self,
            Right::Realtime | Right::RealtimeSocket | Right::Offer | Right::ClientSecret
        )
    }

    /// Whether a development relay without any credential serves it to other machines, as the
    /// relays that pages were built for did.
    fn is_exposed(self) -> bool {
        matches!(self, Right::RealtimeSocket | Right::Offer)
    }
}

/// What the gate is asked; filled from the wire, nothing in it verified.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The credential.
    pub claim: Claim<'a>,
    /// What for.
    pub right: Right,
    /// The family of the route, where it is relayed.
    pub family: Option<Family>,
    /// The calls that it is about.
    pub calls: &'a [String],
    /// The page that sent the request.
    pub origin: Option<&'a str>,
    /// The client's address, seen through trusted proxies.
    pub client: IpAddr,
    /// Whether the request wants to become a socket.
    pub is_upgrade: bool,
    /// Whether a process on this machine called without a proxy between.
    pub direct_loopback: bool,
}

impl Ask<'_> {
    /// The same for a socket.
    #[must_use]
    pub fn to_upgrade(self) -> Self {
        Ask {
            is_upgrade: true,
            ..self
        }
    }

    /// By what it is counted.
    fn lane(&self) -> Lane {
        match (self.is_upgrade, self.right) {
            (true, _) => Lane::Socket,
            (false, Right::Offer) => Lane::Offer,
            (false, _) => Lane::Http(self.family.unwrap_or(Family::Other)),
        }
    }
}

/// Decides who gets in.
pub struct Gate {
    terms: Terms,
    drain: Arc<Drain>,
    pressure: Arc<Pressure>,
    sessions: Arc<Sessions>,
    limiter: Arc<Limiter>,
    counters: Arc<Counters>,
}

/// What a gate goes by.
pub struct Terms {
    /// Who may use the server's key, without an account.
    pub access: Access,
    /// Who may with one; `None` where there are none.
    pub accounts: Option<Arc<Accounts>>,
    /// Who may with a relay key.
    pub keys: Arc<RelayKeys>,
    /// Whose calls are whose.
    pub calls: Arc<Calls>,
    /// Makes and opens sealed tokens.
    pub sealing: Arc<Sealing>,
    /// How strict the defaults are.
    pub environment: Environment,
    /// Whether there is a key to lend.
    pub has_server_key: bool,
}

impl Gate {
    /// A gate with these terms.
    pub fn new(
        terms: Terms,
        drain: Arc<Drain>,
        pressure: Arc<Pressure>,
        sessions: Arc<Sessions>,
        limiter: Arc<Limiter>,
        counters: Arc<Counters>,
    ) -> Gate {
        Gate {
            terms,
            drain,
            pressure,
            sessions,
            limiter,
            counters,
        }
    }

    /// The accounts, where there are any.
    pub fn accounts(&self) -> Option<&Arc<Accounts>> {
        self.terms.accounts.as_ref()
    }

    /// The relay keys.
    pub fn keys(&self) -> &RelayKeys {
        &self.terms.keys
    }

    /// What makes sealed tokens.
    pub fn sealing(&self) -> &Sealing {
        &self.terms.sealing
    }

    /// A sealed token that the holder of a relay key makes, for all that the key opens.
    pub async fn seal(&self, key: &str, life_s: i64) -> Result<String, Refusal> {
        let standing = self.terms.keys.recognise(key).await?;
        let maker = standing.map(Principal::Key);
        let maker = maker.ok_or_else(keys::Registry::no_such_key)?;
        let expires_at_s = now_ms() / 1000 + life_s;
        let minted = self
            .terms
            .sealing
            .mint(&maker, expires_at_s, &TokenTerms::default(), None)?;
        Ok(minted.token)
    }

    /// The limits.
    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// How close the process is to its memory budget.
    pub fn pressure(&self) -> Level {
        self.pressure.level()
    }

    /// Whether the strict rules hold.
    pub fn is_production(&self) -> bool {
        self.terms.environment.is_production()
    }

    /// Admits a request, or says why not.
    pub async fn admit(&self, ask: &Ask<'_>, request: Request) -> Result<Box<Permit>, Refusal> {
        let principal = match self.recognise(ask).await {
            Ok(principal) => principal,
            Err(refusal) => return Err(self.turn_away(refusal, &request)),
        };
        match self.hold(ask, &principal).await {
            Ok(held) => {
                let counters = Arc::clone(&self.counters);
                let permit =
                    Permit::new(principal, request, ask.lane(), counters, &self.drain, held);
                Ok(permit)
            }
            Err(refusal) => Err(self.refuse(principal.subject(), refusal, &request)),
        }
    }

    /// The place of a session, for what wants to become one.
    fn slot(&self, ask: &Ask<'_>) -> Result<Option<SessionSlot>, Refusal> {
        if !ask.is_upgrade {
            return Ok(None);
        }
        let slot = self.sessions.take();
        slot.map(Some).ok_or_else(|| {
            Refusal::new(
                Kind::CapacityReached,
                "This relay has as many sessions as it takes (MAX_CONNECTIONS). Try again shortly.",
            )
            .retry_after(CAPACITY_RETRY_AFTER_S)
        })
    }

    /// Runs to its end what nobody waits for any more.
    pub fn finish(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.drain.finish(work);
    }

    /// Counts and logs a request that gets no Permit.
    pub fn turn_away(&self, refusal: Refusal, request: &Request) -> Refusal {
        self.refuse("-", refusal, request)
    }

    /// The same where it is known who asked.
    fn refuse(&self, subject: &str, refusal: Refusal, request: &Request) -> Refusal {
        self.counters.refused(refusal.kind());
        permit::log_refusal(request, subject, &refusal);
        refusal
    }

    /// What a known caller's exchange holds, once the ordered checks are passed.
    async fn hold(&self, ask: &Ask<'_>, principal: &Principal) -> Result<Held, Refusal> {
        principal.check(ask)?;
        if principal.own_credential().is_none() && !self.terms.has_server_key {
            return Err(Refusal::new(
                Kind::ServerKeyMissing,
                "This relay has no OPENAI_API_KEY to lend. The operator can set it, or clients bring an ephemeral OpenAI credential of their own.",
            ));
        }
        for call in ask.calls {
            Box::pin(self.terms.calls.check(principal, call)).await?;
        }
        let asking = asking(ask, principal);
        let taken = self.limiter.take(&asking).await?;
        match self.slot(ask) {
            Ok(slot) => {
                let kept = taken.keep();
                Ok(Held { _slot: slot, kept })
            }
            Err(refusal) => {
                self.limiter.give_back(&asking, taken).await;
                Err(refusal)
            }
        }
    }

    /// Finds out who asks for a route of the relay's own, whether they may, and takes what it needs,
    /// to be held until it is answered.
    pub async fn welcome(&self, ask: &Ask<'_>) -> Result<(Principal, Taken), Refusal> {
        let principal = self.identify(ask).await?;
        let taken = self.limiter.take(&asking(ask, &principal)).await?;
        Ok((principal, taken))
    }

    /// Finds out who asks, and whether they may: the same for what is relayed and for the relay's
    /// own routes, which get no Permit.
    pub async fn identify(&self, ask: &Ask<'_>) -> Result<Principal, Refusal> {
        let principal = self.recognise(ask).await?;
        principal.check(ask)?;
        Ok(principal)
    }

    /// Finds out who asks.
    async fn recognise(&self, ask: &Ask<'_>) -> Result<Principal, Refusal> {
        self.check_open()?;
        if ask.is_upgrade {
            self.check_page(ask.origin)?;
        }
        let principal = credential::identify(&self.terms, ask).await?;
        if matches!(principal, Principal::Anonymous) {
            self.check_page(ask.origin)?;
        }
        Ok(principal)
    }

    /// Whether a stranger may ask for what strangers can ask for: to register, to log in.
    pub fn check_stranger(&self, origin: Option<&str>) -> Result<(), Refusal> {
        self.check_open()?;
        self.check_page(origin)
    }

    /// Takes what a stranger's request needs, to be held until it is answered.
    pub async fn welcome_stranger(&self, client: IpAddr) -> Result<Taken, Refusal> {
        self.limiter.take(&stranger(client)).await
    }

    /// Gives a stranger back what turned out to be nobody's trial.
    pub async fn forgive_stranger(&self, client: IpAddr, taken: Taken) {
        self.limiter.forgive(&stranger(client), taken).await;
    }

    /// Whether new work is taken at all.
    fn check_open(&self) -> Result<(), Refusal> {
        if self.drain.is_refusing() {
            return Err(Refusal::new(
                Kind::Draining,
                "This relay is shutting down. Try again shortly.",
            )
            .retry_after(DRAIN_RETRY_AFTER_S));
        }
        if self.pressure.level() >= Level::Shedding {
            return Err(Refusal::overloaded());
        }
        Ok(())
    }

    /// Whether a preflight may be answered: it needs no credential, only a listed origin.
    pub fn check_preflight(&self, origin: Option<&str>) -> Result<(), Refusal> {
        self.check_page(origin)
    }

    /// Whether pages of this origin are served.
    pub fn is_origin_listed(&self, origin: &str) -> bool {
        self.terms.access.origin_listed(origin)
    }

    fn check_page(&self, origin: Option<&str>) -> Result<(), Refusal> {
        match origin {
            Some(origin) if !self.is_origin_listed(origin) => Err(Refusal::new(
                Kind::OriginNotAllowed,
                "This page's origin is not on the relay's list. The operator can add it to ALLOWED_ORIGINS.",
            )),
            _ => Ok(()),
        }
    }
}

fn asking<'a>(ask: &Ask<'_>, principal: &'a Principal) -> Asking<'a> {
    Asking {
        kind: principal.kind(),
        name: principal.name(),
        client: ask.client,
        right: ask.right,
        family: ask.family,
        is_upgrade: ask.is_upgrade,
        own: principal.limits(),
    }
}

/// Somebody who uses the routes for users without being one yet.
fn stranger(client: IpAddr) -> Asking<'static> {
    Asking {
        kind: CallerKind::Anonymous,
        name: None,
        client,
        right: Right::User,
        family: None,
        is_upgrade: false,
        own: [None, None],
    }
}
