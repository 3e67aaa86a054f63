//! `POST /offer`: a WebRTC offer in JSON goes up in one of OpenAI's two forms (wire.md 6.2), the
//! answer comes back in JSON. The SDP's own bytes are never trimmed: the last line end matters.

use std::time::Instant;

use ::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::exchange::{Exchange, X_REQUEST_ID};
use super::judge::{judge_model, judge_session};
use super::{Relay, Wish, X_RELAY_MODEL, form, sdp};
use crate::admission::Permit;
use crate::error::{Kind, Refusal};
use crate::fields::Fields;
use crate::upstream::{Fault, Reply, RequestBody};
use crate::wire::Answer;

/// The longest offer, and the longest answer, in bytes.
pub(super) const MAX_SDP: usize = 64 * 1024;
pub(super) const CALLS: &[u8] = b"/v1/realtime/calls";
/// What of an upstream error helps a client, besides its body.
const ERROR_HEADERS: [HeaderName; 4] = [
    X_REQUEST_ID,
    header::RETRY_AFTER,
    HeaderName::from_static("retry-after-ms"),
    HeaderName::from_static("x-should-retry"),
];

/// The JSON body of `/offer`, parsed but not judged yet.
#[derive(Debug, Deserialize)]
pub struct OfferDraft {
    sdp: String,
    model: Option<String>,
    token: Option<String>,
    session: Option<Map<String, Value>>,
}

impl OfferDraft {
    /// The longest body, in bytes.
    pub const MAX_BODY: usize = MAX_SDP;

    /// Parses a body.
    pub fn parse(body: &[u8]) -> Result<OfferDraft, Refusal> {
        serde_json::from_slice(body).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            let what = match error.classify() {
                serde_json::error::Category::Data if error.to_string().starts_with("missing") => {
                    "has no field `sdp`"
                }
                serde_json::error::Category::Data => "does not have the expected fields",
                _ => "is not JSON",
            };
            invalid(format!(
                "The body {what} ({place}). Send {{\"sdp\": \"v=0…\"}} with optional model, token and session."
            ))
        })
    }

    /// The credential that the body carries; a blank one is none.
    pub fn token(&self) -> Option<&str> {
        self.token
            .as_deref()
            .filter(|token| !token.trim().is_empty())
    }

    /// Puts successors in the place of models that have one; the last of them.
    fn replace_models<'a>(
        &mut self,
        successor: impl Fn(&str) -> Option<&'a str>,
    ) -> Option<HeaderValue> {
        let mut replaced = None;
        if let Some(new) = self.model.as_deref().and_then(&successor) {
            self.model = Some(new.to_owned());
            replaced = Some(new);
        }
        let session = self.session.as_mut();
        if let Some(model) = session.and_then(|session| session.get_mut("model"))
            && let Some(new) = model.as_str().and_then(&successor)
        {
            *model = json!(new);
            replaced = replaced.or(Some(new));
        }
        replaced.and_then(|model| HeaderValue::from_str(model).ok())
    }

    /// The session that goes up beside the offer when the server's key pays for it.
    fn session(&self, default_model: &str) -> Value {
        let mut session = self.session.clone().unwrap_or_default();
        session.entry("type").or_insert_with(|| json!("realtime"));
        if let Some(model) = self.model.as_ref().filter(|model| !model.is_empty()) {
            session.insert("model".to_owned(), json!(model));
        }
        session
            .entry("model")
            .or_insert_with(|| json!(default_model));
        Value::Object(session)
    }
}

