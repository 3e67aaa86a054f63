//! Exchange: a Permit together with what was counted, so that both settle wherever it ends.

use std::sync::Arc;

use ::http::{HeaderName, HeaderValue, StatusCode};
use uuid::Uuid;

use crate::admission::{Calls, Departure, Noter, Permit, Principal, Revocation};
use crate::error::{Kind, Refusal};
use crate::fields::{self, Fields};
use crate::telemetry::{Outcome, Talk, Traffic};
use crate::upstream::{Credential, Fault, Sent};
use crate::wire::BodyError;

/// The id that OpenAI gives an exchange; the relay fills in where the upstream sent none.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// One admitted exchange on its way.
pub(super) struct Exchange {
    permit: Box<Permit>,
    /// There once a body goes up: sockets idle without it.
    sent: Option<Sent>,
}

impl Exchange {
    pub(super) fn new(permit: Box<Permit>) -> Exchange {
        Exchange { permit, sent: None }
    }

    pub(super) fn sent(&mut self) -> Sent {
        self.sent.get_or_insert_default().clone()
    }

    pub(super) fn credential(&self) -> Credential<'_> {
        match self.permit.principal().own_credential() {
            Some(secret) => Credential::Own(secret),
            None => Credential::Server,
        }
    }

    pub(super) fn principal(&self) -> &Principal {
        self.permit.principal()
    }

    pub(super) fn is_ephemeral(&self) -> bool {
        self.principal().is_ephemeral()
    }

    pub(super) fn may_name_organization(&self) -> bool {
        self.permit.principal().may_name_organization()
    }

    /// For a call whose id is heard later; `None` for a caller who has no name to own it by.
    pub(super) fn noter(&self, calls: &Arc<Calls>) -> Option<Noter> {
        self.permit.noter(calls)
    }

    /// Notes the answer's head and makes sure that it carries a request id, and what is left of a
    /// limit of the relay's.
    pub(super) fn answered(&mut self, status: StatusCode, fields: &mut Fields) {
        if let Some(allowance) = self.permit.allowance() {
            allowance.write(fields);
        }
        match fields.get(&X_REQUEST_ID) {
            Some(id) => self.permit.answered(status, fields::text(id)),
            None => {
                let made = format!("req_{}", Uuid::new_v4().simple());
                if let Ok(value) = HeaderValue::from_str(&made) {
                    fields.append(&X_REQUEST_ID, &value);
                }
                self.permit.answered(status, Some(&made));
            }
        }
        if status == StatusCode::UNAUTHORIZED && matches!(self.credential(), Credential::Server) {
            let cause = "the upstream refuses the server's key: check OPENAI_API_KEY";
            self.permit.blame(cause.to_owned());
        }
    }

    pub(super) fn sent_down(&mut self, bytes: usize) {
        self.permit.sent_down(bytes);
    }

    pub(super) fn completed(&mut self) {
        self.permit.end(Outcome::Completed);
    }

    /// The upstream broke off in the middle of an answer.
    pub(super) fn broke(&mut self, fault: &Fault) {
        self.note_fault(fault, Refusal::from(fault).kind());
        self.permit.end(outcome_of(fault));
        self.permit.blame(fault.to_string());
    }

    /// There will be no answer from the upstream: what the client hears instead.
    pub(super) fn faulted(&mut self, fault: &Fault) -> Refusal {
        let refusal = Refusal::from(fault);
        self.note_fault(fault, refusal.kind());
        self.permit.refused(outcome_of(fault), &refusal);
        self.permit.blame(fault.to_string());
        refusal
    }

    fn note_fault(&mut self, fault: &Fault, kind: Kind) {
        if fault.is_upstreams() {
            self.permit.broken_by_upstream(kind);
        }
    }

    /// The client left before all of its answer was written.
    pub(super) fn gone(&mut self) {
        self.permit.end(Outcome::ClientGone);
    }

    /// The client took no more of its answer for too long.
    pub(super) fn stalled(&mut self) {
        self.permit.end(Outcome::Stalled);
    }

    /// Tells when the caller's credential is withdrawn.
    pub(super) fn revocation(&self) -> Revocation {
        self.permit.revocation()
    }

    /// It was: what the client hears.
    pub(super) fn revoked(&mut self) -> Refusal {
        let refusal = withdrawn();
        self.permit.refused(Outcome::Revoked, &refusal);
        refusal
    }

    /// The same behind a head that the client has.
    pub(super) fn revoked_midway(&mut self) -> Refusal {
        let refusal = withdrawn();
        self.permit.cut_short(Outcome::Revoked, &refusal);
        refusal
    }

    /// Tells when a session has to leave.
    pub(super) fn departure(&self) -> Departure {
        self.permit.departure()
    }

    /// So much more went over a session.
    pub(super) fn relayed(&self, traffic: &Traffic) {
        self.permit.relayed(traffic);
    }

    /// A session has ended.
    pub(super) fn talked(&mut self, outcome: Outcome, cause: Option<String>, talk: Talk) {
        self.permit.end(outcome);
        if let Some(cause) = cause {
            self.permit.blame(cause);
        }
        self.permit.talked(talk);
    }

    /// The relay made a mistake.
    pub(super) fn panicked(&mut self) {
        self.permit.end(Outcome::Panicked);
    }

    /// The relay itself says no after admission.
    pub(super) fn refused(&mut self, refusal: Refusal) -> Refusal {
        self.permit.refused(Outcome::Refused, &refusal);
        refusal
    }
}

fn withdrawn() -> Refusal {
    Refusal::new(
        Kind::Unauthorized,
        "The credential of this request was withdrawn while it ran. Get a new one: log in again, or ask where it came from.",
    )
}

fn outcome_of(fault: &Fault) -> Outcome {
    match fault {
        Fault::Client(BodyError::Gone) => Outcome::ClientGone,
        Fault::Client(_) => Outcome::Refused,
        _ => Outcome::UpstreamFailed,
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(sent) = &self.sent {
            self.permit.sent_up(sent.bytes());
        }
    }
}
