//! `/openapi.json`, from the code, and `/docs`, a page of the relay's own that shows it. The page
//! loads nothing from elsewhere.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header;
use serde_json::json;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, ResponseBuilder};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;

use super::ROUTES;

/// What the page may do: show what the relay itself serves.
const PAGE_POLICY: &str = "default-src 'none';script-src 'self';style-src 'self';connect-src 'self';img-src 'self';\
    base-uri 'none';form-action 'none';frame-ancestors 'none'";
const PAGE: &str = include_str!("docs/index.html");
const SCRIPT: &str = include_str!("docs/docs.js");
const STYLE: &str = include_str!("docs/docs.css");
const ICON: &str = include_str!("docs/icon.svg");

/// What the description says besides the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "openai-relay",
        description = "The relay's own routes. Everything under `/v1/` is OpenAI's API, relayed as it is: its description is OpenAI's."
    ),
    tags(
        (name = "auth", description = "Accounts: registering, logging in and out. Where SECRET_KEY is not set these answer 404."),
        (name = "chat", description = "Chat for users"),
        (name = "keys", description = "Relay keys and sealed tokens"),
        (name = "admin", description = "For admins"),
        (name = "health", description = "For monitoring"),
        (name = "relay", description = "What is relayed besides `/v1/`"),
    ),
    modifiers(&Bearer, &Relayed),
)]
pub(super) struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("An access token from `/api/v1/auth/login`."))
            .build();
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// What is relayed beside `/v1/`: its route is the edge's, so it is described here.
struct Relayed;

impl Modify for Relayed {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let answer = |words: &str| json!({ "description": words, "content": { "application/json": { "schema": { "type": "object" } } } });
        let offer = json!({ "post": {
            "tags": ["relay"],
            "operationId": "offer",
            "summary": "Exchanges a WebRTC offer for a Realtime session, by the server's key or by `token`.",
            "security": [{}, { "bearer": [] }],
            "requestBody": { "required": true, "content": { "application/json": { "schema": {
                "type": "object",
                "title": "Offer",
                "required": ["sdp"],
                "properties": {
                    "sdp": { "type": "string", "description": "The offer, as the browser made it" },
                    "model": { "type": ["string", "null"], "description": "`REALTIME_MODEL`, unless said otherwise" },
                    "token": { "type": ["string", "null"], "description": "An ephemeral OpenAI credential, or one of the relay's" },
                    "session": { "type": ["object", "null"], "description": "Settings of the session, as OpenAI takes them" },
                },
            } } } },
            "responses": {
                "200": answer("`{sdp, relayed, duration, callId}`"),
                "400": answer("No usable offer, or OpenAI's error, with `message` added"),
                "401": answer("No good credential"),
                "403": answer("A page that is not listed, or a credential that may not"),
                "default": answer("OpenAI's error, with `message` added"),
            },
        } });
        let offer = serde_json::from_value(offer).expect("an operation");
        description.paths.paths.insert("/offer".to_owned(), offer);
    }
}

/// Says of all routes on which limits hold that they may answer 429.
fn describe_limits(description: &mut utoipa::openapi::OpenApi) {
    let limited = |path: &str| path.starts_with("/api/v1/") && !path.starts_with("/api/v1/health");
    for (_, item) in description
        .paths
        .paths
        .iter_mut()
        .filter(|(path, _)| limited(path))
    {
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            let answers = &mut operation.responses.responses;
            answers.entry("429".to_owned()).or_insert_with(|| {
                let error = Ref::from_schema_name("ErrorView");
                let content = ContentBuilder::new().schema(Some(error)).build();
                let answer = ResponseBuilder::new()
                    .description("A limit of the relay's (RATE_LIMITS)")
                    .content("application/json", content);
                answer.build().into()
            });
        }
    }
}

/// `GET /openapi.json`.
pub(super) async fn description() -> Response {
    // Made when it is first asked for: it takes more memory than the rest of a relay that idles.
    static WRITTEN: LazyLock<Bytes> = LazyLock::new(write);
    let kind = (header::CONTENT_TYPE, "application/json");
    ([kind], WRITTEN.clone()).into_response()
}

fn write() -> Bytes {
    let router = OpenApiRouter::with_openapi(Description::openapi());
    let router = ROUTES
        .iter()
        .fold(router, |router, route| router.routes(route()));
    let mut description = router.into_openapi();
    description.info.version = env!("CARGO_PKG_VERSION").to_owned();
    describe_limits(&mut description);
    let written = serde_json::to_vec(&description);
    written.expect("a description is JSON").into()
}

/// `GET /docs`.
pub(super) async fn page() -> Response {
    let kind = (header::CONTENT_TYPE, "text/html; charset=utf-8");
    let policy = (header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
    ([kind, policy], PAGE).into_response()
}

/// `GET /docs/docs.js`.
pub(super) async fn script() -> Response {
    let kind = (header::CONTENT_TYPE, "text/javascript; charset=utf-8");
    ([kind], SCRIPT).into_response()
}

/// `GET /docs/docs.css`.
pub(super) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

/// `GET /docs/icon.svg`.
pub(super) async fn icon() -> Response {
    ([(header::CONTENT_TYPE, "image/svg+xml")], ICON).into_response()
}
