//! `check`: reads the configuration, dials what it names, and says in words what it found.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;

use super::allowed::allowed;
use super::{runtime, say};
use crate::admission::Limiter;
use crate::config::{self, BaseUrl, Config, DatabaseUrl, Loaded};
use crate::fields::Fields;
use crate::store;
use crate::telemetry::{Counters, redact};
use crate::upstream::{Credential, Fault, Outgoing, RequestBody, Sent, Upstream};

/// How long the upstream may stay silent.
const PATIENCE: Duration = Duration::from_secs(15);
/// The list of models is some 100 KiB; an answer larger than this is not OpenAI's.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

pub(super) fn run(loaded: &Loaded) -> Result<ExitCode> {
    let config = &loaded.config;
    let environment = if config.environment.is_production() {
        "production"
    } else {
        "development (RELAY_ENV=production makes the defaults strict)"
    };
    say(&format!(
        "configuration: readable; environment: {environment}"
    ));
    for note in &loaded.notes {
        say(&format!("  note: {note}"));
    }
    say(&format!("upstream {}: dialling", config.upstream.base));
    let runtime = runtime()?;
    let found = runtime.block_on(ask(config))?;
    // A gateway's error may repeat what it was sent.
    say(&redact(&format!(
        "upstream {}: {}",
        config.upstream.base, found.words
    )));
    let database = match runtime.block_on(store::reach(&config.database, config.database_timeout)) {
        // A file that is no database is no concern of a relay without accounts.
        Err(_)
            if config.accounts.is_none() && matches!(config.database, DatabaseUrl::Sqlite(_)) =>
        {
            Ok(false)
        }
        reached => reached,
    };
    let has_keys = matches!(database, Ok(true));
    if config.accounts.is_some() || !matches!(database, Ok(false)) {
        let words = match &database {
            Ok(_) => "reached".to_owned(),
            Err(error) => format!("not usable: {error:#}"),
        };
        say(&redact(&format!(
            "database {}: {words}",
            config.database.shown()
        )));
    }
    let redis = runtime.block_on(Limiter::try_redis(&config.limiting))?;
    if let Some((shown, reached)) = &redis {
        let words = match reached {
            Ok(()) => "reached, limits can be shared in it".to_owned(),
            Err(cause) => format!("not usable: {cause}"),
        };
        say(&redact(&format!("Redis {shown}: {words}")));
    }
    let has_redis = redis.is_none_or(|(_, reached)| reached.is_ok());
    say("who may do what:");
    for line in allowed(config, has_keys) {
        say(&format!("  {line}"));
    }
    say("limits on callers:");
    for limit in &config.limiting.limits {
        say(&format!("  {limit}"));
    }
    Ok(match found.is_good && database.is_ok() && has_redis {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// What the upstream did, in words.
struct Finding {
    is_good: bool,
    words: String,
}

impl Finding {
    fn good(words: impl Into<String>) -> Finding {
        let words = words.into();
        Finding {
            is_good: true,
            words,
        }
    }

    fn bad(words: impl Into<String>) -> Finding {
        let words = words.into();
        Finding {
            is_good: false,
            words,
        }
    }
}

async fn ask(config: &Config) -> Result<Finding> {
    let patient = config::Upstream {
        // Nobody waits ten minutes for a check.
        read_timeout: config.upstream.read_timeout.min(PATIENCE),
        ..config.upstream.clone()
    };
    let upstream = Upstream::new(&patient, &Arc::new(Counters::new()))?;
    let start = Instant::now();
    let outgoing = Outgoing {
        method: Method::GET,
        target: b"/v1/models",
        fields: Fields::new(),
        credential: Credential::Server,
        may_name_organization: false,
        body: RequestBody::whole(Bytes::new(), Sent::default()),
    };
    let reply = match upstream.send(outgoing).await {
        Ok(reply) => reply,
        Err(fault) => return Ok(Finding::bad(unreachable(&fault, &config.upstream.base))),
    };
    let took_ms = start.elapsed().as_millis();
    let status = reply.status;
    let body = Limited::new(reply.body, MAX_ANSWER).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut finding = judge(config, status, &json);
    finding.words.push_str(&format!(" ({took_ms} ms)"));
    Ok(finding)
}

fn unreachable(fault: &Fault, base: &BaseUrl) -> String {
    let advice = match fault {
        Fault::Dns(_) => "Check DNS and OPENAI_BASE_URL.",
        Fault::Tls(_) => {
            "Check scheme and port of OPENAI_BASE_URL. If a proxy inspects TLS here, name its authority in OPENAI_CA_FILE."
        }
        Fault::Broken(_) => "Something answers there, but not OpenAI. Check OPENAI_BASE_URL.",
        Fault::ReadTimeout => "It was reached, but says nothing. Check OPENAI_BASE_URL.",
        // A server that waits for HTTP says nothing to a TLS handshake, and 443 never is one.
        Fault::ConnectTimeout if base.is_tls() && base.port() != 443 => {
            "Check OPENAI_BASE_URL: does that port speak TLS, or is it http://? Then the network, a firewall, or whether an outbound proxy is needed (HTTPS_PROXY)."
        }
        Fault::Proxy(_) => "Check HTTPS_PROXY, ALL_PROXY and NO_PROXY.",
        _ => "Check the network, a firewall, or whether an outbound proxy is needed (HTTPS_PROXY).",
    };
    format!("not reached: {fault}. {advice}")
}

fn judge(config: &Config, status: StatusCode, body: &Value) -> Finding {
    let error = &body["error"];
    let code = error["code"].as_str().unwrap_or_default();
    let message = error["message"].as_str().unwrap_or("no reason given");
    match status {
        StatusCode::OK if body["data"].is_array() => Finding::good(models(config, body)),
        StatusCode::OK => Finding::bad(
            "reached, but what answers is not OpenAI: no list of models. Check OPENAI_BASE_URL, and whether a login page stands in between",
        ),
        StatusCode::UNAUTHORIZED if config.upstream.api_key.is_none() => Finding::good(
            "reached; without OPENAI_API_KEY every client has to bring its own credential",
        ),
        StatusCode::UNAUTHORIZED => {
            Finding::bad(format!("reached, but it refuses OPENAI_API_KEY: {message}"))
        }
        // Its spelling varies (wire.md 2.1).
        StatusCode::FORBIDDEN if code.contains("country") || code.contains("region") => {
            Finding::bad(format!(
                "reached, but OpenAI does not serve the region of this machine's address \
                 ({code}: {message}). Run the relay in a supported region, or send its traffic \
                 through one with HTTPS_PROXY"
            ))
        }
        _ => Finding::bad(format!("reached, but it answers {status}: {message}")),
    }
}

fn models(config: &Config, body: &Value) -> String {
    let list = body["data"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let model = &config.realtime.model;
    let has_realtime = list.iter().any(|entry| entry["id"] == model.as_str());
    let realtime = if has_realtime {
        "among them"
    } else {
        "not among them"
    };
    format!(
        "reached, and it takes OPENAI_API_KEY; {} models, REALTIME_MODEL {model} {realtime}",
        list.len()
    )
}
