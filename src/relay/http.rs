//! Anything under `/v1/`: the request goes up as it came, the answer comes down as it is.

use std::borrow::Cow;

use ::http::{HeaderValue, header};

use super::beta::renew_session;
use super::body::{Answered, RelayedBody};
use super::events::EventStream;
use super::exchange::Exchange;
use super::live::makes_session;
use super::offer::CALLS;
use super::{Relay, Wish, X_RELAY_MODEL, form};
use crate::admission::Permit;
use crate::error::Refusal;
use crate::fields::Fields;
use crate::upstream::RequestBody;
use crate::wire::{Answer, ClientBody, Request, Target};

/// The longest form of a call, in bytes.
const MAX_CALL: usize = 256 * 1024;

impl Relay {
    /// Relays one exchange. The returned body carries the Permit to the exchange's end.
    pub async fn http(
        &self,
        permit: Box<Permit>,
        request: Box<Request<ClientBody>>,
    ) -> Result<Answer<Answered>, Refusal> {
        let mut exchange = Exchange::new(permit);
        if let Some(retired) = self.retired(&request) {
            return Box::pin(self.revive(exchange, retired, *request)).await;
        }
        let Request {
            method,
            target,
            version,
            mut fields,
            body,
            ..
        } = *request;
        #[cfg(feature = "panics")]
        super::panics::inject(&fields, "before the upstream");
        let (sent, mut replaced) = self.renewed(&target);
        let body = if names_session(&target, &fields) {
            let renewed = Box::pin(self.renew_call(&mut exchange, &mut fields, body));
            let (body, model) = renewed.await?;
            replaced = replaced.or(model);
            body
        } else {
            RequestBody::from_client(body, exchange.sent())
        };
        let is_noted = exchange.principal().name().is_some() && makes_session(&method, &target);
        if is_noted {
            // The answer is read.
            fields.remove(&header::ACCEPT_ENCODING);
        }
        let wish = Wish {
            method,
            target: &sent,
            fields,
            body,
            is_seen: false,
        };
        let mut reply = self.send(&mut exchange, wish).await?;
        #[cfg(feature = "panics")]
        super::panics::inject(&reply.fields, "after the head");
        exchange.answered(reply.status, &mut reply.fields);
        if let Some(model) = replaced {
            reply.fields.insert(&X_RELAY_MODEL, &model);
        }
        if is_noted && reply.status.is_success() {
            return Box::pin(self.note_session(exchange, reply)).await;
        }
        let events = EventStream::of(&reply.fields, version, self.sse_keepalive);
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

    /// The form of a call, in which the session may name a model that has a successor.
    async fn renew_call(
        &self,
        exchange: &mut Exchange,
        fields: &mut Fields,
        body: ClientBody,
    ) -> Result<(RequestBody, Option<HeaderValue>), Refusal> {
        let too_large = "A call's offer and session are at most 256 KiB here.";
        let body = self.read_whole(body, MAX_CALL, too_large).await;
        let mut body = body.map_err(|refusal| exchange.refused(refusal))?;
        let place = fields
            .text(&header::CONTENT_TYPE)
            .and_then(form::boundary)
            .and_then(|boundary| form::part(&body, boundary, "session"));
        let mut replaced = None;
        if let Some(place) = place
            && let Some((session, model)) =
                renew_session(&body[place.clone()], |model| self.replace_model(model))
        {
            let renewed = [&body[..place.start], &session, &body[place.end..]].concat();
            body.replace(renewed);
            replaced = HeaderValue::from_str(model).ok();
        }
        fields.remove(&header::CONTENT_LENGTH);
        fields.remove(&header::EXPECT);
        Ok((
            RequestBody::whole(body.into_bytes(), exchange.sent()),
            replaced,
        ))
    }
}

/// Whether it is a call whose session lies beside the offer, in a form that can be read.
fn names_session(target: &Target, fields: &Fields) -> bool {
    target.path() == CALLS
        && !fields.contains(&header::CONTENT_ENCODING)
        && fields
            .text(&header::CONTENT_TYPE)
            .is_some_and(|kind| form::boundary(kind).is_some())
}
