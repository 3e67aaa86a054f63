//! The upstream: the only room that holds the server's key and the base URL. Imports no room.

mod body;
mod dial;
mod fault;
mod headers;
mod pool;
mod reply;
mod resolve;
mod tls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use secrecy::{ExposeSecret, SecretString};

pub use body::{Progress, RequestBody, Stage};
pub use fault::Fault;
pub use reply::{Reply, ReplyBody};

use crate::config;
use dial::Dialer;
use pool::{Lease, Pool};

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
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// The method as sent.
    pub method: Method,
    /// Path and query, from `/v1/` on, as sent.
    pub target: PathAndQuery,
    /// The client's headers; what must not travel is removed here.
    pub headers: HeaderMap,
    /// Whose credential.
    pub credential: Credential<'a>,
    /// Whether the caller may name an organization and a project.
    pub may_name_organization: bool,
    /// The body.
    pub body: RequestBody,
}

/// OpenAI, or what stands in its place.
pub struct Upstream {
    pool: Arc<Pool>,
    host: HeaderValue,
    authority: String,
    prefix: String,
    authorization: Option<HeaderValue>,
    read_timeout: Duration,
    write_timeout: Duration,
}

impl Upstream {
    /// The configured upstream; nothing is dialled yet. Must be called inside the runtime.
    pub fn new(config: &config::Upstream) -> Result<Upstream> {
        let authority = config.base.authority();
        let authorization = config.api_key.as_ref().map(bearer).transpose();
        let pool = Pool::new(Dialer::new(config)?, MAX_CONNECTIONS, config.pool_timeout);
        Ok(Upstream {
            pool,
            host: HeaderValue::from_str(&authority).context("OPENAI_BASE_URL")?,
            authority,
            prefix: config.base.path_prefix().to_owned(),
            authorization: authorization.context("OPENAI_API_KEY")?,
            read_timeout: config.read_timeout,
            write_timeout: config.write_timeout,
        })
    }

    /// Whether there is a key to lend.
    pub fn has_server_key(&self) -> bool {
        self.authorization.is_some()
    }

    /// Sends a request and waits for the head of its answer. The request is sent again only if no
    /// byte of it had left.
    pub async fn send(&self, outgoing: Outgoing<'_>) -> Result<Reply, Fault> {
        let mut request = self.prepare(outgoing)?;
        let progress = request.body().progress();
        loop {
            let mut lease = self.pool.lease().await?;
            match self.exchange(&mut lease, request, &progress).await {
                Ok(response) => {
                    let mut reply = Reply::new(response, lease, progress, self.read_timeout);
                    headers::strip_response(&mut reply.head.headers);
                    self.localise(&mut reply);
                    return Ok(reply);
                }
                Err(Unsent::Whole(untouched)) if lease.is_reused() => request = *untouched,
                Err(Unsent::Whole(_)) => {
                    return Err(Fault::Broken("closed before the request".to_owned()));
                }
                Err(Unsent::Failed(fault)) => return Err(fault),
            }
        }
    }

    fn prepare(&self, outgoing: Outgoing<'_>) -> Result<Request<RequestBody>, Fault> {
        let authorization = match outgoing.credential {
            Credential::Server => self.authorization.clone(),
            Credential::Own(secret) => bearer(secret).ok(),
        };
        let mut headers = outgoing.headers;
        headers::strip_request(&mut headers, outgoing.may_name_organization);
        headers.insert(header::HOST, self.host.clone());
        if let Some(authorization) = authorization {
            headers.insert(header::AUTHORIZATION, authorization);
        }
        let mut request = Request::new(outgoing.body);
        *request.method_mut() = outgoing.method;
        *request.uri_mut() = self.join(outgoing.target)?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Puts the base URL's path in front; the client's bytes stay as they are.
    fn join(&self, target: PathAndQuery) -> Result<Uri, Fault> {
        let target = if self.prefix.is_empty() {
            target
        } else {
            PathAndQuery::try_from(format!("{}{target}", self.prefix))
                .map_err(|error| Fault::Broken(error.to_string()))?
        };
        Ok(Uri::from(target))
    }

    async fn exchange(
        &self,
        lease: &mut Lease,
        request: Request<RequestBody>,
        progress: &Progress,
    ) -> Result<http::Response<hyper::body::Incoming>, Unsent> {
        let Some(sender) = lease.sender() else {
            return Err(Unsent::Whole(Box::new(request)));
        };
        let sent = Instant::now();
        let mut answer = std::pin::pin!(sender.try_send_request(request));
        let mut deadline = self.deadline(progress, sent);
        loop {
            match tokio::time::timeout_at(deadline.into(), answer.as_mut()).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(mut error)) => {
                    return Err(match error.take_message() {
                        Some(untouched) => Unsent::Whole(Box::new(untouched)),
                        None => Unsent::Failed(broken(error.error(), progress)),
                    });
                }
                Err(_) => {
                    let next = self.deadline(progress, sent);
                    if next <= Instant::now() {
                        return Err(Unsent::Failed(overdue(progress)));
                    }
                    deadline = next;
                }
            }
        }
    }

    /// When the upstream's silence becomes a fault, as things stand.
    fn deadline(&self, progress: &Progress, sent: Instant) -> Instant {
        match progress.stage() {
            Stage::AwaitingUpstream => progress.since().max(sent) + self.write_timeout,
            Stage::Ended | Stage::Failed => progress.since().max(sent) + self.read_timeout,
            // The client's own slowness is not the upstream's fault.
            Stage::AwaitingClient => Instant::now() + self.write_timeout,
        }
    }

    /// Keeps the `Location` of a call usable through the relay: a path without the base's prefix.
    fn localise(&self, reply: &mut Reply) {
        if reply.head.status != http::StatusCode::CREATED {
            return;
        }
        let headers = &mut reply.head.headers;
        let location = headers
            .get(header::LOCATION)
            .and_then(|value| value.to_str().ok());
        let Some(local) = location.and_then(|text| self.local_path(text)) else {
            return;
        };
        if let Ok(value) = HeaderValue::from_str(&local) {
            headers.insert(header::LOCATION, value);
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

/// Why there is no answer.
enum Unsent {
    /// No byte of the request left: it may go again on another connection.
    Whole(Box<Request<RequestBody>>),
    /// It may have been seen.
    Failed(Fault),
}

fn broken(error: &hyper::Error, progress: &Progress) -> Fault {
    if progress.stage() == Stage::Failed {
        return Fault::ClientBody;
    }
    Fault::Broken(fault::innermost(error))
}

fn overdue(progress: &Progress) -> Fault {
    match progress.stage() {
        Stage::AwaitingUpstream => Fault::WriteTimeout,
        _ => Fault::ReadTimeout,
    }
}

fn bearer(secret: &SecretString) -> Result<HeaderValue, header::InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", secret.expose_secret()))?;
    value.set_sensitive(true);
    Ok(value)
}
