//! Says in words who may do what with a configuration: contract rules, for people.

use crate::config::{ClientSecrets, Config, Origins, Registration};

/// One sentence per kind of caller.
/// `has_keys`: relay keys were made.
pub(super) fn allowed(config: &Config, has_keys: bool) -> Vec<String> {
    let access = &config.access;
    let lends = config.upstream.api_key.is_some();
    let everything = if lends {
        "everything under /v1/ and /offer, with the server's key"
    } else {
        "nothing yet: there is no OPENAI_API_KEY to lend"
    };
    let mut lines = Vec::new();
    match access.relay_token {
        Some(_) => lines.push(format!("a client with RELAY_TOKEN: {everything}")),
        None => lines.push("there is no RELAY_TOKEN".to_owned()),
    }
    match &config.accounts {
        Some(accounts) => {
            let passes = config.tokens.client_secrets == Some(ClientSecrets::Passthrough);
            let but = if lends && !passes {
                ", and sealed tokens in the place of OpenAI credentials"
            } else {
                ""
            };
            lines.push(format!("a user who is logged in: {everything}{but}"));
            lines.push(format!(
                "registering as a user: {}",
                match accounts.registration {
                    Registration::Open => "anyone",
                    Registration::Invite => "who has a code from `openai-relay invite create`",
                    Registration::Closed => "nobody; `openai-relay user add` adds users",
                }
            ));
        }
        None => lines.push("there are no accounts (SECRET_KEY)".to_owned()),
    }
    lines.push(
        match has_keys {
            true => "a client with a relay key (rk_…): what its rules allow",
            false => "there are no relay keys; once there is one (`openai-relay key create`), every client needs a credential",
        }
        .to_owned(),
    );
    lines.push(
        "a client with an ephemeral OpenAI credential (ek_…): the realtime and live routes and /offer, with its own credential".to_owned(),
    );
    if access.allow_client_keys {
        lines.push(
            "a client with an OpenAI key of its own (sk-…): everything, with its own key"
                .to_owned(),
        );
    }
    lines.push(format!(
        "a client with nothing: {}",
        anonymous(config, everything, has_keys)
    ));
    lines.push(format!("pages: {}", origins(config)));
    lines
}

fn anonymous(config: &Config, everything: &str, has_keys: bool) -> String {
    if config.access.relay_token.is_some() || config.accounts.is_some() || has_keys {
        "refused with 401".to_owned()
    } else if config.access.allow_anonymous {
        format!("{everything} (ALLOW_ANONYMOUS=true)")
    } else if config.environment.is_production() {
        "refused with 401 (production)".to_owned()
    } else {
        format!(
            "from this machine {everything}; from others /offer and WebSockets on /, /realtime and /v1/realtime (development)"
        )
    }
}

fn origins(config: &Config) -> String {
    match &config.access.origins {
        Origins::Any => "of any origin".to_owned(),
        Origins::Listed(list) if list.is_empty() => {
            "of no origin (ALLOWED_ORIGINS is not set)".to_owned()
        }
        Origins::Listed(list) => format!("of {}", list.join(", ")),
    }
}
