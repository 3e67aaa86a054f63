//! Permit: the proof of admission. It travels with its exchange and settles once, on drop.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{Method, StatusCode};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::principal::Principal;
use crate::error::Refusal;
use crate::telemetry::{Counters, Exchange, log_exchange};

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both bodies ended as announced.
    Completed,
    /// The client left first.
    ClientGone,
    /// The upstream could not be reached, broke off, or stayed silent too long.
    UpstreamFailed,
    /// The client took no byte more of its answer for too long.
    Stalled,
    /// The relay itself said no after admission.
    Refused,
    /// The relay made a mistake.
    Panicked,
}

impl Outcome {
    /// The label in logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::ClientGone => "client_gone",
            Outcome::UpstreamFailed => "upstream_failed",
            Outcome::Stalled => "stalled",
            Outcome::Refused => "refused",
            Outcome::Panicked => "panicked",
        }
    }
}

/// What the gate writes down about a request before it is admitted.
#[derive(Debug)]
pub struct Request {
    /// The method as sent.
    pub method: Method,
    /// The path without its query, which may carry anything.
    pub path: String,
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
            path: "-".to_owned(),
            client,
            start,
        }
    }
}

/// The right to one exchange. Made by the gate alone, moved into whoever carries the exchange;
/// its drop gives back what it holds and writes the exchange's one log line.
#[must_use]
#[derive(Debug)]
pub struct Permit {
    principal: Principal,
    request: Request,
    counters: Arc<Counters>,
    outcome: Outcome,
    status: Option<StatusCode>,
    code: Option<&'static str>,
    request_id: Option<String>,
    first_byte: Option<Instant>,
    bytes_up: u64,
    bytes_down: u64,
    _running: TaskTrackerToken,
}

impl Permit {
    pub(super) fn new(
        principal: Principal,
        request: Request,
        counters: Arc<Counters>,
        running: TaskTrackerToken,
    ) -> Permit {
        counters.started();
        Permit {
            principal,
            request,
            counters,
            // Whatever drops the exchange without a word was the client leaving.
            outcome: Outcome::ClientGone,
            status: None,
            code: None,
            request_id: None,
            first_byte: None,
            bytes_up: 0,
            bytes_down: 0,
            _running: running,
        }
    }

    /// Who was admitted.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// When the request's head had arrived.
    pub fn start(&self) -> Instant {
        self.request.start
    }

    /// Notes the head of the answer.
    pub fn answered(&mut self, status: StatusCode, request_id: Option<String>) {
        self.status = Some(status);
        self.request_id = request_id;
        self.first_byte = Some(Instant::now());
    }

    /// Notes how the exchange ended.
    pub fn end(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// Notes that the relay itself answers, and why.
    pub fn refused(&mut self, outcome: Outcome, refusal: &Refusal) {
        self.answered(refusal.status(), Some(refusal.request_id().to_owned()));
        self.outcome = outcome;
        self.code = Some(refusal.kind().code());
    }

    /// Notes the body bytes that went each way.
    pub fn count(&mut self, bytes_up: u64, bytes_down: u64) {
        self.bytes_up = bytes_up;
        self.bytes_down = bytes_down;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.outcome = Outcome::Panicked;
        }
        self.counters.ended(self.outcome.label());
        let since_start = |at: Instant| at.duration_since(self.request.start);
        log_exchange(&Exchange {
            subject: self.principal.subject(),
            client: self.request.client,
            method: self.request.method.as_str(),
            path: &self.request.path,
            status: self.status.map(|status| status.as_u16()),
            outcome: self.outcome.label(),
            code: self.code,
            request_id: self.request_id.as_deref(),
            bytes_up: self.bytes_up,
            bytes_down: self.bytes_down,
            first_byte: self.first_byte.map(since_start),
            total: self.request.start.elapsed(),
        });
    }
}

/// Writes the line of a request that was turned away at the gate.
pub(super) fn log_refusal(request: &Request, refusal: &Refusal) {
    log_exchange(&Exchange {
        subject: "-",
        client: request.client,
        method: request.method.as_str(),
        path: &request.path,
        status: Some(refusal.status().as_u16()),
        outcome: Outcome::Refused.label(),
        code: Some(refusal.kind().code()),
        request_id: Some(refusal.request_id()),
        bytes_up: 0,
        bytes_down: 0,
        first_byte: None,
        total: request.start.elapsed(),
    });
}
