//! Pure: method, path and upgrade → Route. Reads nothing but its arguments.

use http::Method;
use url::form_urlencoded;

use crate::admission::Right;
use crate::error::{Kind, Refusal};
use crate::family::{Family, decoded};
use crate::relay::Chat;
use crate::wire::Target;

/// Where OpenAI hands out credentials (wire.md 6.1), by today's names and the retired ones.
const MINTING: [&str; 5] = [
    "realtime/client_secrets",
    "realtime/translations/client_secrets",
    "realtime/sessions",
    "realtime/transcription_sessions",
    "chatkit/sessions",
];

/// What a request wants to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Anything under `/v1/`, relayed as it is.
    Http(Right),
    /// A WebSocket: `/v1/…`, `/realtime`, or the bare `/`.
    Socket(Right),
    /// `POST /offer`.
    Offer,
    /// The chat routes of the accounts API, where there are accounts.
    Chat(Chat),
    /// A listed page asks whether it may.
    Preflight,
    /// A route of the relay's own.
    Control,
}

/// What the client asks to switch to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upgrade {
    /// Nothing, or `h2c`, which a server is free to ignore (RFC 9110 section 7.8).
    None,
    /// `websocket`.
    WebSocket,
    /// Something that the relay does not speak.
    Other,
}

/// Finds the route of a request whose path has passed the jail.
pub(super) fn route(method: &Method, path: &str, upgrade: Upgrade) -> Result<Route, Refusal> {
    match upgrade {
        Upgrade::None => {}
        Upgrade::WebSocket => return socket_route(path),
        Upgrade::Other => return Err(unsupported_upgrade()),
    }
    if path.starts_with("/v1/") {
        return Ok(Route::Http(http_right(path)));
    }
    if path == "/offer" {
        return match *method {
            Method::POST => Ok(Route::Offer),
            _ => Err(Refusal::new(
                Kind::MethodNotAllowed,
                "Use POST with a JSON body {\"sdp\": …}.",
            )
            .allow("POST")),
        };
    }
    let chat = match (method, path) {
        (&Method::POST, "/api/v1/chat/completions") => Chat::Completion,
        (&Method::POST, "/api/v1/chat/completions/stream") => Chat::Stream,
        (&Method::GET, "/api/v1/chat/models") => Chat::Models,
        _ => return Ok(Route::Control),
    };
    Ok(Route::Chat(chat))
}

fn socket_route(path: &str) -> Result<Route, Refusal> {
    match path {
        "/" | "/realtime" | "/v1/realtime" => Ok(Route::Socket(Right::RealtimeSocket)),
        _ if path.starts_with("/v1/") => Ok(Route::Socket(http_right(path))),
        _ => Err(unsupported_upgrade()),
    }
}

fn unsupported_upgrade() -> Refusal {
    Refusal::new(
        Kind::UpgradeNotSupported,
        "There is no socket at this path: WebSockets are served on /, /realtime and under /v1/, and nothing else is upgraded to.",
    )
}

/// The calls and Live sessions that a target names: in its path, behind `calls` or `sessions`, or as
/// `call_id` in its query.
pub(super) fn calls(target: &Target) -> Vec<String> {
    let path = target.path_text();
    let path = decoded(&path);
    let mut calls = Vec::new();
    if Family::of_path(&path) == Family::Realtime {
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        while let Some(segment) = segments.next() {
            if matches!(segment, "calls" | "sessions") {
                calls.extend(segments.next().map(str::to_owned));
            }
        }
    }
    let pairs = form_urlencoded::parse(target.query());
    let named = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("call_id"));
    calls.extend(named.map(|(_, id)| id.into_owned()));
    calls
}

/// Ephemeral credentials open the realtime and live families (contract section 2).
fn http_right(path: &str) -> Right {
    let path = decoded(path.strip_prefix("/v1/").unwrap_or_default());
    if MINTING.contains(&path.trim_end_matches('/')) {
        return Right::ClientSecret;
    }
    match path.split('/').next().unwrap_or_default() {
        "realtime" | "live" => Right::Realtime,
        _ => Right::Api,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(path: &str) -> Route {
        route(&Method::GET, path, Upgrade::None).expect("a route")
    }

    #[test]
    fn everything_under_v1_is_relayed_and_nothing_else_is() {
        assert_eq!(plain("/v1/models"), Route::Http(Right::Api));
        assert_eq!(plain("/v1/"), Route::Http(Right::Api));
        assert_eq!(plain("/v1/realtime/calls"), Route::Http(Right::Realtime));
        assert_eq!(plain("/v1/live/sessions"), Route::Http(Right::Realtime));
        assert_eq!(plain("/v1/realtimes"), Route::Http(Right::Api));
        for path in [
            "/v1",
            "/",
            "/V1/models",
            "/v1models",
            "/api/v1/models",
            "/v2/models",
        ] {
            assert_eq!(plain(path), Route::Control, "{path}");
        }
    }

    #[test]
    fn credentials_are_made_on_five_routes_however_they_are_written() {
        for path in [
            "/v1/realtime/client_secrets",
            "/v1/realtime/client_secrets/",
            "/v1/realtime/client%5Fsecrets",
            "/v1/%72ealtime/client_secret%73",
            "/v1/realtime/translations/client_secrets",
            "/v1/realtime/sessions",
            "/v1/realtime/transcription_sessions",
            "/v1/chatkit/sessions",
            "/v1/chatkit%2Fsessions",
        ] {
            assert_eq!(plain(path), Route::Http(Right::ClientSecret), "{path}");
        }
        for path in [
            "/v1/realtime/calls",
            "/v1/live/sessions",
            "/v1/realtime/%zz",
        ] {
            assert_eq!(plain(path), Route::Http(Right::Realtime), "{path}");
        }
    }

    #[test]
    fn sockets_open_on_the_origins_paths_and_under_v1_only() {
        for path in ["/", "/realtime", "/v1/realtime"] {
            let found = route(&Method::GET, path, Upgrade::WebSocket).expect("a route");
            assert_eq!(found, Route::Socket(Right::RealtimeSocket), "{path}");
        }
        let responses = route(&Method::GET, "/v1/responses", Upgrade::WebSocket);
        assert_eq!(responses.expect("a route"), Route::Socket(Right::Api));
        for path in ["/health", "/offer", "/realtime/x"] {
            let refusal = route(&Method::GET, path, Upgrade::WebSocket).expect_err("refused");
            assert_eq!(refusal.kind(), Kind::UpgradeNotSupported, "{path}");
        }
    }

    #[test]
    fn an_unknown_upgrade_is_refused_everywhere() {
        for path in ["/", "/v1/models", "/health"] {
            let refusal = route(&Method::GET, path, Upgrade::Other).expect_err("refused");
            assert_eq!(refusal.kind(), Kind::UpgradeNotSupported, "{path}");
        }
    }

    #[test]
    fn offer_takes_post_only() {
        let found = route(&Method::POST, "/offer", Upgrade::None).expect("a route");
        assert_eq!(found, Route::Offer);
        let refusal = route(&Method::GET, "/offer", Upgrade::None).expect_err("refused");
        assert_eq!(refusal.kind(), Kind::MethodNotAllowed);
    }
}
