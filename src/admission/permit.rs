//! Permit: the proof of admission. It travels with its exchange and settles once, on drop.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::calls::{Calls, Noter};
use super::drain::{Departure, Drain};
use super::limit::Kept;
use super::principal::Principal;
use super::revocation::Revocation;
use super::sessions::SessionSlot;
use crate::error::{Kind, Refusal};
use crate::fields::Allowance;
use crate::telemetry::{Counters, Ended, Finished, Lane, Outcome, Talk, Traffic, log_finished};

/// What the gate writes down about a request before it is admitted.
#[derive(Debug)]
pub struct Request {
    /// The method as sent.
    pub method: Method,
    /// The path without its query, which may carry anything.
    pub path: Box<str>,
    /// The client's address, seen through trusted proxies.
    pub client: IpAddr,
    /// When the request's head had arrived.
    pub start: Instant,
}

impl Request {
    /// What is known of a request whose head could not be read.
    pub fn unreadable(client: IpAddr, start: Instant) -> Request {
        Request {
            method: Method::from_bytes(b"-").unwrap_or_default(),
            path: "-".into(),
            client,
            start,
        }
    }
}

/// What an exchange holds until it ends.
#[derive(Debug)]
pub(super) struct Held {
    /// The place of a session.
    pub(super) _slot: Option<SessionSlot>,
    /// Its part of the limits.
    pub(super) kept: Kept,
}

/// What is told at the end of sessions, and of what went wrong.
#[derive(Debug, Default)]
struct Rare {
    cause: Option<String>,
    talk: Option<Talk>,
}

/// The right to one exchange. Made by the gate alone, moved into whoever carries the exchange;
/// its drop gives back what it holds and writes the exchange's one log line.
#[must_use]
#[derive(Debug)]
pub struct Permit {
    principal: Principal,
    request: Request,
    lane: Lane,
    counters: Arc<Counters>,
    drain: Arc<Drain>,
    outcome: Option<Outcome>,
    status: Option<StatusCode>,
    reason: Option<Kind>,
    fault: Option<Kind>,
    request_id: Option<Box<str>>,
    /// Nanoseconds from the start to the answer's head.
    first_byte: Option<NonZeroU64>,
    bytes_up: u64,
    bytes_down: u64,
    rare: Option<Box<Rare>>,
    held: Held,
    _running: TaskTrackerToken,
}

impl Permit {
    /// Boxed, because it is handed on from room to room.
    pub(super) fn new(
        principal: Principal,
        request: Request,
        lane: Lane,
        counters: Arc<Counters>,
        drain: &Arc<Drain>,
        held: Held,
    ) -> Box<Permit> {
        counters.started(lane);
        Box::new(Permit {
            principal,
            request,
            lane,
            counters,
            outcome: None,
            status: None,
            reason: None,
            fault: None,
            request_id: None,
            first_byte: None,
            bytes_up: 0,
            bytes_down: 0,
            rare: None,
            held,
            _running: drain.token(),
            drain: Arc::clone(drain),
        })
    }

    /// Who was admitted.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What is left of the limit that this exchange came closest to, if one was charged for it.
    pub fn allowance(&self) -> Option<Allowance> {
        self.held.kept.allowance
    }

    /// When the request's head had arrived.
    pub fn start(&self) -> Instant {
        self.request.start
    }

    /// Notes the head of the answer.
    pub fn answered(&mut self, status: StatusCode, request_id: Option<&str>) {
        self.status = Some(status);
        self.request_id = request_id.map(Box::from);
        let took = u64::try_from(self.request.start.elapsed().as_nanos());
        self.first_byte = NonZeroU64::new(took.unwrap_or(u64::MAX).max(1));
    }

    /// Notes how the exchange ended.
    pub fn end(&mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
        // The client may have the last byte, and ask again, before this is dropped.
        self.held.kept.release();
    }

    /// Notes for the operator what went wrong; the client does not hear of it.
    pub fn blame(&mut self, cause: String) {
        self.rare.get_or_insert_default().cause = Some(cause);
    }

