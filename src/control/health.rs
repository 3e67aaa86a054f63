//! `/api/v1/health`: whether the relay lives, and in detail what it stands on.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::Control;
use super::answer::{ErrorView, No};
use super::operations::timestamp;
use super::system::{Processor, disk, memory};
use super::visit::Operator;

/// How long a service may take to show that it is there.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long what was found is told again: asking must not become a load.
const REMEMBERED: Duration = Duration::from_secs(2);

type Checking = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Something that the relay stands on.
pub struct Service {
    name: &'static str,
    is_needed: bool,
    check: Option<Box<dyn Fn() -> Checking + Send + Sync>>,
}

impl Service {
    /// One that is there if `check` says so.
    pub fn new<F>(name: &'static str, check: impl Fn() -> F + Send + Sync + 'static) -> Service
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Service {
            name,
            is_needed: true,
            check: Some(Box::new(move || Box::pin(check()))),
        }
    }

    /// The same for one that the relay can go on without.
    pub fn dispensable<F>(
        name: &'static str,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) -> Service
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Service {
            is_needed: false,
            ..Service::new(name, check)
        }
    }

    /// One that this relay does without.
    pub fn off(name: &'static str) -> Service {
        Service {
            name,
            is_needed: false,
            check: None,
        }
    }

    async fn look(&self) -> (&'static str, ServiceHealth) {
        let Some(check) = &self.check else {
            return (self.name, ServiceHealth::off());
        };
        let start = Instant::now();
        let found = tokio::time::timeout(PATIENCE, check()).await;
        let found = found.unwrap_or_else(|_| Err("it does not answer".to_owned()));
        let health = ServiceHealth {
            status: if found.is_ok() {
                "healthy"
            } else {
                "unhealthy"
            },
            latency_ms: Some((start.elapsed().as_secs_f64() * 1e6).round() / 1e3),
            error: found.err(),
            is_needed: self.is_needed,
        };
        (self.name, health)
    }
}

/// How one service is.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct ServiceHealth {
    /// `healthy`, `unhealthy`, or `off` where this relay does without it.
    status: &'static str,
    /// How long it took to find out, in milliseconds.
    latency_ms: Option<f64>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Whether the relay cannot do without.
    #[serde(skip)]
    is_needed: bool,
}

impl ServiceHealth {
    fn off() -> ServiceHealth {
        ServiceHealth {
            status: "off",
            latency_ms: None,
            error: None,
            is_needed: false,
        }
    }
}

/// Services by name.
type Found = Vec<(&'static str, ServiceHealth)>;

/// What the detailed route tells of.
pub(super) struct Inspection {
    services: Vec<Service>,
    /// On the disk that matters: where accounts are kept, else where the relay was started.
    folder: PathBuf,
    processor: Processor,
    latest: Mutex<Option<(Instant, Found)>>,
}

impl Inspection {
    pub(super) fn new(services: Vec<Service>, folder: PathBuf) -> Inspection {
        Inspection {
            services,
            folder,
            processor: Processor::new(),
            latest: Mutex::default(),
        }
    }

    /// Looks at all services at once, unless somebody just did.
    async fn services(&self) -> Found {
        let mut latest = self.latest.lock().await;
        if let Some((at, found)) = latest.as_ref()
            && at.elapsed() < REMEMBERED
        {
            return found.clone();
        }
        let mut found = Vec::new();
        let mut looks: Vec<_> = self
            .services
            .iter()
            .map(|one| Box::pin(one.look()))
            .collect();
        std::future::poll_fn(|cx| {
            looks.retain_mut(|look| match look.as_mut().poll(cx) {
                std::task::Poll::Ready(one) => {
                    found.push(one);
                    false
                }
                std::task::Poll::Pending => true,
            });
            match looks.is_empty() {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
            }
        })
        .await;
        *latest = Some((Instant::now(), found.clone()));
        found
    }
}

/// Whether the process lives.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// Always `healthy`: a process that is not does not answer.
    status: &'static str,
    version: &'static str,
    /// RFC 3339.
    timestamp: String,
}

/// Version and time, while the process lives.
#[utoipa::path(get, path = "/api/v1/health", tag = "health", responses(
    (status = 200, description = "It lives", body = Health),
))]
pub(super) async fn health() -> Json<Health> {
    Json(Health {
        status: "healthy",
        version: env!("CARGO_PKG_VERSION"),
        timestamp: timestamp(),
    })
}

/// The machine, and the services that the relay stands on. In production for RELAY_TOKEN and admins.
#[utoipa::path(get, path = "/api/v1/health/detailed", tag = "health", security((), ("bearer" = [])), responses(
    (status = 200, description = "All that is needed is there", content_type = "application/json", body = Object),
    (status = 401, description = "In production: no credential", body = ErrorView),
    (status = 403, description = "In production: not RELAY_TOKEN, and not an admin", body = ErrorView),
    (status = 503, description = "The same shape: something that is needed is not there", content_type = "application/json", body = Object),
))]
pub(super) async fn detailed(
    State(control): State<Control>,
    _: Operator,
) -> Result<(StatusCode, Json<Value>), No> {
    let inspection = Arc::clone(&control.inspection);
    let services = inspection.services().await;
    let is_missing = |one: &ServiceHealth| one.is_needed && one.status == "unhealthy";
    let is_healthy = !services.iter().any(|(_, one)| is_missing(one));
    let services: serde_json::Map<String, Value> = services
        .into_iter()
        .map(|(name, health)| (name.to_owned(), json!(health)))
        .collect();
    let (status, code) = match is_healthy {
        true => ("healthy", StatusCode::OK),
        false => ("unhealthy", StatusCode::SERVICE_UNAVAILABLE),
    };
    let body = json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "timestamp": timestamp(),
        "uptime": control.counters.snapshot().uptime_s,
        "system": {
            "cpu": inspection.processor.load(),
            "memory": memory(),
            "disk": disk(&inspection.folder),
        },
        "services": services,
    });
    Ok((code, Json(body)))
}