impl Relay {
    /// Relays one offer, or says what was wrong with it.
    pub async fn offer(
        &self,
        permit: Box<Permit>,
        draft: Result<OfferDraft, Refusal>,
    ) -> Result<Answer<Bytes>, Refusal> {
        let mut exchange = Exchange::new(permit);
        let start = Instant::now();
        let checked = draft.and_then(|offer| {
            let checked = sdp::check_offer(&offer.sdp);
            checked.map_err(|problem| invalid(problem).about("sdp"))?;
            Ok(offer)
        });
        let mut offer = checked.map_err(|refusal| exchange.refused(refusal))?;
        let replaced = offer.replace_models(|model| self.replace_model(model));
        let (content_type, body) = if exchange.is_ephemeral() {
            judge_model(&mut exchange, offer.model.as_deref())?;
            let sdp = HeaderValue::from_static("application/sdp");
            (sdp, Bytes::from(offer.sdp))
        } else {
            let session = offer.session(&self.realtime_model);
            judge_session(&mut exchange, &session)?;
            form::write(&offer.sdp, &session)
        };
        let wish = Wish {
            method: Method::POST,
            target: CALLS,
            fields: Fields::from_iter([(header::CONTENT_TYPE, content_type)]),
            body: RequestBody::whole(body, exchange.sent()),
            is_seen: true,
        };
        let reply = self.send(&mut exchange, wish).await?;
        let said = read_whole(reply).await;
        let answer = said.and_then(|said| said.into_answer(start));
        let mut answer = answer.map_err(|fault| exchange.faulted(&fault))?;
        if let Some(model) = replaced {
            answer.fields.insert(&X_RELAY_MODEL, &model);
        }
        exchange.answered(answer.status, &mut answer.fields);
        exchange.sent_down(answer.body.len());
        exchange.completed();
        Ok(answer)
    }
}

/// What the upstream said, whole.
struct Said(Answer<Bytes>);

async fn read_whole(reply: Reply) -> Result<Said, Fault> {
    let Answer {
        status,
        reason,
        fields,
        body,
    } = reply;
    let body = Limited::new(body, MAX_SDP).collect().await;
    let body = body.map_err(|error| match error.downcast::<Fault>() {
        Ok(fault) => *fault,
        Err(_) => Fault::Broken("its SDP answer is longer than 64 KiB".to_owned()),
    })?;
    Ok(Said(Answer {
        status,
        reason,
        fields,
        body: body.to_bytes(),
    }))
}

impl Said {
    fn into_answer(self, start: Instant) -> Result<Answer<Bytes>, Fault> {
        if !self.0.status.is_success() {
            return Ok(self.into_error());
        }
        let sdp = std::str::from_utf8(&self.0.body).ok();
        let Some(sdp) = sdp.filter(|sdp| sdp.starts_with("v=0")) else {
            return Err(Fault::Broken("its answer is not SDP".to_owned()));
        };
        let body = json!({
            "sdp": sdp,
            "relayed": true,
            "duration": u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
            "callId": self.call_id(),
        });
        Ok(self.answer(StatusCode::OK, &body))
    }

    fn call_id(&self) -> Option<&str> {
        call_id(self.0.fields.text(&header::LOCATION)?)
    }

    /// An error of the upstream's, with its message where a person looks for it.
    fn into_error(self) -> Answer<Bytes> {
        let status = if self.0.status.is_redirection() {
            StatusCode::BAD_GATEWAY
        } else {
            self.0.status
        };
        let sent: Value = serde_json::from_slice(&self.0.body).unwrap_or_default();
        let message = match sent["error"]["message"].as_str() {
            Some(message) => message.to_owned(),
            None => format!("OpenAI answered {} without a reason.", self.0.status),
        };
        let error = match sent.get("error") {
            Some(error) => error.clone(),
            None => {
                json!({ "message": message, "type": "upstream_error", "param": null, "code": null })
            }
        };
        let body = json!({ "error": error, "message": message });
        self.answer(status, &body)
    }

    /// An answer in JSON, with what of the upstream's fields helps a client.
    fn answer(&self, status: StatusCode, body: &Value) -> Answer<Bytes> {
        let mut answer = Answer::new(status, Bytes::from(body.to_string()));
        let json = HeaderValue::from_static("application/json");
        answer.fields.append(&header::CONTENT_TYPE, &json);
        for name in ERROR_HEADERS {
            let value = self.0.fields.get(&name).map(HeaderValue::from_bytes);
            if let Some(Ok(value)) = value {
                answer.fields.append(&name, &value);
            }
        }
        answer
    }
}

/// The last segment of `Location: /v1/realtime/calls/rtc_…`.
pub(super) fn call_id(location: &str) -> Option<&str> {
    let last = location.split(['?', '#']).next()?.rsplit('/').next()?;
    (!last.is_empty()).then_some(last)
}

pub(super) fn invalid(problem: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(Kind::InvalidOffer, problem)
}
