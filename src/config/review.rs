//! What only the whole configuration shows: defaults that depend on the environment, contradictions, and open doors.
//!
//! A note must tell exactly who may do what and how to change it; it must never repeat a secret.

use secrecy::ExposeSecret;

use super::accounts;
use super::address::is_loopback;
use super::draft::Draft;
use super::limiting;
use super::tokens;
use super::value::{is_placeholder, is_token};
use super::{Config, Origins};

/// Settles what depends on several variables, and adds notes and errors.
pub(super) fn review(draft: &mut Draft, errors: &mut Vec<String>) {
    settle_origins(draft);
    review_keys(draft, errors);
    accounts::settle(draft, errors);
    limiting::settle(draft, errors);
    tokens::settle(draft, errors);
    review_tls(draft, errors);
    if errors.is_empty() {
        let notes = &mut draft.notes;
        review_origins(&draft.config, notes);
        review_access(&draft.config, notes);
        review_network(&draft.config, notes);
    }
}

/// Puts the environment's default in where no origins are set.
fn settle_origins(draft: &mut Draft) {
    let production = draft.config.environment.is_production();
    let access = &mut draft.config.access;
    access.origins_defaulted = !draft.given.contains("ALLOWED_ORIGINS");
    access.origins = match draft.origins.take() {
        Some(origins) => origins,
        None if production => Origins::Listed(Vec::new()),
        None => Origins::Any,
    };
}

fn review_keys(draft: &mut Draft, errors: &mut Vec<String>) {
    let key = draft
        .config
        .upstream
        .api_key
        .as_ref()
        .map(ExposeSecret::expose_secret);
    let token = draft
        .config
        .access
        .relay_token
        .as_ref()
        .map(ExposeSecret::expose_secret);
    let notes = &mut draft.notes;
    if key.is_some_and(is_placeholder) {
        notes.push("`OPENAI_API_KEY` looks like the placeholder of an example, not like a key; OpenAI will refuse it".to_owned());
    }
    let Some(token) = token else {
        return;
    };
    if key == Some(token) {
        errors.push(
            "RELAY_TOKEN: it is the same as OPENAI_API_KEY, so every client would hold the server's key; \
             make one of its own with `openssl rand -hex 32`"
                .to_owned(),
        );
    }
    if is_placeholder(token) {
        let words = "looks like the placeholder of an example, which anyone can guess; make one with `openssl rand -hex 32`";
        if draft.config.environment.is_production() {
            errors.push(format!("RELAY_TOKEN: it {words}"));
        } else {
            notes.push(format!("`RELAY_TOKEN` {words}"));
        }
    }
    if !is_token(token) {
        notes.push(
            "`RELAY_TOKEN` holds characters that no WebSocket subprotocol can carry, so browsers cannot use it there; \
             use letters and digits only"
                .to_owned(),
        );
    }
    if token.len() < 16 {
        notes.push("`RELAY_TOKEN` is shorter than 16 characters and can be guessed; make one with `openssl rand -hex 32`".to_owned());
    }
}

fn review_tls(draft: &Draft, errors: &mut Vec<String>) {
    let is_given = |name| draft.given.contains(name);
    match (is_given("TLS_CERT"), is_given("TLS_KEY")) {
        (true, false) => errors.push("TLS_KEY: it is missing, and TLS_CERT needs it".to_owned()),
        (false, true) => errors.push("TLS_CERT: it is missing, and TLS_KEY needs it".to_owned()),
        _ => {}
    }
}

fn review_origins(config: &Config, notes: &mut Vec<String>) {
    let access = &config.access;
    match (&access.origins, access.origins_defaulted) {
        (Origins::Any, true) => notes.push(
            "`ALLOWED_ORIGINS` is not set: in development every web page may call; list your pages' origins to change that".to_owned(),
        ),
        (Origins::Any, false) if config.environment.is_production() => {
            notes.push("`ALLOWED_ORIGINS` is `*` in production: every web page may call; list your pages' origins instead".to_owned());
        }
        (Origins::Listed(_), true) => notes.push(
            "`ALLOWED_ORIGINS` is not set: in production no web page of another origin may call; list your pages' origins to let them".to_owned(),
        ),
        _ => {}
    }
}

fn review_access(config: &Config, notes: &mut Vec<String>) {
    let (access, server) = (&config.access, &config.server);
    let production = config.environment.is_production();
    let reachable = !server.host.is_loopback();
    let at = if reachable {
        "anyone who can reach this machine"
    } else {
        "every program on this machine"
    };
    if config.upstream.api_key.is_none() {
        notes.push("`OPENAI_API_KEY` is not set: every client must bring an ephemeral OpenAI credential of its own".to_owned());
        return;
    }
    if access.relay_token.is_some() || config.accounts.is_some() {
        if access.allow_anonymous {
            notes.push(
                "`ALLOW_ANONYMOUS` has no effect beside `RELAY_TOKEN` or `SECRET_KEY`: a request without a credential is refused; \
                 unset one of them"
                    .to_owned(),
            );
        }
        return;
    }
    if access.allow_anonymous {
        if production || reachable {
            notes.push(format!(
                "OPEN RELAY: `ALLOW_ANONYMOUS` is on, so {at} may use the server's OpenAI key on every route, without a credential; \
                 set ALLOW_ANONYMOUS=false and a RELAY_TOKEN, or HOST=127.0.0.1 to serve this machine only"
            ));
        }
        return;
    }
    if production {
        notes.push(
            "Neither `RELAY_TOKEN` nor `SECRET_KEY` nor `ALLOW_ANONYMOUS` is set: in production every request without an OpenAI credential of its \
             own or a relay key will be refused"
                .to_owned(),
        );
    } else if reachable {
        notes.push(format!(
            "OPEN IN DEVELOPMENT: `RELAY_TOKEN` is not set, so {at} may use the server's OpenAI key through POST /offer and \
             WebSockets on /, /realtime and /v1/realtime; set RELAY_TOKEN, HOST=127.0.0.1 or RELAY_ENV=production to close this"
        ));
    }
}

