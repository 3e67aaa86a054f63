//! Fault: what can go wrong between the relay and the upstream, and how the client hears of it.

use std::error::Error;
use std::fmt::{self, Display, Formatter};

use crate::error::{Kind, Refusal};
use crate::wire::BodyError;

/// A failed attempt to get an answer from the upstream.
#[derive(Debug)]
pub enum Fault {
    /// The name could not be resolved.
    Dns(String),
    /// The connection was refused or broke before it stood.
    Connect(String),
    /// TLS could not be agreed on, or the certificate is not trusted.
    Tls(String),
    /// The outbound proxy did not open the way.
    Proxy(String),
    /// Connecting took longer than `OPENAI_CONNECT_TIMEOUT`.
    ConnectTimeout,
    /// No connection became free within `OPENAI_POOL_TIMEOUT`.
    PoolTimeout,
    /// Nothing was heard for `OPENAI_READ_TIMEOUT`.
    ReadTimeout,
    /// No byte of the request's body was taken for `OPENAI_WRITE_TIMEOUT`.
    WriteTimeout,
    /// The connection closed, or what came over it is not HTTP.
    Broken(String),
    /// The client's own body ended badly.
    Client(BodyError),
}

/// The last cause of an error: the one that says what really happened.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

impl Fault {
    /// Whether it is the upstream's, not the client's.
    pub fn is_upstreams(&self) -> bool {
        !matches!(self, Fault::Client(_))
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Dns(why) => write!(f, "the upstream's name could not be resolved: {why}"),
            Fault::Connect(why) => write!(f, "the upstream could not be reached: {why}"),
            Fault::Tls(why) => write!(f, "TLS with the upstream failed: {why}"),
            Fault::Proxy(why) => write!(f, "the outbound proxy did not open the way: {why}"),
            Fault::ConnectTimeout => f.write_str("connecting to the upstream took too long"),
            Fault::PoolTimeout => f.write_str("all connections to the upstream are busy"),
            Fault::ReadTimeout => f.write_str("the upstream stayed silent too long"),
            Fault::WriteTimeout => f.write_str("the upstream stopped taking the request's body"),
            Fault::Broken(why) => write!(f, "the upstream broke off: {why}"),
            Fault::Client(error) => write!(f, "{error}"),
        }
    }
}

impl Error for Fault {}

impl From<&Fault> for Refusal {
    /// The causes stay in the relay's own log: they tell of its network.
    fn from(fault: &Fault) -> Refusal {
        match fault {
            Fault::Dns(_) => Refusal::new(Kind::UpstreamDns, "The relay could not resolve OpenAI's name. The operator can check DNS and OPENAI_BASE_URL."),
            Fault::Connect(_) => Refusal::new(Kind::UpstreamUnreachable, "The relay could not reach OpenAI. Try again; the operator can run `openai-relay check`."),
            Fault::Tls(_) => Refusal::new(Kind::UpstreamTls, "The relay could not agree on TLS with OpenAI. The operator can run `openai-relay check`, and add an inspection proxy's authority with OPENAI_CA_FILE."),
            Fault::Proxy(_) => Refusal::new(Kind::UpstreamProxy, "The relay's outbound proxy did not open the way to OpenAI. The operator can check HTTPS_PROXY, ALL_PROXY and NO_PROXY."),
            Fault::ConnectTimeout => Refusal::new(Kind::UpstreamConnectTimeout, "Connecting to OpenAI took too long (OPENAI_CONNECT_TIMEOUT). Try again."),
            Fault::PoolTimeout => Refusal::new(Kind::UpstreamBusy, "All of the relay's connections to OpenAI are busy (OPENAI_POOL_TIMEOUT). Try again shortly.").retry_after(1),
            Fault::ReadTimeout => Refusal::new(Kind::UpstreamTimeout, "OpenAI stayed silent for longer than OPENAI_READ_TIMEOUT."),
            Fault::WriteTimeout => Refusal::new(Kind::UpstreamWriteTimeout, "OpenAI took no byte of the request for longer than OPENAI_WRITE_TIMEOUT."),
            Fault::Broken(_) => Refusal::new(Kind::UpstreamBroken, "OpenAI closed the connection before an answer, or sent something that is not HTTP."),
            Fault::Client(error) => Refusal::from(*error),
        }
    }
}
