//! What speaks on the stand-in's WebSockets.

use crate::errors::{self, ApiError};
use crate::script::Script;
use crate::state::State;
use crate::strict;
use crate::wire::Head;
use crate::ws::{Echo, Flood, Kind, Offer, Session};

/// The session for an upgrade that is well-formed; the error that refuses it.
pub(crate) fn session(
    state: &State,
    head: &Head,
    _offer: &Offer,
    script: &Script,
) -> Result<Box<dyn Session>, Box<ApiError>> {
    strict::identify(state, head)?;
    if script.socket.echo {
        return Ok(Box::new(Echo));
    }
    if let Some(flood) = &script.socket.flood {
        return Ok(Box::new(flood.clone()));
    }
    match head.path() {
        "/v1/_fake/echo" => Ok(Box::new(Echo)),
        "/v1/_fake/flood" => Ok(Box::new(flood(head))),
        path => Err(Box::new(errors::no_route(&head.method, path))),
    }
}

/// `?n=`, `size=` and `kind=binary`.
fn flood(head: &Head) -> Flood {
    let number = |name: &str| head.query(name).and_then(|text| text.parse().ok());
    let kind = match head.query("kind").as_deref() {
        Some("binary") => Kind::Binary,
        _ => Kind::Text,
    };
    let size = number("size").unwrap_or(1024);
    Flood::new(kind, number("n").unwrap_or(1), size as usize)
}
