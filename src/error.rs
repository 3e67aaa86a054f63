//! Refusal: every "no" that a client can hear, and the one place that words it.
//!
//! A refusal never carries a secret: its message names what was wrong and what to do, never the
//! value that was sent.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fields::Allowance;

/// Tells SDKs whether a retry makes sense (wire.md 1.3: `x-should-retry` overrides their own rule).
const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The id of an exchange, as OpenAI names it.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The closed set of reasons for a refusal; each has one status and one code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request breaks HTTP or a rule of the path jail.
    Malformed,
    /// What could be read in two ways where a rule depends on it.
    Unclear,
    /// CONNECT, TRACE, or a method that the relay's own route does not have.
    MethodNotAllowed,
    /// No such route of the relay's own.
    NotFound,
    /// The request target is longer than 32 KiB.
    UriTooLong,
    /// The head of a request is larger than 64 KiB or 256 fields.
    HeadTooLarge,
    /// The head of a request did not arrive in time.
    HeadTimeout,
    /// An upgrade to something that the relay does not speak.
    UpgradeNotSupported,
    /// The retired Realtime beta, where it is not translated.
    BetaDisabled,
    /// A version of WebSocket other than 13.
    SocketVersion,
    /// As many sessions run as may.
    CapacityReached,
    /// A session in which nobody said anything.
    SessionInactive,
    /// A session that lasted as long as it may.
    SessionOver,
    /// Missing, wrong or expired credential.
    Unauthorized,
    /// A name and a password that do not belong together, or a refresh token that is none.
    BadLogin,
    /// The credential is known, but a rule forbids this.
    Forbidden,
    /// Accounts are not turned on.
    AccountsOff,
    /// Fields of a body, query or path that cannot be used.
    InvalidFields,
    /// Somebody else has this name or address.
    AlreadyTaken,
    /// It would leave things in a state that nobody wants.
    Conflict,
    /// Too many passwords were tried.
    TooManyAttempts,
    /// A limit of the operator's is reached.
    RateLimited,
    /// The database does not answer, or cannot write.
    DatabaseUnavailable,
    /// The page's origin is not on the list.
    OriginNotAllowed,
    /// A body that is larger than its route, or `MAX_BODY_BYTES`, allows.
    BodyTooLarge,
    /// A body that did not arrive in time.
    BodyTimeout,
    /// An `/offer` that is not a usable WebRTC offer.
    InvalidOffer,
    /// The relay is shutting down.
    Draining,
    /// The relay has no room for more.
    Overloaded,
    /// The server has no key to lend.
    ServerKeyMissing,
    /// No connection to the upstream could be made.
    UpstreamUnreachable,
    /// The upstream's name could not be resolved.
    UpstreamDns,
    /// The upstream's certificate or handshake is bad.
    UpstreamTls,
    /// The outbound proxy refused.
    UpstreamProxy,
    /// Connecting took too long.
    UpstreamConnectTimeout,
    /// The upstream stayed silent too long.
    UpstreamTimeout,
    /// The upstream stopped taking the request's body.
    UpstreamWriteTimeout,
    /// The upstream closed early or sent something that is not HTTP.
    UpstreamBroken,
    /// All connections to the upstream are busy.
    UpstreamBusy,
    /// A bug in the relay.
    Panicked,
}

