//! Names to addresses, by the system's resolver.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

/// The resolver that connectors ask.
#[derive(Clone, Debug)]
pub(super) struct Resolver;

/// A name that has no address, or a resolver that does not answer.
#[derive(Debug)]
pub(super) struct ResolveError(io::Error);

impl Display for ResolveError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

impl Error for ResolveError {}

type Resolving =
    Pin<Box<dyn Future<Output = Result<vec::IntoIter<SocketAddr>, ResolveError>> + Send>>;

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = ResolveError;
    type Future = Resolving;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let found = found.map_err(ResolveError)?;
            Ok(found.collect::<Vec<_>>().into_iter())
        })
    }
}
