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
}

impl Stranger {
    /// Charges what is asked for.
    pub(super) async fn charge(&self) -> Result<(), No> {
        self.gate.charge_stranger(self.client).await?;
        Ok(())
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
        })
    }
}

/// A user who is logged in.
pub(super) struct SignedIn(Standing);

impl SignedIn {
    pub(super) fn account(&self) -> &Account {
        self.0.account()
    }
}

impl FromRequestParts<Control> for SignedIn {
    type Rejection = No;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, No> {
        Ok(SignedIn(standing(parts, control, Right::User).await?))
    }
}

/// Somebody who may be logged in: refreshing and logging out also work by a refresh token.
pub(super) struct MaybeSignedIn {
    pub(super) accounts: Arc<Accounts>,
    pub(super) client: IpAddr,
    pub(super) signed_in: Result<SignedIn, No>,
    gate: Arc<Gate>,
}

impl MaybeSignedIn {
    /// Charges a refresh token that is tried.
    pub(super) async fn charge(&self) -> Result<Taken, No> {
        Ok(self.gate.charge_stranger(self.client).await?)
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
        let signed_in = SignedIn::from_request_parts(parts, control).await;
        Ok(MaybeSignedIn {
            accounts,
            client: caller.client,
            signed_in,
            gate: Arc::clone(&control.gate),
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
        Ok(Admin(standing(parts, control, Right::Admin).await?))
    }
}

/// Somebody who may make sealed tokens.
pub(super) struct Sealer(pub(super) Principal);

impl FromRequestParts<Control> for Sealer {
    type Rejection = No;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, No> {
        let visitor = visitor(parts)?;
        let ask = visitor.caller().ask(Right::Seal);
        Ok(Sealer(control.gate.welcome(&ask).await?))
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

async fn standing(parts: &mut Parts, control: &Control, right: Right) -> Result<Standing, Refusal> {
    accounts(control)?;
    let visitor = visitor(parts)?;
    match control.gate.welcome(&visitor.caller().ask(right)).await? {
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
