//! `/metrics`: the counters in the OpenMetrics format, from one table that the documents are made of.

use std::fmt;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::Control;
use super::answer::{ErrorView, No};
use super::measure::{counter, durations, gauge, maybe, wide};
use super::system::{Process, process};
use super::visit::Operator;
use crate::admission::LimiterState;
use crate::error::Refusal;
use crate::telemetry::{Lane, LaneCounts, Outcome, Snapshot};

/// OpenMetrics 1.0, section 4.2.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const DIRECTIONS: [&str; 2] = ["up", "down"];

/// Everything that is told, at one moment.
#[derive(Debug)]
struct Now {
    counted: Snapshot,
    sessions: usize,
    sessions_max: usize,
    sessions_total: u64,
    is_draining: bool,
    pressure: u8,
    /// Whether the database answers, where there is one.
    database: Option<bool>,
    limits: LimiterState,
    process: Process,
}

/// One metric: how it is called, what it says, and how it is told.
struct Row {
    /// Without the endings that its type and unit add.
    name: &'static str,
    kind: MetricType,
    /// `bytes`, `seconds`, or none.
    unit: &'static str,
    labels: &'static str,
    help: &'static str,
    tell: fn(&Now, MetricEncoder<'_>) -> fmt::Result,
}

/// A number without unit and labels.
const PLAIN: Row = Row {
    name: "",
    kind: MetricType::Gauge,
    unit: "",
    labels: "",
    help: "",
    tell: |_, _| Ok(()),
};

const ROWS: &[Row] = &[
    Row {
        name: "openai_relay_build",
        kind: MetricType::Info,
        labels: "version",
        help: "The version that runs",
        tell: |_, mut encoder| encoder.encode_info(&[("version", env!("CARGO_PKG_VERSION"))]),
        ..PLAIN
    },
    Row {
        name: "openai_relay_exchanges_started",
        kind: MetricType::Counter,
        labels: "route",
        help: "Exchanges that were admitted: requests and sessions",
        tell: |now, encoder| each_lane(now, encoder, |one, metric| counter(metric, one.started)),
        ..PLAIN
    },
    Row {
        name: "openai_relay_exchanges",
        kind: MetricType::Counter,
        labels: "route, outcome",
        help: "Admitted exchanges that ended, by how they ended",
        tell: tell_endings,
        ..PLAIN
    },
    Row {
        name: "openai_relay_exchanges_running",
        labels: "route",
        help: "Admitted exchanges that run",
        tell: |now, encoder| each_lane(now, encoder, |one, metric| gauge(metric, one.running())),
        ..PLAIN
    },
    Row {
        name: "openai_relay_relayed",
        kind: MetricType::Counter,
        unit: "bytes",
        labels: "route, direction",
        help: "Bytes of bodies and of messages, up to the upstream and down to the client",
        tell: |now, mut encoder| {
            for (lane, counts) in lanes(now) {
                for (direction, bytes) in DIRECTIONS.into_iter().zip(counts.bytes) {
                    let labels = [("route", lane.label()), ("direction", direction)];
                    counter(encoder.encode_family(&labels)?, bytes)?;
                }
            }
            Ok(())
        },
    },
    Row {
        name: "openai_relay_first_byte",
        kind: MetricType::Histogram,
        unit: "seconds",
        labels: "route",
        help: "From a request's head to the head of its answer, of exchanges that ended",
        tell: |now, encoder| {
            each_lane(now, encoder, |one, metric| {
                durations(metric, &one.first_byte)
            })
        },
    },
    Row {
        name: "openai_relay_refusals",
        kind: MetricType::Counter,
        labels: "reason",
        help: "Answers that the relay gave itself, by error code: to requests that it turned away, and in the upstream's place",
        tell: |now, encoder| each_reason("reason", now.counted.refusals(), encoder),
        ..PLAIN
    },
    Row {
        name: "openai_relay_sessions",
        help: "Sessions that run",
        tell: |now, encoder| gauge(encoder, wide(now.sessions)),
        ..PLAIN
    },
    Row {
        name: "openai_relay_sessions_max",
        help: "Sessions that may run (MAX_CONNECTIONS)",
        tell: |now, encoder| gauge(encoder, wide(now.sessions_max)),
        ..PLAIN
    },
    Row {
        name: "openai_relay_sessions_opened",
        kind: MetricType::Counter,
        help: "Sessions since start",
        tell: |now, encoder| counter(encoder, now.sessions_total),
        ..PLAIN
    },
    Row {
        name: "openai_relay_messages",
        kind: MetricType::Counter,
        labels: "direction",
        help: "Messages that went over sessions, up to the upstream and down to the client",
        tell: |now, mut encoder| {
            for (direction, messages) in DIRECTIONS.into_iter().zip(now.counted.messages) {
                let labels = [("direction", direction)];
                counter(encoder.encode_family(&labels)?, messages)?;
            }
            Ok(())
        },
        ..PLAIN
    },
    Row {
        name: "openai_relay_upstream_connect",
        kind: MetricType::Histogram,
        unit: "seconds",
        help: "How long new connections to the upstream took: name, TCP, proxy and TLS",
        tell: |now, encoder| durations(encoder, &now.counted.dials),
        ..PLAIN
    },
    Row {
        name: "openai_relay_upstream_connect_failures",
        kind: MetricType::Counter,
        labels: "fault",
        help: "Connections to the upstream that could not be made",
        tell: |now, encoder| each_reason("fault", now.counted.failed_dials(), encoder),
        ..PLAIN
    },
    Row {
        name: "openai_relay_upstream_faults",
        kind: MetricType::Counter,
        labels: "fault",
        help: "Exchanges that the upstream broke, before or in the middle of its answer",
        tell: |now, encoder| each_reason("fault", now.counted.faults(), encoder),
        ..PLAIN
    },
    Row {
        name: "openai_relay_draining",
        help: "1 from the signal to stop on",
        tell: |now, encoder| gauge(encoder, u64::from(now.is_draining)),
        ..PLAIN
    },
    Row {
        name: "openai_relay_memory_pressure",
        help: "How close to MEMORY_BUDGET: 0 calm, 1 connections are not kept, 2 new work is refused, 3 no connection is accepted",
        tell: |now, encoder| gauge(encoder, u64::from(now.pressure)),
        ..PLAIN
    },
    Row {
        name: "openai_relay_database_up",
        help: "1 while the database of accounts and relay keys answers; absent without one",
        tell: |now, encoder| maybe(encoder, now.database.map(u64::from)),
        ..PLAIN
    },
    Row {
        name: "openai_relay_limits_refusals",
        kind: MetricType::Counter,
        labels: "limit",
        help: "Requests that a limit refused, by the limit as it is written",
        tell: |now, mut encoder| {
            for (limit, number) in &now.limits.refusals {
                counter(encoder.encode_family(&[("limit", limit)])?, *number)?;
            }
            Ok(())
        },
        ..PLAIN
    },
    Row {
        name: "openai_relay_limits_buckets",
        help: "Users and addresses that owe a limit something",
        tell: |now, encoder| gauge(encoder, wide(now.limits.buckets)),
        ..PLAIN
    },
    Row {
        name: "openai_relay_limits_redis_up",
        help: "1 while limits are shared in Redis; absent without Redis",
        tell: |now, encoder| {
            maybe(
                encoder,
                now.limits
                    .shared
                    .as_ref()
                    .map(|all| u64::from(all.is_reached)),
            )
        },
        ..PLAIN
    },
    Row {
        name: "openai_relay_limits_alone",
        kind: MetricType::Counter,
        help: "Decisions on limits that were taken without Redis; absent without Redis",
        tell: |now, encoder| match &now.limits.shared {
            Some(shared) => counter(encoder, shared.alone),
            None => Ok(()),
        },
        ..PLAIN
    },
    Row {
        name: "openai_relay_limits_redis_faults",
        kind: MetricType::Counter,
        help: "Requests to Redis that failed; absent without Redis",
        tell: |now, encoder| match &now.limits.shared {
            Some(shared) => counter(encoder, shared.faults),
            None => Ok(()),
        },
        ..PLAIN
    },
    Row {
        name: "process_cpu",
        kind: MetricType::Counter,
        unit: "seconds",
        help: "Processor time of the process",
        tell: |now, mut encoder| match now.process.cpu_s {
            Some(seconds) => encoder.encode_counter::<[(&str, &str); 0], _, u64>(&seconds, None),
            None => Ok(()),
        },
        ..PLAIN
    },
    Row {
        name: "process_resident_memory",
        unit: "bytes",
        help: "Resident memory of the process",
        tell: |now, encoder| maybe(encoder, now.process.resident_bytes),
        ..PLAIN
    },
    Row {
        name: "process_open_fds",
        help: "Open descriptors of the process",
        tell: |now, encoder| maybe(encoder, now.process.open_files),
        ..PLAIN
    },
    Row {
        name: "process_max_fds",
        help: "The most descriptors that the process may open",
        tell: |now, encoder| maybe(encoder, now.process.max_files),
        ..PLAIN
    },
    Row {
        name: "process_start_time",
        unit: "seconds",
        help: "When the process started, since the epoch",
        tell: |now, encoder| {
            let start_ms = u64::try_from(now.counted.start_time_ms).unwrap_or_default();
            gauge(encoder, start_ms / 1000)
        },
        ..PLAIN
    },
];

/// How the relay is doing, in the OpenMetrics format. In production for RELAY_TOKEN and admins, and
/// at METRICS_ADDRESS for whoever reaches that.
#[utoipa::path(get, path = "/metrics", tag = "health", security((), ("bearer" = [])), responses(
    (status = 200, description = "OpenMetrics 1.0", content_type = "application/openmetrics-text", body = String),
    (status = 401, description = "In production: no credential", body = ErrorView),
    (status = 403, description = "In production: not RELAY_TOKEN, and not an admin", body = ErrorView),
))]
pub(super) async fn metrics(State(control): State<Control>, _: Operator) -> Result<Response, No> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Now::of(&control)));
    let mut page = String::with_capacity(64 * 1024);
    text::encode(&mut page, &registry).map_err(|_| Refusal::panicked())?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], page).into_response())
}

