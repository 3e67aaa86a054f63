//! What OpenAI's edge would refuse, and who is asking.

use crate::errors::{self, ApiError};
use crate::state::{Secret, State};
use crate::wire::Head;

/// Whose credential a request carries.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// The project key.
    Project,
    /// A minted ephemeral credential.
    Ephemeral(Secret),
    /// A control route, which asks for none.
    Control,
}

/// Refuses heads that betray a sloppy relay.
pub(crate) fn check_shape(head: &Head) -> Result<(), String> {
    head.framing()?;
    if head.all("host").count() != 1 && !(head.version == 0 && head.all("host").count() == 0) {
        return Err("there is not exactly one Host".to_owned());
    }
    if head.all("authorization").count() > 1 {
        return Err("there is more than one Authorization".to_owned());
    }
    if !head.target.starts_with('/') {
        return Err("the target is not a path".to_owned());
    }
    if head
        .path()
        .split('/')
        .any(|segment| matches!(segment, "." | ".."))
    {
        return Err("the path holds a dot segment".to_owned());
    }
    let named = head.all("connection").flat_map(|value| {
        let text = String::from_utf8_lossy(value).into_owned();
        text.split(',')
            .map(|name| name.trim().to_lowercase())
            .collect::<Vec<_>>()
    });
    for name in named {
        let is_option = matches!(
            name.as_str(),
            "close" | "keep-alive" | "upgrade" | "te" | ""
        );
        if !is_option && head.all(&name).next().is_some() {
            return Err(format!(
                "`{name}` is named by Connection and came along all the same"
            ));
        }
    }
    Ok(())
}

/// Checks the credential (wire.md 2.1): the project key everywhere, minted ones on realtime and
/// live routes.
pub(crate) fn identify(state: &State, head: &Head) -> Result<Caller, Box<ApiError>> {
    let path = head.path();
    if path.starts_with("/__fake/") {
        return Ok(Caller::Control);
    }
    let takes_ephemeral = path.starts_with("/v1/realtime") || path.starts_with("/v1/live");
    caller(state, head.get("authorization"), takes_ephemeral)
}

/// Whose credential that is, as `Authorization` would carry it.
pub(crate) fn caller(
    state: &State,
    credential: Option<&str>,
    takes_ephemeral: bool,
) -> Result<Caller, Box<ApiError>> {
    let Some(key) = credential.and_then(|value| value.strip_prefix("Bearer ")) else {
        return Err(Box::new(errors::no_key()));
    };
    if key == state.server_key {
        return Ok(Caller::Project);
    }
    match state.secret(key) {
        Some(secret) if takes_ephemeral => Ok(Caller::Ephemeral(secret)),
        _ => Err(Box::new(errors::wrong_key(key))),
    }
}
