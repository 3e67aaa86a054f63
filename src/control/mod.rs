//! Everything that is not relayed: the relay's own routes, on an axum router.

mod answer;
mod auth;
mod chat;
mod docs;
mod health;
mod input;
mod keys;
mod measure;
mod metrics;
mod operations;
mod system;
mod tokens;
mod users;
mod visit;

use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use utoipa_axum::router::UtoipaMethodRouter;
use utoipa_axum::routes;

pub use health::Service;
pub use metrics::metrics_markdown;

use crate::admission::{Drain, Gate, Sessions};
use crate::error::{Door, Kind, Refusal};
use crate::telemetry::Counters;
use health::Inspection;
use visit::Monitored;

/// What the routes tell of, and work with.
#[derive(Clone)]
pub struct Control {
    drain: Arc<Drain>,
    sessions: Arc<Sessions>,
    counters: Arc<Counters>,
    gate: Arc<Gate>,
    inspection: Arc<Inspection>,
}

impl Control {
    /// Routes that tell of this process. `services` is what it stands on, `folder` where on the
    /// disk it keeps things.
    pub fn new(
        drain: Arc<Drain>,
        sessions: Arc<Sessions>,
        counters: Arc<Counters>,
        gate: Arc<Gate>,
        services: Vec<Service>,
        folder: PathBuf,
    ) -> Control {
        Control {
            drain,
            sessions,
            counters,
            gate,
            inspection: Arc::new(Inspection::new(services, folder)),
        }
    }

    /// The router of all of them.
    pub fn router(self) -> Router {
        let mut router = Router::new();
        for route in ROUTES {
            let (_, paths, methods) = route();
            for path in paths.paths.keys() {
                router = router.route(path, methods.clone());
            }
        }
        router
            .route("/", get(operations::about))
            .route("/openapi.json", get(docs::description))
            .route("/docs", get(docs::page))
            .route("/docs/docs.js", get(docs::script))
            .route("/docs/docs.css", get(docs::style))
            .route("/docs/icon.svg", get(docs::icon))
            .method_not_allowed_fallback(wrong_method)
            .fallback(not_found)
            .with_state(self)
    }

    /// The router of the listener for monitoring: what tells how the relay is, to whoever asks.
    pub fn monitoring(self) -> Router {
        Router::new()
            .route("/metrics", get(metrics::metrics))
            .route("/health", get(operations::health))
            .route("/ready", get(operations::ready))
            .route("/stats", get(operations::stats))
            .route("/api/v1/health/detailed", get(health::detailed))
            .layer(Extension(Monitored))
            .with_state(self)
    }
}

/// The routes that the description lists.
const ROUTES: [fn() -> UtoipaMethodRouter<Control>; 25] = [
    || routes!(auth::register),
    || routes!(auth::login),
    || routes!(auth::refresh),
    || routes!(auth::logout),
    || routes!(auth::me, auth::delete_me),
    || routes!(auth::change_password),
    || routes!(chat::completions),
    || routes!(chat::stream),
    || routes!(chat::models),
    || routes!(users::list, users::add),
    || routes!(users::show, users::change, users::delete),
    || routes!(users::reset_password),
    || routes!(keys::list, keys::add),
    || routes!(keys::show, keys::revoke),
    || routes!(keys::rotate),
    || routes!(keys::list_all, keys::add_any),
    || routes!(keys::show_any, keys::revoke_any),
    || routes!(keys::rotate_any),
    || routes!(tokens::make),
    || routes!(health::health),
    || routes!(health::detailed),
    || routes!(operations::health),
    || routes!(operations::ready),
    || routes!(operations::stats),
    || routes!(metrics::metrics),
];

async fn not_found(request: Request) -> Response {
    refuse(
        &request,
        Refusal::new(
            Kind::NotFound,
            "There is no such route here. OpenAI's API is under /v1/; GET / lists the relay's own routes.",
        ),
    )
}

/// The router adds `Allow`.
async fn wrong_method(request: Request) -> Response {
    refuse(
        &request,
        Refusal::new(
            Kind::MethodNotAllowed,
            "This route does not take that method. The header `Allow` lists those that it takes.",
        ),
    )
}

fn refuse(request: &Request, refusal: Refusal) -> Response {
    let door = Door::of(request.uri().path().as_bytes());
    let mut response = refusal.clone().into_response(door).map(Body::from);
    // For the edge, which writes the log line.
    response.extensions_mut().insert(refusal);
    response
}
