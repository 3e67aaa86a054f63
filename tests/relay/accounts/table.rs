//! Who may use which route, as the contract has it.

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum For {
    /// Everybody.
    All,
    /// Who is logged in.
    Users,
    /// Admins who are logged in.
    Admins,
    /// RELAY_TOKEN and admins.
    Operators,
    /// Whoever the server's key is lent to, and who brings a key.
    Callers,
    /// The same, and a key that opens nothing else.
    Embeddings,
    /// The same, and who brings an ephemeral credential.
    Realtime,
    /// The same, but for sealed tokens, which make no others.
    Mint,
    /// RELAY_TOKEN, and who brings a credential of OpenAI's.
    Lenders,
    /// RELAY_TOKEN, accounts and relay keys.
    Sealers,
}

/// The relay's own routes.
pub(super) const OWN: [(&str, &str, For); 41] = [
    ("GET", "/", For::All),
    ("GET", "/docs", For::All),
    ("GET", "/docs/docs.js", For::All),
    ("GET", "/docs/docs.css", For::All),
    ("GET", "/docs/icon.svg", For::All),
    ("GET", "/openapi.json", For::All),
    ("GET", "/health", For::All),
    ("GET", "/ready", For::All),
    ("GET", "/stats", For::All),
    ("GET", "/metrics", For::Operators),
    ("GET", "/api/v1/health", For::All),
    ("GET", "/api/v1/health/detailed", For::Operators),
    ("POST", "/api/v1/auth/register", For::All),
    ("POST", "/api/v1/auth/login", For::All),
    ("POST", "/api/v1/auth/refresh", For::Users),
    ("POST", "/api/v1/auth/logout", For::Users),
    ("GET", "/api/v1/auth/me", For::Users),
    ("DELETE", "/api/v1/auth/me", For::Users),
    ("POST", "/api/v1/auth/password", For::Users),
    ("POST", "/api/v1/chat/completions", For::Users),
    ("POST", "/api/v1/chat/completions/stream", For::Users),
    ("GET", "/api/v1/chat/models", For::Users),
    ("GET", "/api/v1/admin/users", For::Admins),
    ("POST", "/api/v1/admin/users", For::Admins),
    ("GET", "/api/v1/admin/users/{id}", For::Admins),
    ("PATCH", "/api/v1/admin/users/{id}", For::Admins),
    ("DELETE", "/api/v1/admin/users/{id}", For::Admins),
    ("POST", "/api/v1/admin/users/{id}/password", For::Admins),
    ("GET", "/api/v1/keys", For::Users),
    ("POST", "/api/v1/keys", For::Users),
    ("GET", "/api/v1/keys/{id}", For::Users),
    ("DELETE", "/api/v1/keys/{id}", For::Users),
    ("POST", "/api/v1/keys/{id}/rotate", For::Users),
    ("GET", "/api/v1/admin/keys", For::Admins),
    ("POST", "/api/v1/admin/keys", For::Admins),
    ("GET", "/api/v1/admin/keys/{id}", For::Admins),
    ("DELETE", "/api/v1/admin/keys/{id}", For::Admins),
    ("POST", "/api/v1/admin/keys/{id}/rotate", For::Admins),
    ("POST", "/api/v1/tokens", For::Sealers),
    ("POST", "/offer", For::Realtime),
    ("POST", "/v1/realtime/client_secrets", For::Mint),
];

/// What is relayed.
pub(super) const RELAYED: [(&str, &str, For); 12] = [
    ("GET", "/v1/models", For::Callers),
    ("POST", "/v1/chat/completions", For::Callers),
    ("POST", "/v1/responses", For::Callers),
    ("POST", "/v1/embeddings", For::Embeddings),
    ("GET", "/v1/files", For::Callers),
    ("DELETE", "/v1/what-comes-next", For::Callers),
    ("POST", "/v1/realtime/calls", For::Realtime),
    ("POST", "/v1/realtime/calls/rtc_x/hangup", For::Realtime),
    ("POST", "/v1/live/sessions", For::Realtime),
    ("POST", "/v1/live/sessions/live_x/hangup", For::Realtime),
    ("POST", "/v1/realtime/sessions", For::Mint),
    ("POST", "/v1/chatkit/sessions", For::Lenders),
];

/// Sockets.
pub(super) const SOCKETS: [(&str, For); 4] = [
    ("/", For::Realtime),
    ("/realtime", For::Realtime),
    ("/v1/realtime?model=gpt-realtime-2.1-mini", For::Realtime),
    ("/v1/responses", For::Callers),
];

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Who {
    Nobody,
    RelayToken,
    User,
    Admin,
    /// Holds a relay key.
    Key,
    /// Holds one that opens embeddings alone.
    NarrowKey,
    /// Holds a sealed token.
    Token,
    /// Holds one with OpenAI's ephemeral credential inside.
    Secret,
    /// Held a key that was revoked.
    RevokedKey,
    /// Was logged in.
    Ended,
    /// Shows a refresh token in place of an access token.
    Refresher,
    Ephemeral,
    OwnKey,
    Unknown,
    UnknownRelayKey,
}

/// All of them.
pub(super) const ALL: [Who; 15] = [
    Who::Nobody,
    Who::RelayToken,
    Who::User,
    Who::Admin,
    Who::Key,
    Who::NarrowKey,
    Who::Token,
    Who::Secret,
    Who::RevokedKey,
    Who::Ended,
    Who::Refresher,
    Who::Ephemeral,
    Who::OwnKey,
    Who::Unknown,
    Who::UnknownRelayKey,
];

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    Allowed,
    Unauthorized,
    Forbidden,
}

/// The contract's rule.
pub(super) fn verdict(open: For, who: Who) -> Verdict {
    let is_unknown = matches!(
        who,
        Who::Nobody
            | Who::RevokedKey
            | Who::Ended
            | Who::Refresher
            | Who::Unknown
            | Who::UnknownRelayKey
    );
    let may = match open {
        For::All => return Verdict::Allowed,
        _ if is_unknown => return Verdict::Unauthorized,
        For::Users => matches!(who, Who::User | Who::Admin),
        For::Admins => who == Who::Admin,
        For::Operators => matches!(who, Who::RelayToken | Who::Admin),
        For::Embeddings => !matches!(who, Who::Ephemeral | Who::Secret),
        For::Callers => !matches!(who, Who::Ephemeral | Who::Secret | Who::NarrowKey),
        For::Realtime => who != Who::NarrowKey,
        For::Mint => !matches!(who, Who::NarrowKey | Who::Token | Who::Secret),
        For::Lenders => matches!(who, Who::RelayToken | Who::OwnKey | Who::Ephemeral),
        For::Sealers => matches!(
            who,
            Who::RelayToken | Who::User | Who::Admin | Who::Key | Who::NarrowKey
        ),
    };
    match may {
        true => Verdict::Allowed,
        // Where an ephemeral credential opens nothing, it is none.
        false if who == Who::Ephemeral => Verdict::Unauthorized,
        false => Verdict::Forbidden,
    }
}