fn review_network(config: &Config, notes: &mut Vec<String>) {
    let trusted = &config.server.trusted_proxies;
    if trusted.is_none() {
        notes.push(
            "`TRUSTED_PROXIES` is none: all users behind a proxy count as one address".to_owned(),
        );
    }
    if trusted.0.iter().any(|range| range.prefix_len() == 0) {
        notes.push("`TRUSTED_PROXIES` covers every address: any client can claim any address in `X-Forwarded-For`".to_owned());
    }
    let base = &config.upstream.base;
    if !base.is_tls() && config.upstream.api_key.is_some() && !is_loopback(base.host()) {
        notes.push(format!(
            "`OPENAI_BASE_URL` is http://: the server's key travels to {} without encryption; use https:// unless that network is yours",
            base.authority()
        ));
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Sources, load};

    fn notes(pairs: &[(&str, &str)]) -> String {
        load(&Sources::from_map(pairs.iter().copied()))
            .expect("a valid configuration")
            .notes
            .join("\n")
    }

    const KEY: (&str, &str) = ("OPENAI_API_KEY", "sk-test-0123456789");
    const TOKEN: (&str, &str) = ("RELAY_TOKEN", "0123456789abcdef0123");
    const PRODUCTION: (&str, &str) = ("RELAY_ENV", "production");
    const ORIGIN: (&str, &str) = ("ALLOWED_ORIGINS", "https://a.example");

    #[test]
    fn open_doors_are_named_with_the_way_to_close_them() {
        assert!(notes(&[KEY]).contains("WebSockets on /, /realtime and /v1/realtime"));
        assert!(notes(&[KEY, ("ALLOW_ANONYMOUS", "true")]).contains("OPEN RELAY"));
        assert!(notes(&[KEY, PRODUCTION, ("ALLOW_ANONYMOUS", "true")]).contains("OPEN RELAY"));
        assert!(notes(&[KEY, PRODUCTION]).contains("will be refused"));
        assert!(!notes(&[KEY, ("HOST", "127.0.0.1")]).contains("OPEN "));
        assert!(!notes(&[KEY, TOKEN]).contains("OPEN "));
        assert!(notes(&[KEY, TOKEN, ("ALLOW_ANONYMOUS", "true")]).contains("has no effect"));
    }

    #[test]
    fn a_careful_production_setup_starts_without_a_note() {
        assert_eq!(notes(&[KEY, TOKEN, PRODUCTION, ORIGIN]), "");
    }

    #[test]
    fn weak_and_borrowed_tokens_are_pointed_out() {
        assert!(
            notes(&[KEY, PRODUCTION, ORIGIN, ("RELAY_TOKEN", "short")]).contains("shorter than 16")
        );
        assert!(notes(&[KEY, ("RELAY_TOKEN", "short")]).contains("shorter than 16"));
        let copied = (
            "RELAY_TOKEN",
            "replace-me-with-what-openssl-rand-hex-32-prints",
        );
        assert!(notes(&[KEY, copied]).contains("anyone can guess"));
        let refused = load(&Sources::from_map([KEY, PRODUCTION, ORIGIN, copied]));
        let refused = refused
            .expect_err("a token that is in the repository")
            .to_string();
        assert!(
            refused.contains("RELAY_TOKEN: it looks like the placeholder"),
            "{refused}"
        );
        assert!(!notes(&[KEY, TOKEN]).contains("shorter"));
        assert!(notes(&[KEY, ("RELAY_TOKEN", "with/slash=and,comma")]).contains("subprotocol"));
        assert!(notes(&[("OPENAI_API_KEY", "your_openai_api_key_here")]).contains("placeholder"));
        let same = load(&Sources::from_map([KEY, ("RELAY_TOKEN", KEY.1)]))
            .expect_err("the same secret twice");
        assert!(same.to_string().starts_with("RELAY_TOKEN: "));
        assert!(!same.to_string().contains(KEY.1));
    }

    #[test]
    fn weak_spots_of_the_network_are_pointed_out() {
        assert!(notes(&[("TRUSTED_PROXIES", "none")]).contains("one address"));
        assert!(notes(&[("TRUSTED_PROXIES", "0.0.0.0/0")]).contains("any client can claim"));
        assert!(
            notes(&[KEY, ("OPENAI_BASE_URL", "http://gate.example")])
                .contains("without encryption")
        );
        assert!(
            !notes(&[KEY, ("OPENAI_BASE_URL", "http://127.0.0.1:9000")])
                .contains("without encryption")
        );
    }
}
