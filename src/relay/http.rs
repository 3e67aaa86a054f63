//! Anything under `/v1/`: the request goes up as it came, the answer comes down as it is.

use ::http::uri::PathAndQuery;
use ::http::{Request, Response};
use hyper::body::Incoming;

use super::Relay;
use super::body::RelayedBody;
use super::exchange::Exchange;
use crate::admission::Permit;
use crate::error::Refusal;
use crate::upstream::{Outgoing, RequestBody};

impl Relay {
    /// Relays one exchange. The returned body carries the Permit to the exchange's end.
    pub async fn http(
        &self,
        permit: Permit,
        request: Request<Incoming>,
    ) -> Result<Response<RelayedBody>, Refusal> {
        let mut exchange = Exchange::new(permit);
        let (head, body) = request.into_parts();
        let body = RequestBody::from_client(body, exchange.progress());
        let outgoing = Outgoing {
            method: head.method,
            target: head
                .uri
                .into_parts()
                .path_and_query
                .unwrap_or(PathAndQuery::from_static("/")),
            headers: head.headers,
            credential: exchange.credential(),
            may_name_organization: exchange.may_name_organization(),
            body,
        };
        let mut reply = match self.upstream.send(outgoing).await {
            Ok(reply) => reply,
            Err(fault) => return Err(exchange.faulted(&fault)),
        };
        exchange.answered(reply.head.status, &mut reply.head.headers);
        let mut response = Response::new(RelayedBody::new(reply.body, exchange));
        *response.status_mut() = reply.head.status;
        *response.headers_mut() = reply.head.headers;
        // Carries the reason phrase.
        *response.extensions_mut() = reply.head.extensions;
        Ok(response)
    }
}
