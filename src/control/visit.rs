//! Who visits a route of the relay's own, found out by the gate.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::Control;
use super::answer::No;
use crate::admission::accounts::{Account, Accounts, Standing};
use crate::admission::{Claim, Gate, Principal, Right, Taken, Visitor};
use crate::error::{Kind, Refusal};

/// The accounts, where there are any.
pub(super) struct People(pub(super) Arc<Accounts>);

impl FromRequestParts<Control> for People {
    type Rejection = No;

    async fn from_request_parts(_: &mut Parts, control: &Control) -> Result<Self, No> {
        Ok(People(accounts(control)?))
    }
}

/// Somebody of whom nothing is asked yet; from a listed page, if from one.
pub(super) struct Stranger {
    pub(super) accounts: Arc<Accounts>,
    pub(super) client: IpAddr,
    gate: Arc<Gate>,
    visitor: Visitor,
}

impl Stranger {
    /// Takes what is asked for of the limits, to be held until it is done.
    pub(super) async fn take(&self) -> Result<Taken, No> {
        let taken = self.gate.welcome_stranger(self.client).await?;
        self.visitor.note(taken.allowance());
        Ok(taken)
    }
}

impl FromRequestParts<Control> for Stranger {
    type Rejection = No;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, No> {
        let accounts = accounts(control)?;
        let visitor = visitor(parts)?;
        let caller = visitor.caller();
        control.gate.check_stranger(caller.origin)?;
        Ok(Stranger {
            accounts,
            client: caller.client,
            gate: Arc::clone(&control.gate),
            visitor,
        })
    }
}

/// A user who is logged in, with what its request took of the limits.
pub(super) struct SignedIn {
    standing: Standing,
    _taken: Taken,
}

impl SignedIn {
    pub(super) fn account(&self) -> &Account {
        self.standing.account()
    }
}

impl FromRequestParts<Control> for SignedIn {
    type Rejection = No;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, No> {
        accounts(control)?;
        let visitor = visitor(parts)?;
        Ok(sign_in(&control.gate, &visitor).await?)
    }
}

async fn sign_in(gate: &Gate, visitor: &Visitor) -> Result<SignedIn, Refusal> {
    let (principal, taken) = gate.welcome(&visitor.caller().ask(Right::User)).await?;
    visitor.note(taken.allowance());
    Ok(SignedIn {
        standing: standing(principal)?,
        _taken: taken,
    })
}

/// Somebody who may be logged in: refreshing and logging out also work by a refresh token.
pub(super) struct MaybeSignedIn {
    pub(super) accounts: Arc<Accounts>,
    pub(super) client: IpAddr,
    gate: Arc<Gate>,
    visitor: Visitor,
}

impl MaybeSignedIn {
    /// The user, if it is one.
    pub(super) async fn signed_in(&self) -> Result<SignedIn, No> {
        Ok(sign_in(&self.gate, &self.visitor).await?)
    }

    /// The same for somebody who leaves, which costs nothing.
    pub(super) async fn leaving(&self) -> Result<Standing, No> {
        let ask = self.visitor.caller().ask(Right::User);
        Ok(standing(self.gate.identify(&ask).await?)?)
    }

    /// Takes what the trial of a refresh token needs.
    pub(super) async fn take(&self) -> Result<Taken, No> {
        Ok(self.gate.welcome_stranger(self.client).await?)
    }

    /// It was good: many users may share an address.
    pub(super) async fn forgive(&self, taken: Taken) {
        self.gate.forgive_stranger(self.client, taken).await;
    }
}

impl FromRequestParts<Control> for MaybeSignedIn {
    type Rejection = No;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, No> {
        let accounts = accounts(control)?;
        let visitor = visitor(parts)?;
        let caller = visitor.caller();
        if caller.claim == Claim::None {
            control.gate.check_stranger(caller.origin)?;
        }
        Ok(MaybeSignedIn {
            accounts,
            client: caller.client,
            gate: Arc::clone(&control.gate),
            visitor,
        })
    }
}

/// An admin who is logged in.
pub(super) struct Admin(Standing);

impl Admin {
    pub(super) fn account(&self) -> &Account {
        self.0.account()
    }
}

impl FromRequestParts<Control> for Admin {
    type Rejection = No;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, No> {
        accounts(control)?;
        let visitor = visitor(parts)?;
        let ask = visitor.caller().ask(Right::Admin);
        Ok(Admin(standing(control.gate.identify(&ask).await?)?))
    }
}

/// Somebody who may make sealed tokens, with what the request took of the limits.
pub(super) struct Sealer {
    pub(super) principal: Principal,
    _taken: Taken,
}

impl FromRequestParts<Control> for Sealer {
    type Rejection = No;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, No> {
        let visitor = visitor(parts)?;
        let ask = visitor.caller().ask(Right::Seal);
        let (principal, taken) = control.gate.welcome(&ask).await?;
        visitor.note(taken.allowance());
        Ok(Sealer {
            principal,
            _taken: taken,
        })
    }
}

/// Marks requests to the listener that only monitoring reaches.
#[derive(Clone)]
pub(super) struct Monitored;

/// Somebody who may see how the relay is: anybody in development, and whoever reaches the listener
/// for monitoring.
pub(super) struct Operator;

impl FromRequestParts<Control> for Operator {
    type Rejection = No;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, No> {
        let is_monitor = parts.extensions.get::<Monitored>().is_some();
        if control.gate.is_production() && !is_monitor {
            let visitor = visitor(parts)?;
            let ask = visitor.caller().ask(Right::Operate);
            control.gate.identify(&ask).await?;
        }
        Ok(Operator)
    }
}

fn standing(principal: Principal) -> Result<Standing, Refusal> {
    match principal {
        Principal::Account(standing) => Ok(standing),
        // The gate lets nobody else do these.
        _ => Err(Refusal::new(Kind::Forbidden, "This route is for users.")),
    }
}

fn accounts(control: &Control) -> Result<Arc<Accounts>, Refusal> {
    control.gate.accounts().cloned().ok_or_else(|| {
        Refusal::new(
            Kind::AccountsOff,
            "This relay has no accounts. The operator turns them on with SECRET_KEY.",
        )
    })
}

/// Put there by the edge.
fn visitor(parts: &Parts) -> Result<Visitor, Refusal> {
    let visitor = parts.extensions.get::<Visitor>().cloned();
    visitor.ok_or_else(Refusal::panicked)
}
