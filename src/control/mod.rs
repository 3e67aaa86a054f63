//! Everything that is not relayed: the relay's own routes, on an axum router.

mod operations;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::get;

use crate::admission::{Drain, Sessions};
use crate::error::{Door, Kind, Refusal};
use crate::telemetry::Counters;

/// What the routes tell of.
#[derive(Clone, Debug)]
pub struct Control {
    drain: Arc<Drain>,
    sessions: Arc<Sessions>,
    counters: Arc<Counters>,
}

impl Control {
    /// Routes that tell of this process.
    pub fn new(drain: Arc<Drain>, sessions: Arc<Sessions>, counters: Arc<Counters>) -> Control {
        Control {
            drain,
            sessions,
            counters,
        }
    }

    /// The router of all of them.
    pub fn router(self) -> Router {
        Router::new()
            .route("/", get(operations::about))
            .route("/health", get(operations::health))
            .route("/ready", get(operations::ready))
            .route("/stats", get(operations::stats))
            .method_not_allowed_fallback(wrong_method)
            .fallback(not_found)
            .with_state(self)
    }
}

async fn not_found(request: Request) -> Response {
    refuse(
        &request,
        Refusal::new(
            Kind::NotFound,
            "There is no such route here. OpenAI's API is under /v1/; GET / lists the relay's own routes.",
        ),
    )
}

async fn wrong_method(request: Request) -> Response {
    refuse(
        &request,
        Refusal::new(Kind::MethodNotAllowed, "Use GET or HEAD on this route.").allow("GET, HEAD"),
    )
}

fn refuse(request: &Request, refusal: Refusal) -> Response {
    let door = Door::of(request.uri().path());
    let mut response = refusal.clone().into_response(door).map(Body::from);
    // For the edge, which writes the log line.
    response.extensions_mut().insert(refusal);
    response
}