impl Kind {
    /// The HTTP status of this kind.
    pub fn status(self) -> StatusCode {
        match self {
            Kind::Malformed
            | Kind::Unclear
            | Kind::UpgradeNotSupported
            | Kind::BetaDisabled
            | Kind::InvalidOffer
            | Kind::AlreadyTaken => StatusCode::BAD_REQUEST,
            Kind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Kind::SocketVersion => StatusCode::UPGRADE_REQUIRED,
            Kind::NotFound | Kind::AccountsOff => StatusCode::NOT_FOUND,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::InvalidFields => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::TooManyAttempts | Kind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Kind::UriTooLong => StatusCode::URI_TOO_LONG,
            Kind::Unauthorized | Kind::BadLogin => StatusCode::UNAUTHORIZED,
            Kind::Forbidden | Kind::OriginNotAllowed => StatusCode::FORBIDDEN,
            Kind::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Kind::BodyTimeout | Kind::HeadTimeout | Kind::SessionInactive | Kind::SessionOver => {
                StatusCode::REQUEST_TIMEOUT
            }
            Kind::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
            Kind::Draining
            | Kind::Overloaded
            | Kind::CapacityReached
            | Kind::ServerKeyMissing
            | Kind::DatabaseUnavailable
            | Kind::UpstreamBusy => StatusCode::SERVICE_UNAVAILABLE,
            Kind::UpstreamUnreachable
            | Kind::UpstreamDns
            | Kind::UpstreamTls
            | Kind::UpstreamProxy
            | Kind::UpstreamBroken => StatusCode::BAD_GATEWAY,
            Kind::UpstreamConnectTimeout | Kind::UpstreamTimeout | Kind::UpstreamWriteTimeout => {
                StatusCode::GATEWAY_TIMEOUT
            }
        }
    }

    /// The `code` of the error object; also the label in logs and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Kind::Malformed => "malformed_request",
            Kind::Unclear => "unclear_request",
            Kind::MethodNotAllowed => "method_not_allowed",
            Kind::NotFound => "not_found",
            Kind::UriTooLong => "uri_too_long",
            Kind::HeadTooLarge => "head_too_large",
            Kind::HeadTimeout => "head_timeout",
            Kind::UpgradeNotSupported => "upgrade_not_supported",
            // OpenAI's own code (wire.md 5.3).
            Kind::BetaDisabled => "beta_api_shape_disabled",
            Kind::SocketVersion => "websocket_version",
            Kind::CapacityReached => "capacity_reached",
            Kind::SessionInactive => "session_inactive",
            Kind::SessionOver => "session_over",
            // OpenAI's own code (wire.md 2.1), so that the SDKs raise their own exception.
            Kind::Unauthorized => "invalid_api_key",
            Kind::BadLogin => "bad_login",
            Kind::Forbidden => "forbidden",
            Kind::AccountsOff => "accounts_off",
            Kind::InvalidFields => "invalid_fields",
            Kind::AlreadyTaken => "already_taken",
            Kind::Conflict => "conflict",
            Kind::TooManyAttempts => "too_many_attempts",
            // OpenAI's own (wire.md 2.1), as the type is.
            Kind::RateLimited => "rate_limit_exceeded",
            Kind::DatabaseUnavailable => "database_unavailable",
            Kind::OriginNotAllowed => "origin_not_allowed",
            Kind::BodyTooLarge => "body_too_large",
            Kind::BodyTimeout => "body_timeout",
            Kind::InvalidOffer => "invalid_offer",
            Kind::Draining => "relay_draining",
            Kind::Overloaded => "relay_overloaded",
            Kind::ServerKeyMissing => "server_key_missing",
            Kind::UpstreamUnreachable => "upstream_unreachable",
            Kind::UpstreamDns => "upstream_dns",
            Kind::UpstreamTls => "upstream_tls",
            Kind::UpstreamProxy => "upstream_proxy",
            Kind::UpstreamConnectTimeout => "upstream_connect_timeout",
            Kind::UpstreamTimeout => "upstream_timeout",
            Kind::UpstreamWriteTimeout => "upstream_write_timeout",
            Kind::UpstreamBroken => "upstream_broken",
            Kind::UpstreamBusy => "upstream_busy",
            Kind::Panicked => "relay_panicked",
        }
    }

    /// `invalid_request_error` where the client must change something, else `relay_error`; OpenAI's own
    /// (wire.md 2.1) where the client must wait.
    fn error_type(self) -> &'static str {
        if self == Kind::RateLimited {
            "rate_limit_error"
        } else if self.status().is_client_error() {
            "invalid_request_error"
        } else {
            "relay_error"
        }
    }

    /// Whether trying the same again is known to be useless: SDKs retry any 5xx unless told.
    fn is_hopeless(self) -> bool {
        matches!(
            self,
            Kind::ServerKeyMissing | Kind::UpstreamTls | Kind::UpstreamProxy
        )
    }
}

