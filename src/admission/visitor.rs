//! Visitor: whoever calls a route of the relay's own, as the edge saw it. Nothing in it is verified.

use std::net::IpAddr;

use super::{Ask, Claim, Right};
use crate::family::Family;

/// What the wire claims about who asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The credential.
    pub claim: Claim<'a>,
    /// The page that sent the request.
    pub origin: Option<&'a str>,
    /// The client's address, seen through trusted proxies.
    pub client: IpAddr,
    /// Whether a process on this machine called without a proxy between.
    pub direct_loopback: bool,
}

impl<'a> Caller<'a> {
    /// What the gate is asked when this caller wants to do that on a route of the relay's own.
    pub fn ask(&self, right: Right) -> Ask<'a> {
        Ask {
            claim: self.claim,
            right,
            family: None,
            calls: &[],
            origin: self.origin,
            client: self.client,
            is_upgrade: false,
            direct_loopback: self.direct_loopback,
        }
    }

    /// The same on a route that is relayed.
    pub fn ask_for(&self, right: Right, family: Family) -> Ask<'a> {
        Ask {
            family: Some(family),
            ..self.ask(right)
        }
    }

    /// The same about these calls.
    pub fn ask_about(&self, right: Right, family: Family, calls: &'a [String]) -> Ask<'a> {
        Ask {
            calls,
            ..self.ask_for(right, family)
        }
    }
}

/// A caller that outlives its request's head. Travels as an extension of the request.
#[derive(Clone)]
pub struct Visitor {
    claim: OwnedClaim,
    origin: Option<String>,
    client: IpAddr,
    direct_loopback: bool,
}

/// Never printed: it may hold a credential.
#[derive(Clone)]
enum OwnedClaim {
    None,
    Token(String),
    Unreadable,
}

impl Visitor {
    /// Keeps a caller.
    pub fn new(caller: &Caller<'_>) -> Visitor {
        Visitor {
            claim: match caller.claim {
                Claim::None => OwnedClaim::None,
                Claim::Token(token) => OwnedClaim::Token(token.to_owned()),
                Claim::Unreadable => OwnedClaim::Unreadable,
            },
            origin: caller.origin.map(str::to_owned),
            client: caller.client,
            direct_loopback: caller.direct_loopback,
        }
    }

    /// The caller again.
    pub fn caller(&self) -> Caller<'_> {
        Caller {
            claim: match &self.claim {
                OwnedClaim::None => Claim::None,
                OwnedClaim::Token(token) => Claim::Token(token),
                OwnedClaim::Unreadable => Claim::Unreadable,
            },
            origin: self.origin.as_deref(),
            client: self.client,
            direct_loopback: self.direct_loopback,
        }
    }
}
