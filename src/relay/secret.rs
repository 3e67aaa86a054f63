//! Minting where OpenAI's credential stays within the relay: the client gets a sealed token in the same
//! shape, with OpenAI's inside, which goes up in its place when the token is shown.

use std::pin::pin;

use ::http::{Method, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};

use super::body::{Answered, RelayedBody};
use super::exchange::Exchange;
use super::json::Object;
use super::judge::judge_bound;
use super::{Relay, Wish};
use crate::admission::Permit;
use crate::admission::TokenTerms;
use crate::admission::keys::rules::{RulesText, forbidden};
use crate::error::{Kind, Refusal};
use crate::upstream::{Fault, Reply, RequestBody};
use crate::wire::{Answer, ClientBody, Request};

pub(super) const SECRETS: &[u8] = b"/v1/realtime/client_secrets";
const TRANSLATION_SECRETS: &[u8] = b"/v1/realtime/translations/client_secrets";
const CHATKIT: &[u8] = b"/v1/chatkit/sessions";
const NO_CHATKIT: &str = "ChatKit takes OpenAI's own credentials to OpenAI itself, and this relay keeps those. Ask with RELAY_TOKEN, or let the operator set CLIENT_SECRETS=passthrough.";
/// The largest body that asks for a key, and the largest that holds one, in bytes.
pub(super) const MAX_SECRET: usize = 256 * 1024;
pub(super) const TOO_LARGE: &str = "A session is at most 256 KiB of JSON here.";
/// The field of a request that is the relay's own: rules for the token.
const RULES: &str = "relay_rules";
/// How long OpenAI's credentials live unless said otherwise, in seconds (wire.md 6.1).
const LIFE_S: i64 = 600;

impl Relay {
    /// Answers whoever makes an OpenAI credential.
    pub async fn secret(
        &self,
        permit: Box<Permit>,
        request: Box<Request<ClientBody>>,
    ) -> Result<Answer<Answered>, Refusal> {
        let keeps = self.sealing.keeps_secrets_of(permit.principal());
        if let Ok(false) = keeps {
            return self.http(permit, request).await;
        }
        let mut exchange = Exchange::new(permit);
        keeps.map_err(|refusal| exchange.refused(refusal))?;
        if let Some(retired) = self.retired(&request) {
            return Box::pin(self.revive(exchange, retired, *request)).await;
        }
        if request.method != Method::POST {
            let refusal = Refusal::new(Kind::MethodNotAllowed, "Use POST.").allow("POST");
            return Err(exchange.refused(refusal));
        }
        let Request {
            target,
            mut fields,
            body,
            ..
        } = *request;
        if !matches!(target.path(), SECRETS | TRANSLATION_SECRETS) {
            let refusal = forbidden(match target.path() {
                CHATKIT => NO_CHATKIT,
                _ => {
                    "Tokens are made by POST /v1/realtime/client_secrets here: OpenAI's own credentials stay within this relay."
                }
            });
            return Err(exchange.refused(refusal));
        }
        let body = self.read_whole(body, MAX_SECRET, TOO_LARGE).await;
        let origin = fields.text(&header::ORIGIN);
        let read = body.and_then(|body| read_request(&body.into_bytes(), origin));
        let (body, terms) = read.map_err(|refusal| exchange.refused(refusal))?;
        // OpenAI's credential would be made in vain.
        let rules = terms.rules.read();
        rules.map_err(|refusal| exchange.refused(refusal))?;
        fields.remove(&header::CONTENT_LENGTH);
        fields.remove(&header::EXPECT);
        // The answer is read.
        fields.remove(&header::ACCEPT_ENCODING);
        let wish = Wish {
            method: Method::POST,
            target: target.as_bytes(),
            fields,
            body: RequestBody::whole(body, exchange.sent()),
            is_seen: false,
        };
        let mut reply = self.send(&mut exchange, wish).await?;
        exchange.answered(reply.status, &mut reply.fields);
        if !reply.status.is_success() {
            return Ok(reply.map(|body| Answered::Relayed(RelayedBody::new(body, exchange, None))));
        }
        let mut answer = read_answer(&mut exchange, reply).await?;
        answer.body = self.seal(&mut exchange, &answer.body, &terms)?;
        Ok(told(exchange, answer))
    }