/// The table of all metrics, for the documents.
pub fn metrics_markdown() -> String {
    let mut page =
        String::from("| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n");
    for row in ROWS {
        let unit = row.unit().map(|unit| format!("_{}", unit.as_str()));
        let ending = match row.kind {
            MetricType::Counter => "_total",
            MetricType::Info => "_info",
            _ => "",
        };
        let labels: Vec<String> = row
            .labels
            .split(", ")
            .filter(|label| !label.is_empty())
            .map(|label| format!("`{label}`"))
            .collect();
        page += &format!(
            "| `{}{}{ending}` | {} | {} | {} |\n",
            row.name,
            unit.unwrap_or_default(),
            row.kind.as_str(),
            labels.join(", "),
            row.help
        );
    }
    page
}

impl Row {
    fn unit(&self) -> Option<Unit> {
        match self.unit {
            "bytes" => Some(Unit::Bytes),
            "seconds" => Some(Unit::Seconds),
            _ => None,
        }
    }
}

impl Now {
    fn of(control: &Control) -> Now {
        Now {
            counted: control.counters.snapshot(),
            sessions: control.sessions.active(),
            sessions_max: control.sessions.max(),
            sessions_total: control.sessions.total(),
            is_draining: control.drain.is_announced(),
            pressure: control.gate.pressure() as u8,
            database: control.gate.keys().is_stored(),
            limits: control.gate.limiter().state(),
            process: process(),
        }
    }
}

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for row in ROWS {
            let unit = row.unit();
            let metric = encoder.encode_descriptor(row.name, row.help, unit.as_ref(), row.kind)?;
            (row.tell)(self, metric)?;
        }
        Ok(())
    }
}

fn lanes(now: &Now) -> impl Iterator<Item = (Lane, &LaneCounts)> {
    Lane::ALL.into_iter().zip(&now.counted.lanes)
}

fn each_lane(
    now: &Now,
    mut encoder: MetricEncoder<'_>,
    tell: fn(&LaneCounts, MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    for (lane, counts) in lanes(now) {
        tell(counts, encoder.encode_family(&[("route", lane.label())])?)?;
    }
    Ok(())
}

fn tell_endings(now: &Now, mut encoder: MetricEncoder<'_>) -> fmt::Result {
    for (lane, counts) in lanes(now) {
        for (outcome, number) in Outcome::ALL.into_iter().zip(counts.ended) {
            let labels = [("route", lane.label()), ("outcome", outcome.label())];
            counter(encoder.encode_family(&labels)?, number)?;
        }
    }
    Ok(())
}

fn each_reason(
    label: &str,
    counts: impl Iterator<Item = (crate::error::Kind, u64)>,
    mut encoder: MetricEncoder<'_>,
) -> fmt::Result {
    for (kind, number) in counts {
        counter(encoder.encode_family(&[(label, kind.code())])?, number)?;
    }
    Ok(())
}