/// A "no" with its reason in words.
#[derive(Clone, Debug)]
pub struct Refusal {
    kind: Kind,
    message: Cow<'static, str>,
    request_id: Box<str>,
    param: Option<&'static str>,
    retry_after_s: Option<u32>,
    cause: Option<Cow<'static, str>>,
    extra: Option<Box<Extra>>,
}

/// What few refusals have.
#[derive(Clone, Debug, Default)]
struct Extra {
    allow: Option<&'static str>,
    allowance: Option<Allowance>,
    problems: Vec<Problem>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the field stands: `body`, `query` or `path`.
    pub place: &'static str,
    /// Its name; empty for the whole.
    pub field: String,
    /// In words, with what to do.
    pub message: Cow<'static, str>,
}

impl Problem {
    /// A problem with a field of the body.
    pub fn of(field: &str, message: impl Into<Cow<'static, str>>) -> Problem {
        Problem {
            place: "body",
            field: field.to_owned(),
            message: message.into(),
        }
    }

    /// As FastAPI words it, whose clients read it.
    fn to_json(&self) -> Value {
        let place = [self.place, self.field.as_str()].into_iter();
        let place: Vec<&str> = place.filter(|part| !part.is_empty()).collect();
        json!({ "loc": place, "msg": self.message, "type": "value_error" })
    }
}

