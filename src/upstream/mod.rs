//! The upstream: the only room that holds the server's key and the base URL. Imports no room.

mod body;
mod dial;
mod fault;
mod headers;
mod pool;
mod reply;
mod resolve;
mod socket;
mod tickets;
mod tls;
mod upload;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};

pub use body::{RequestBody, Sent};
pub use fault::Fault;
pub use headers::strip_beta;
pub use reply::{Reply, ReplyBody};
pub use socket::{SocketAnswer, SocketRequest};

use crate::config;
use crate::fields::Fields;
use crate::telemetry::Counters;
use crate::wire::{Answer, ResponseHead, Timer};
use dial::Dialer;
use pool::Pool;
use reply::Exchange;
use upload::Upload;

/// Connections in use at once; past it a request waits `OPENAI_POOL_TIMEOUT`.
const MAX_CONNECTIONS: usize = 8192;

/// With whose credential a request goes up.
#[derive(Debug)]
pub enum Credential<'a> {
    /// The server lends its key.
    Server,
    /// The caller brought its own.
    Own(&'a SecretString),
}

/// A request for the upstream.
pub struct Outgoing<'a> {
    /// The method as sent.
    pub method: Method,
    /// Path and query, from `/v1/` on, as sent.
    pub target: &'a [u8],
    /// The client's fields; what must not travel is removed here.
    pub fields: Fields,
    /// Whose credential.
    pub credential: Credential<'a>,
    /// Whether the caller may name an organization and a project.
    pub may_name_organization: bool,
    /// The body.
    pub body: RequestBody,
}

/// OpenAI, or what stands in its place.
pub struct Upstream {
    api: Endpoint,
    /// Where realtime sockets go, if elsewhere.
    realtime: Option<Endpoint>,
    authorization: Option<HeaderValue>,
    read_timeout: Duration,
    write_timeout: Duration,
}

/// A place of the upstream's.
struct Endpoint {
    pool: Arc<Pool>,
    host: HeaderValue,
    authority: String,
    prefix: String,
}

impl Endpoint {
    fn new(
        config: &config::Upstream,
        base: &config::BaseUrl,
        counters: &Arc<Counters>,
    ) -> Result<Endpoint> {
        let dialer = Dialer::new(config, base, counters)?;
        let authority = base.authority();
        Ok(Endpoint {
            pool: Pool::new(dialer, MAX_CONNECTIONS, config.pool_timeout),
            host: HeaderValue::from_str(&authority).context("the upstream's host")?,
            authority,
            prefix: base.path_prefix().to_owned(),
        })
    }
}

impl Upstream {
    /// The configured upstream; nothing is dialled yet. Must be called inside the runtime.
    pub fn new(config: &config::Upstream, counters: &Arc<Counters>) -> Result<Upstream> {
        let authorization = config.api_key.as_ref().map(bearer).transpose();
        let realtime = config.realtime_base.as_ref();
        let realtime = realtime.map(|base| Endpoint::new(config, base, counters));
        Ok(Upstream {
            api: Endpoint::new(config, &config.base, counters)?,
            realtime: realtime.transpose()?,
            authorization: authorization.context("OPENAI_API_KEY")?,
            read_timeout: config.read_timeout,
            write_timeout: config.write_timeout,
        })
    }

    /// Whether there is a key to lend.
    pub fn has_server_key(&self) -> bool {
        self.authorization.is_some()
    }

    /// Whether a connection can be had: one is taken from the pool, or dialled, and given back.
    /// Nothing is sent.
    pub async fn reach(&self) -> Result<(), Fault> {
        self.api.pool.lease().await?.give_back(Timer::default());
        Ok(())
    }

    /// Sends a request and waits for the head of its answer. The request is sent again only if no
    /// byte of it had left.
    pub async fn send(&self, outgoing: Outgoing<'_>) -> Result<Reply, Fault> {
        let method = outgoing.method.clone();
        let mut upload = self.prepare(&self.api, outgoing, []);
        loop {
            let lease = self.api.pool.lease().await?;
            let is_reused = lease.is_reused();
            let mut exchange = Exchange::new(lease, upload, self.read_timeout);
            match exchange.head(&method).await {
                Ok(head) => return Ok(self.reply(&self.api, exchange, head)),
                Err(Fault::Broken(_)) if is_reused && !exchange.upload.has_left() => {
                    upload = exchange.upload.anew();
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Where this socket goes.
    fn endpoint_of_sockets(&self, target: &[u8]) -> &Endpoint {
        match &self.realtime {
            Some(realtime) if target.starts_with(b"/v1/realtime") => realtime,
            _ => &self.api,
        }
    }

    /// `own`: headers that the relay sends on its own account.
    fn prepare(
        &self,
        endpoint: &Endpoint,
        outgoing: Outgoing<'_>,
        own: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    ) -> Upload {
        let authorization = match outgoing.credential {
            Credential::Server => self.authorization.clone(),
            Credential::Own(secret) => bearer(secret).ok(),
        };
        let mut fields = outgoing.fields;
        headers::strip_request(&mut fields, outgoing.may_name_organization);
        fields.append(&header::HOST, &endpoint.host);
        if let Some(authorization) = authorization {
            fields.append(&header::AUTHORIZATION, &authorization);
        }
        fields.extend(own);
        // The client's bytes stay as they are, behind the base URL's path.
        let target = match endpoint.prefix.as_str() {
            "" => Cow::Borrowed(outgoing.target),
            prefix => Cow::Owned([prefix.as_bytes(), outgoing.target].concat()),
        };
        Upload::new(
            &outgoing.method,
            &target,
            fields,
            outgoing.body,
            self.write_timeout,
        )
    }

    fn reply(&self, endpoint: &Endpoint, exchange: Box<Exchange>, mut head: ResponseHead) -> Reply {
        headers::strip_response(&mut head.fields);
        if head.status == StatusCode::CREATED {
            endpoint.localise(&mut head.fields);
        }
        Answer {
            status: head.status,
            body: ReplyBody::new(exchange, &head),
            reason: head.reason,
            fields: head.fields,
        }
    }
}

impl Endpoint {
    /// Keeps the `Location` of a call usable through the relay: a path without the base's prefix.
    fn localise(&self, fields: &mut Fields) {
        let location = fields.text(&header::LOCATION);
        let Some(local) = location.and_then(|text| self.local_path(text)) else {
            return;
        };
        if let Ok(value) = HeaderValue::from_str(&local) {
            fields.insert(&header::LOCATION, &value);
        }
    }

    fn local_path(&self, location: &str) -> Option<String> {
        let path = match location.split_once("://") {
            Some((_, rest)) => rest.strip_prefix(self.authority.as_str())?,
            None => location,
        };
        let path = path.strip_prefix(self.prefix.as_str())?;
        path.starts_with("/v1/").then(|| path.to_owned())
    }
}

fn bearer(secret: &SecretString) -> Result<HeaderValue, header::InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", secret.expose_secret()))?;
    value.set_sensitive(true);
    Ok(value)
}
