//! Routes for operators and their monitoring: public, cheap, and answered to the end.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Control;
use crate::admission::Reach;
use crate::telemetry::{Outcome, Snapshot};

/// `GET /`: what this is; hosting platforms probe it.
pub(super) async fn about() -> Json<Value> {
    Json(json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "links": {
            "api": "/v1/",
            "offer": "/offer",
            "health": "/health",
            "ready": "/ready",
            "stats": "/stats",
            "metrics": "/metrics",
            "docs": "/docs",
            "description": "/openapi.json",
        },
    }))
}

/// Whether the process lives. 200 for as long as it does.
#[utoipa::path(get, path = "/health", tag = "health", responses(
    (status = 200, description = "It lives", content_type = "application/json", body = Object),
))]
pub(super) async fn health(State(control): State<Control>) -> Json<Value> {
    let now = control.counters.snapshot();
    Json(json!({
        "status": "healthy",
        "version": env!("CARGO_PKG_VERSION"),
        "timestamp": timestamp(),
        "uptime": now.uptime_s,
        "activeConnections": control.sessions.active(),
        "stats": sessions(&control, &now),
    }))
}

/// Whether new work should be sent here.
#[utoipa::path(get, path = "/ready", tag = "health", responses(
    (status = 200, description = "It should", content_type = "application/json", body = Object),
    (status = 503, description = "It should not: the relay shuts down, or has all the sessions that it takes", content_type = "application/json", body = Object),
))]
pub(super) async fn ready(State(control): State<Control>) -> (StatusCode, Json<Value>) {
    if control.drain.is_announced() {
        let body = json!({ "status": "draining", "running": control.drain.running() });
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body));
    }
    if control.sessions.is_full() {
        let body = json!({ "status": "capacity_reached" });
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body));
    }
    (StatusCode::OK, Json(json!({ "status": "ready" })))
}

/// The counters. "Connections" are realtime sessions.
#[utoipa::path(get, path = "/stats", tag = "health", responses(
    (status = 200, description = "The counters", content_type = "application/json", body = Object),
))]
pub(super) async fn stats(State(control): State<Control>) -> Json<Value> {
    let now = control.counters.snapshot();
    let mut body = sessions(&control, &now);
    body["maxConnections"] = json!(control.sessions.max());
    body["uptime"] = json!(now.uptime_s);
    body["startTime"] = json!(now.start_time_ms);
    body["limits"] = limits(&control);
    body["exchanges"] = json!({
        "total": now.exchanges() + now.turned_away,
        "active": now.running(),
        "completed": now.ended(&[Outcome::Completed, Outcome::Idle]),
        "clientGone": now.ended(&[Outcome::ClientGone, Outcome::Stalled]),
        "failed": failed(&now),
        "refused": refused(&now),
        "drained": now.ended(&[Outcome::Drained]),
    });
    Json(body)
}

fn sessions(control: &Control, now: &Snapshot) -> Value {
    json!({
        "totalConnections": control.sessions.total(),
        "activeConnections": control.sessions.active(),
        "messagesRelayed": now.messages.iter().sum::<u64>(),
        "errors": failed(now),
    })
}

fn limits(control: &Control) -> Value {
    let limits = control.gate.limiter().state();
    let counted = match limits.shared {
        None => "in memory",
        Some(shared) => match shared.reach {
            Reach::Whole => "in Redis",
            Reach::Part => "partly in Redis",
            Reach::None => "alone",
        },
    };
    json!({
        "counted": counted,
        "refused": limits.refused,
        "buckets": limits.buckets,
        "replicas": limits.replicas,
        "decidedAlone": limits.shared.map(|shared| shared.alone),
        "redisFaults": limits.shared.map(|shared| shared.faults),
        "redisChanges": limits.shared.map(|shared| shared.changes),
    })
}

/// Exchanges that the upstream broke, or a bug in the relay.
fn failed(now: &Snapshot) -> u64 {
    now.ended(&[Outcome::UpstreamFailed, Outcome::Panicked])
}

/// Requests that the relay said no to, before or after admission.
fn refused(now: &Snapshot) -> u64 {
    now.turned_away + now.ended(&[Outcome::Refused, Outcome::Revoked])
}

pub(super) fn timestamp() -> String {
    let now = OffsetDateTime::now_utc();
    let milliseconds = now.replace_millisecond(now.millisecond()).unwrap_or(now);
    milliseconds.format(&Rfc3339).unwrap_or_default()
}