    /// Notes that the relay itself answers, and why.
    pub fn refused(&mut self, outcome: Outcome, refusal: &Refusal) {
        self.answered(refusal.status(), Some(refusal.request_id()));
        self.outcome = Some(outcome);
        self.reason = Some(refusal.kind());
    }

    /// Notes that the relay cut an answer whose head the client has, and why.
    pub fn cut_short(&mut self, outcome: Outcome, why: &Refusal) {
        self.outcome = Some(outcome);
        self.reason = Some(why.kind());
    }

    /// Notes that it was the upstream that broke the exchange, and how.
    pub fn broken_by_upstream(&mut self, fault: Kind) {
        self.fault = Some(fault);
    }

    /// Tells when the caller's credential is withdrawn.
    pub fn revocation(&self) -> Revocation {
        self.principal.revocation()
    }

    /// For a call of this caller's whose id is heard later; `None` where it has no name to own it by.
    pub fn noter(&self, calls: &Arc<Calls>) -> Option<Noter> {
        let owner = self.principal.name()?;
        Some(Noter::new(calls, owner, &self.drain))
    }

    /// Tells when a session that holds this Permit has to leave.
    pub fn departure(&self) -> Departure {
        self.drain.departure()
    }

    /// So much more went over a session.
    pub fn relayed(&self, traffic: &Traffic) {
        self.counters.relayed(traffic);
    }

    /// Notes what went over a session that has ended.
    pub fn talked(&mut self, talk: Talk) {
        self.rare.get_or_insert_default().talk = Some(talk);
    }

    /// Notes the body bytes that came up.
    pub fn sent_up(&mut self, bytes: u64) {
        self.bytes_up = bytes;
    }

    /// So many more body bytes went down.
    pub fn sent_down(&mut self, bytes: usize) {
        self.bytes_down += u64::try_from(bytes).unwrap_or(u64::MAX);
    }
}

impl Permit {
    /// How an exchange ended that was dropped without a word.
    fn ending_unsaid(&self) -> Outcome {
        if std::thread::panicking() {
            Outcome::Panicked
        } else if self.principal.is_revoked() {
            Outcome::Revoked
        } else if self.drain.is_cutting() {
            Outcome::Drained
        } else {
            Outcome::ClientGone
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let outcome = self.outcome.unwrap_or_else(|| self.ending_unsaid());
        let rare = self.rare.as_deref();
        let talk = rare.and_then(|rare| rare.talk.as_ref());
        let first_byte = self.first_byte.map(|took| Duration::from_nanos(took.get()));
        let upstream_left = outcome == Outcome::UpstreamFailed;
        self.counters.ended(&Ended {
            lane: self.lane,
            outcome,
            reason: self.reason,
            fault: self.fault.or(upstream_left.then_some(Kind::UpstreamBroken)),
            bytes_up: self.bytes_up,
            bytes_down: self.bytes_down,
            first_byte,
        });
        log_finished(&Finished {
            subject: self.principal.subject(),
            client: self.request.client,
            method: self.request.method.as_str(),
            path: &self.request.path,
            status: self.status.map(|status| status.as_u16()),
            outcome,
            code: self.reason.map(Kind::code),
            cause: rare.and_then(|rare| rare.cause.as_deref()),
            request_id: self.request_id.as_deref(),
            bytes_up: talk.map_or(self.bytes_up, |talk| talk.bytes_up),
            bytes_down: talk.map_or(self.bytes_down, |talk| talk.bytes_down),
            talk,
            first_byte,
            total: self.request.start.elapsed(),
        });
    }
}

/// Writes the line of a request that was turned away at the gate.
pub(super) fn log_refusal(request: &Request, subject: &str, refusal: &Refusal) {
    log_finished(&Finished {
        subject,
        client: request.client,
        method: request.method.as_str(),
        path: &request.path,
        status: Some(refusal.status().as_u16()),
        outcome: Outcome::Refused,
        code: Some(refusal.kind().code()),
        cause: refusal.cause(),
        request_id: Some(refusal.request_id()),
        bytes_up: 0,
        bytes_down: 0,
        talk: None,
        first_byte: None,
        total: request.start.elapsed(),
    });
}
