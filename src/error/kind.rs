//! Why something is refused: each reason with the status and the code that clients get.

use http::StatusCode;

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
    pub(super) fn error_type(self) -> &'static str {
        if self == Kind::RateLimited {
            "rate_limit_error"
        } else if self.status().is_client_error() {
            "invalid_request_error"
        } else {
            "relay_error"
        }
    }

    /// Whether trying the same again is known to be useless: SDKs retry any 5xx unless told.
    pub(super) fn is_hopeless(self) -> bool {
        matches!(
            self,
            Kind::ServerKeyMissing | Kind::UpstreamTls | Kind::UpstreamProxy
        )
    }
}
