//! Refusal: every "no" that a client can hear, and the one place that words it.
//!
//! A refusal never carries a secret: its message names what was wrong and what to do, never the
//! value that was sent.

mod kind;

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use uuid::Uuid;

pub use kind::Kind;

use crate::fields::Allowance;

/// Tells SDKs whether a retry makes sense (wire.md 1.3: `x-should-retry` overrides their own rule).
const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The id of an exchange, as OpenAI names it.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

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