impl Refusal {
    /// A refusal of this kind; `message` says what was wrong and what to do.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal {
            kind,
            message: message.into(),
            request_id: format!("req_{}", Uuid::new_v4().simple()).into(),
            param: None,
            retry_after_s: None,
            cause: None,
            extra: None,
        }
    }

    /// A refusal over fields.
    pub fn over_fields(problems: Vec<Problem>) -> Refusal {
        let message = "Some fields cannot be used as they are.";
        let mut refusal = Refusal::new(Kind::InvalidFields, message);
        refusal.extra().problems = problems;
        refusal
    }

    /// There is no memory for it.
    pub fn overloaded() -> Refusal {
        Refusal::new(
            Kind::Overloaded,
            "This relay is close to its memory budget (MEMORY_BUDGET). Try again shortly.",
        )
        .retry_after(1)
    }

    /// The relay's own fault; what happened is in its log.
    pub fn panicked() -> Refusal {
        Refusal::new(
            Kind::Panicked,
            "The relay made a mistake over this request. Its log says more under the request id.",
        )
    }

    /// Names the field of the body that is at fault.
    #[must_use]
    pub fn about(mut self, param: &'static str) -> Refusal {
        self.param = Some(param);
        self
    }

    /// Adds `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Refusal {
        self.retry_after_s = Some(u32::try_from(seconds).unwrap_or(u32::MAX));
        self
    }

    /// Adds what is left of the limit that was reached.
    #[must_use]
    pub fn leaving(mut self, allowance: Allowance) -> Refusal {
        self.extra().allowance = Some(allowance);
        self
    }

    /// Adds `Allow`, the methods that the route has.
    #[must_use]
    pub fn allow(mut self, methods: &'static str) -> Refusal {
        self.extra().allow = Some(methods);
        self
    }

    /// Adds what the operator should know and the client need not.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Cow<'static, str>>) -> Refusal {
        self.cause = Some(cause.into());
        self
    }

    /// What was wrong and what to do.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What is wrong with which fields.
    pub fn problems(&self) -> &[Problem] {
        self.extra.as_ref().map_or(&[], |extra| &extra.problems)
    }

    /// What the operator should know.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// Why.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.kind.status()
    }

    /// The id under which client and operator find this refusal.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// The answer in the form that the client behind this door understands.
    pub fn into_response(self, door: Door) -> Response<Bytes> {
        let body = match door {
            Door::OpenAi => json!({ "error": self.error_object() }),
            Door::Offer => {
                json!({ "error": self.error_object(), "message": self.message })
            }
            Door::Api => self.to_detail(),
        };
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = self.status();
        self.write_headers(response.headers_mut());
        response
    }

    /// The form that clients of the accounts API know.
    fn to_detail(&self) -> Value {
        let problems: Vec<Value> = self.problems().iter().map(Problem::to_json).collect();
        let mut body = match problems.is_empty() {
            true => json!({ "detail": self.message }),
            false => json!({ "detail": problems }),
        };
        if let Some(seconds) = self.retry_after_s {
            body["retry_after"] = json!(seconds);
        }
        body
    }

    /// The last event of a stream that broke: with a name and flat where the stream's events have
    /// names (wire.md 3.2), else the bare object. Both carry `error`, which the SDKs look for.
    pub fn to_event(&self, is_named: bool) -> Bytes {
        let error = self.error_object();
        Bytes::from(if is_named {
            let flat = json!({
                "type": "error",
                "code": self.kind.code(),
                "message": self.message,
                "param": null,
                "error": error,
            });
            format!("event: error\ndata: {flat}\n\n")
        } else {
            format!("data: {}\n\n", json!({ "error": error }))
        })
    }

    /// The `error` event of a socket (wire.md 5.4).
    pub fn to_socket_event(&self) -> String {
        let event_id = format!("event_{}", Uuid::new_v4().simple());
        json!({ "type": "error", "event_id": event_id, "error": self.error_object() }).to_string()
    }

    /// The reason of a close frame, in OpenAI's form `<type>.<code>` (wire.md 5.4).
    pub fn to_close_reason(&self) -> String {
        format!("{}.{}", self.kind.error_type(), self.kind.code())
    }

    /// OpenAI's error object (wire.md 2.1) with the request id beside its four fields.
    fn error_object(&self) -> Value {
        json!({
            "message": self.message,
            "type": self.kind.error_type(),
            "param": self.param,
            "code": self.kind.code(),
            "request_id": self.request_id,
        })
    }

    fn write_headers(&self, headers: &mut HeaderMap) {
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Ok(id) = HeaderValue::from_str(&self.request_id) {
            headers.insert(X_REQUEST_ID, id);
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, bearer);
        }
        if self.kind == Kind::Malformed {
            // Nobody can tell where the next request of such a connection begins.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        let extra = self.extra.as_deref();
        if let Some(allowance) = extra.and_then(|extra| extra.allowance) {
            headers.extend(allowance.lines());
        }
        if let Some(methods) = extra.and_then(|extra| extra.allow) {
            headers.insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        if self.kind == Kind::SocketVersion {
            // RFC 6455 section 4.4.
            let version = HeaderValue::from_static("13");
            headers.insert(header::SEC_WEBSOCKET_VERSION, version);
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        if self.kind.is_hopeless() {
            headers.insert(X_SHOULD_RETRY, HeaderValue::from_static("false"));
        }
    }
}

/// Which kind of client waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// SDKs on `/v1`, and whatever is not one of the others: OpenAI's error object.
    OpenAi,
    /// Pages that post to `/offer`: the same object, with a top-level `message`.
    Offer,
    /// Clients of the relay's own API under `/api/`: `{"detail": …}`.
    Api,
}

impl Door {
    /// The door that clients of this path stand at.
    pub fn of(path: &[u8]) -> Door {
        if path == b"/offer" {
            Door::Offer
        } else if path.starts_with(b"/api/") {
            Door::Api
        } else {
            Door::OpenAi
        }
    }
}
