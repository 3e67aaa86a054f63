//! Anything under `/v1/`: the request goes up as it came, the answer comes down as it is.

use ::http::{Request, Response};

use super::body::RelayedBody;
use super::events::EventStream;
use super::exchange::Exchange;
use super::{Relay, Wish};
use crate::admission::Permit;
use crate::error::Refusal;
use crate::upstream::RequestBody;
use crate::wire::{ClientBody, Target};

impl Relay {
    /// Relays one exchange. The returned body carries the Permit to the exchange's end.
    pub async fn http(
        &self,
        permit: Permit,
        target: &Target,
        request: Request<ClientBody>,
    ) -> Result<Response<RelayedBody>, Refusal> {
        let mut exchange = Exchange::new(permit);
        let (head, body) = request.into_parts();
        let version = head.version;
        #[cfg(feature = "panics")]
        super::panics::inject(&head.headers, "before the upstream");
        let body = RequestBody::from_client(body, exchange.sent());
        let wish = Wish {
            method: head.method,
            target: target.as_bytes(),
            headers: head.headers,
            body,
        };
        let mut reply = self.send(&mut exchange, wish).await?;
        #[cfg(feature = "panics")]
        super::panics::inject(reply.headers(), "after the head");
        exchange.answered(reply.status(), reply.headers_mut());
        let events = EventStream::of(reply.headers(), version, self.sse_keepalive);
        Ok(reply.map(|body| RelayedBody::new(body, exchange, events)))
    }
}
