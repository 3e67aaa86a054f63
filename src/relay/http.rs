//! Anything under `/v1/`: the request goes up as it came, the answer comes down as it is.

use std::borrow::Cow;

use ::http::{HeaderValue, Request, Response};

use super::body::{Answered, RelayedBody};
use super::events::EventStream;
use super::exchange::Exchange;
use super::offer::CALLS;
use super::{Relay, Wish, X_RELAY_MODEL};
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
    ) -> Result<Response<Answered>, Refusal> {
        let mut exchange = Exchange::new(permit);
        if let Some(retired) = self.retired(target, &request) {
            return self.revive(exchange, retired, target, request).await;
        }
        let (head, body) = request.into_parts();
        let version = head.version;
        #[cfg(feature = "panics")]
        super::panics::inject(&head.headers, "before the upstream");
        let body = RequestBody::from_client(body, exchange.sent());
        let (sent, replaced) = self.renewed(target);
        let wish = Wish {
            method: head.method,
            target: &sent,
            headers: head.headers,
            body,
            is_seen: false,
        };
        let mut reply = self.send(&mut exchange, wish).await?;
        #[cfg(feature = "panics")]
        super::panics::inject(reply.headers(), "after the head");
        exchange.answered(reply.status(), reply.headers_mut());
        if let Some(model) = replaced {
            reply.headers_mut().insert(X_RELAY_MODEL, model);
        }
        let events = EventStream::of(reply.headers(), version, self.sse_keepalive);
        Ok(reply.map(|body| Answered::Relayed(RelayedBody::new(body, exchange, events))))
    }

    /// The target, in which a call may name a model that has a successor.
    fn renewed<'a>(&self, target: &'a Target) -> (Cow<'a, [u8]>, Option<HeaderValue>) {
        if target.path() == CALLS
            && let (renewed, Some(model)) = self.renew(target.query())
        {
            let sent = [CALLS, b"?", &renewed].concat();
            return (Cow::Owned(sent), HeaderValue::from_str(model).ok());
        }
        (Cow::Borrowed(target.as_bytes()), None)
    }
}
