//! The HTTP routes of the retired Realtime beta, served by those of GA (wire.md 5.3): keys are
//! minted by `client_secrets`, and a bare offer becomes a call.

use ::http::{HeaderValue, Method, header};
use bytes::Bytes;
use serde_json::json;

use super::beta::{Kind, Rewritten, Translator};
use super::body::{Answered, RelayedBody};
use super::exchange::Exchange;
use super::judge::{judge_model, judge_session};
use super::offer::{CALLS, MAX_SDP, invalid};
use super::secret::{MAX_SECRET, SECRETS, TOO_LARGE, read_answer, told};
use super::{Relay, Wish, X_RELAY_MODEL, form, sdp};
use crate::admission::TokenTerms;
use crate::config::Beta;
use crate::error::Refusal;
use crate::fields::Fields;
use crate::upstream::{RequestBody, strip_beta};
use crate::wire::{Answer, ClientBody, Request, Target, read_whole};

/// What a retired route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retired {
    /// A key for a session of this kind.
    Secret(Kind),
    /// An answer to a WebRTC offer.
    Call,
}

impl Relay {
    /// Which retired route a request is for, if any and if they are translated.
    pub(super) fn retired(&self, request: &Request<ClientBody>) -> Option<Retired> {
        if self.rules.beta != Beta::Translate || request.method != Method::POST {
            return None;
        }
        match request.target.path() {
            b"/v1/realtime/sessions" => Some(Retired::Secret(Kind::Realtime)),
            b"/v1/realtime/transcription_sessions" => Some(Retired::Secret(Kind::Transcription)),
            b"/v1/realtime" if is_sdp(&request.fields) => Some(Retired::Call),
            _ => None,
        }
    }

    /// Answers it.
    pub(super) async fn revive(
        &self,
        exchange: Exchange,
        retired: Retired,
        request: Request<ClientBody>,
    ) -> Result<Answer<Answered>, Refusal> {
        let Request {
            target,
            mut fields,
            body,
            ..
        } = request;
        strip_beta(&mut fields);
        fields.remove(&header::CONTENT_LENGTH);
        fields.remove(&header::EXPECT);
        match retired {
            Retired::Secret(kind) => self.mint(exchange, kind, fields, body).await,
            Retired::Call => self.call(exchange, &target, fields, body).await,
        }
    }

    async fn mint(
        &self,
        mut exchange: Exchange,
        kind: Kind,
        mut fields: Fields,
        body: ClientBody,
    ) -> Result<Answer<Answered>, Refusal> {
        let keeps = self.sealing.keeps_secrets_of(exchange.principal());
        let keeps = keeps.map_err(|refusal| exchange.refused(refusal))?;
        let terms = TokenTerms::of_page(fields.text(&header::ORIGIN));
        let body = self.read_whole(body, MAX_SECRET, TOO_LARGE).await;
        let mut body = body.map_err(|refusal| exchange.refused(refusal))?;
        let mut translator = Translator::new(kind, self.aliases.clone());
        let rewritten = translator.secret_request(&body);
        let replaced = rewritten
            .as_ref()
            .and_then(|rewritten| self.note(rewritten));
        if let Some(rewritten) = rewritten {
            body.replace(rewritten.text);
        }
        // The answer is read.
        fields.remove(&header::ACCEPT_ENCODING);
        let wish = Wish {
            method: Method::POST,
            target: SECRETS,
            fields,
            body: RequestBody::whole(body.into_bytes(), exchange.sent()),
            is_seen: false,
        };
        let mut reply = self.send(&mut exchange, wish).await?;
        exchange.answered(reply.status, &mut reply.fields);
        if let Some(model) = replaced {
            reply.fields.insert(&X_RELAY_MODEL, &model);
        }
        if !reply.status.is_success() {
            return Ok(relayed(exchange, reply));
        }
        let mut answer = read_answer(&mut exchange, reply).await?;
        if keeps {
            answer.body = self.seal(&mut exchange, &answer.body, &terms)?;
        }
        if let Some(translated) = translator.secret_answer(&answer.body) {
            answer.body = Bytes::from(translated);
        }
        Ok(told(exchange, answer))
    }

    /// What the client asked for in vain is logged, a model that was replaced is told.
    fn note(&self, rewritten: &Rewritten) -> Option<HeaderValue> {
        if !rewritten.notes.dropped.is_empty() {
            let dropped = rewritten.notes.dropped.join(", ");
            tracing::info!(
                dropped,
                "a beta session asks for what GA does not take; it is left out"
            );
        }
        let (old, _) = rewritten.notes.model.as_ref()?;
        HeaderValue::from_str(self.replace_model(old)?).ok()
    }

    async fn call(
        &self,
        mut exchange: Exchange,
        target: &Target,
        mut fields: Fields,
        body: ClientBody,
    ) -> Result<Answer<Answered>, Refusal> {
        let body = read_whole(body, MAX_SDP, "An offer is at most 64 KiB of SDP.").await;
        let offer = body.and_then(|body| {
            let offer = String::from_utf8(body.into());
            let offer = offer.map_err(|_| invalid("The offer is not text."))?;
            sdp::check_offer(&offer).map_err(invalid)?;
            Ok(offer)
        });
        let offer = offer.map_err(|refusal| exchange.refused(refusal))?;
        let asked = target.parameter("model").filter(|model| !model.is_empty());
        let asked = asked.unwrap_or(&self.realtime_model);
        let replaced = self.replace_model(asked);
        let body = if exchange.is_ephemeral() {
            // The key knows its session.
            judge_model(&mut exchange, None)?;
            Bytes::from(offer)
        } else {
            let session = json!({ "type": "realtime", "model": replaced.unwrap_or(asked) });
            judge_session(&mut exchange, &session)?;
            let (content_type, body) = form::write(&offer, &session);
            fields.insert(&header::CONTENT_TYPE, &content_type);
            body
        };
        let wish = Wish {
            method: Method::POST,
            target: CALLS,
            fields,
            body: RequestBody::whole(body, exchange.sent()),
            is_seen: true,
        };
        let mut reply = self.send(&mut exchange, wish).await?;
        exchange.answered(reply.status, &mut reply.fields);
        if let Some(model) = replaced.and_then(|model| HeaderValue::from_str(model).ok()) {
            reply.fields.insert(&X_RELAY_MODEL, &model);
        }
        Ok(relayed(exchange, reply))
    }
}

fn relayed(exchange: Exchange, reply: crate::upstream::Reply) -> Answer<Answered> {
    reply.map(|body| Answered::Relayed(RelayedBody::new(body, exchange, None)))
}

fn is_sdp(fields: &Fields) -> bool {
    let kind = fields.text(&header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/sdp")
}