    /// An answer of `client_secrets` with a token in the place of OpenAI's credential, wherever that
    /// stands.
    pub(super) fn seal(
        &self,
        exchange: &mut Exchange,
        answer: &[u8],
        terms: &TokenTerms,
    ) -> Result<Bytes, Refusal> {
        let broken = |exchange: &mut Exchange| {
            let why = "its answer holds no credential to keep".to_owned();
            exchange.faulted(&Fault::Broken(why))
        };
        let (Some(mut parsed), Ok(text)) = (Object::parse(answer), std::str::from_utf8(answer))
        else {
            return Err(broken(exchange));
        };
        let secret = parsed.string("value").filter(|value| value.len() >= 8);
        let Some(secret) = secret else {
            return Err(broken(exchange));
        };
        let expires_at = parsed
            .get("expires_at")
            .and_then(|at| at.text()?.parse().ok());
        let expires_at_s = expires_at.unwrap_or_else(|| now_s() + LIFE_S);
        let asked = terms.model.clone();
        let model = asked.or_else(|| parsed.object("session")?.string("model"));
        judge_bound(exchange, model.as_deref())?;
        let terms = TokenTerms {
            model,
            ..terms.clone()
        };
        let minted = self
            .sealing
            .mint(exchange.principal(), expires_at_s, &terms, Some(&secret));
        let minted = minted.map_err(|refusal| exchange.refused(refusal))?;
        let sealed = text.replace(&secret, &minted.token);
        // Written with escapes, it would still be there.
        let mut sealed_object = Object::parse(sealed.as_bytes());
        let value = sealed_object
            .as_mut()
            .and_then(|object| object.string("value"));
        match value.as_deref() == Some(&minted.token) {
            true => Ok(Bytes::from(sealed)),
            false => Err(broken(exchange)),
        }
    }
}

/// What goes up of a request, and what the token is to be for.
fn read_request(body: &Bytes, page: Option<&str>) -> Result<(Bytes, TokenTerms), Refusal> {
    let mut terms = TokenTerms::of_page(page);
    let Some(mut request) = Object::parse(body) else {
        // The upstream says what is wrong.
        return Ok((body.clone(), terms));
    };
    if let Some(session) = request.object("session") {
        if session.get(RULES).is_some() {
            return Err(Refusal::new(
                Kind::Unclear,
                "`relay_rules` stands beside `session`, not in it.",
            )
            .about(RULES));
        }
        terms.model = session.string("model");
    }
    let Some(rules) = request.take(RULES) else {
        return Ok((body.clone(), terms));
    };
    let read = rules.text().map(serde_json::from_str::<RulesText>);
    match read {
        Some(Ok(rules)) => terms.set_rules(rules),
        _ => {
            return Err(Refusal::new(
                Kind::Unclear,
                "`relay_rules` must be an object with families, models, origins, addresses, limits, pinned, organization or on_leave.",
            )
            .about(RULES));
        }
    }
    Ok((Bytes::from(request.to_text()), terms))
}

/// An answer that is read whole.
pub(super) async fn read_answer(
    exchange: &mut Exchange,
    reply: Reply,
) -> Result<Answer<Bytes>, Refusal> {
    let Answer {
        status,
        reason,
        fields,
        body,
    } = reply;
    let mut revocation = exchange.revocation();
    let answer = pin!(Limited::new(body, MAX_SECRET).collect());
    let answer = revocation.unless(answer).await;
    let answer = answer.ok_or_else(|| exchange.revoked())?;
    let answer = answer.map_err(|error| {
        let fault = match error.downcast::<Fault>() {
            Ok(fault) => *fault,
            Err(_) => Fault::Broken("its answer is longer than 256 KiB".to_owned()),
        };
        exchange.faulted(&fault)
    })?;
    Ok(Answer {
        status,
        reason,
        fields,
        body: answer.to_bytes(),
    })
}

/// An answer that was read whole, and may have another length since.
pub(super) fn told(mut exchange: Exchange, mut answer: Answer<Bytes>) -> Answer<Answered> {
    answer.fields.remove(&header::CONTENT_LENGTH);
    exchange.sent_down(answer.body.len());
    exchange.completed();
    answer.map(Answered::Whole)
}

fn now_s() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}
