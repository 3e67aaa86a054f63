//! Judge: holds what a caller asks for against the rules of its credential, where that stands in
//! bodies and messages. What cannot be seen is not let through.

mod walk;

use std::sync::Arc;

use ::http::header;
use percent_encoding::percent_decode;

use crate::admission::Principal;
use crate::admission::keys::rules::{Pin, Rules, forbidden};
use crate::error::{Kind, Refusal};
use crate::fields::{self, Fields};
use crate::relay::exchange::Exchange;
use crate::relay::{Relay, Wish};
use crate::upstream::{RequestBody, Sent};
use walk::{Findings, Place, walk};

/// The largest body that is held to be seen, in bytes.
pub(super) const MAX_BODY: usize = 32 * 1024 * 1024;
/// What is said of a larger one.
pub(super) const TOO_LARGE: &str =
    "A body is at most 32 MiB where the credential has a rule `models`: it has to be seen whole.";

/// Routes whose bodies name no model and start none.
const WITHOUT_MODELS: [&str; 7] = [
    "files",
    "uploads",
    "vector_stores",
    "containers",
    "models",
    "conversations",
    "skills",
];
/// Routes whose model is in the path, or in a file.
const UNSEEN: [&str; 3] = ["batches", "engines", "deployments"];

impl Relay {
    /// Holds a request that is about to go up against its caller's rules. A body that has to be seen is
    /// held whole, within what there is for that.
    pub(super) async fn judge<'a>(
        &self,
        judge: &Judge,
        mut wish: Wish<'a>,
    ) -> Result<Wish<'a>, Refusal> {
        let at = memchr::memchr(b'?', wish.target).unwrap_or(wish.target.len());
        let (path, query) = (
            &wish.target[..at],
            wish.target.get(at + 1..).unwrap_or_default(),
        );
        let has_model = judge.query(query)?;
        let kind = Routed::of(path);
        if wish.is_seen || !judge.sees_body(kind) {
            return Ok(wish);
        }
        let body = self.read_whole(wish.body, MAX_BODY, TOO_LARGE).await?;
        judge.body(kind, has_model, &wish.fields, &body)?;
        if !body.is_empty() {
            // It came in whatever pieces and goes up as one.
            wish.fields.remove(&header::CONTENT_LENGTH);
            wish.fields.remove(&header::TRANSFER_ENCODING);
        }
        // Counted when it was read.
        wish.body = RequestBody::whole(body.into_bytes(), Sent::default());
        Ok(wish)
    }
}

/// Judges what a socket asks for.
pub(super) fn judge_target(exchange: &mut Exchange, target: &[u8]) -> Result<(), Refusal> {
    let at = memchr::memchr(b'?', target).unwrap_or(target.len());
    let query = target.get(at + 1..).unwrap_or_default();
    let judged = Judge::of(exchange.principal()).map_or(Ok(false), |judge| judge.query(query));
    judged
        .map(drop)
        .map_err(|refusal| exchange.refused(refusal))
}

/// Judges the session that goes up beside an offer.
pub(super) fn judge_session(
    exchange: &mut Exchange,
    session: &serde_json::Value,
) -> Result<(), Refusal> {
    let judged = Judge::of(exchange.principal()).map_or(Ok(()), |judge| judge.session(session));
    judged.map_err(|refusal| exchange.refused(refusal))
}

/// Judges the model that stands beside an offer whose session the credential knows.
pub(super) fn judge_model(exchange: &mut Exchange, model: Option<&str>) -> Result<(), Refusal> {
    let judge = Judge::of(exchange.principal());
    let judged = match (judge, model) {
        (None, _) => Ok(()),
        (Some(judge), None) => judge.past_the_relay(),
        (Some(judge), Some(model)) => judge.past_the_relay().and_then(|()| judge.model(model)),
    };
    judged.map_err(|refusal| exchange.refused(refusal))
}

/// Judges the model that a token's session turned out to have.
pub(super) fn judge_bound(exchange: &mut Exchange, model: Option<&str>) -> Result<(), Refusal> {
    let judge = Judge::of(exchange.principal());
    let judged = match (judge, model) {
        (Some(judge), Some(model)) => judge.check_model(model),
        _ => Ok(()),
    };
    judged.map_err(|refusal| exchange.refused(refusal))
}

/// What a route's bodies have in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Routed {
    /// A session, or one to be.
    Realtime,
    /// No model, and nothing that starts one.
    WithoutModel,
    /// A model in the path, or in a file.
    Unseen,
    /// Whatever else: a model.
    Model,
}

impl Routed {
    /// By what stands behind `/v1/`, as the upstream may read it.
    fn of(path: &[u8]) -> Routed {
        let path = percent_decode(path).decode_utf8_lossy();
        let path = path.strip_prefix("/v1/").unwrap_or("realtime");
        match path.split('/').next().unwrap_or_default() {
            "realtime" | "live" => Routed::Realtime,
            segment if WITHOUT_MODELS.contains(&segment) => Routed::WithoutModel,
            segment if UNSEEN.contains(&segment) => Routed::Unseen,
            _ => Routed::Model,
        }
    }
}

/// The rules that hold for what one caller sends.
#[derive(Debug)]
pub(super) struct Judge {
    rules: Vec<Arc<Rules>>,
    /// The model that the credential was made for.
    bound: Option<String>,
    /// Whether what goes upstream knows its model already.
    is_ephemeral: bool,
}

impl Judge {
    /// For this caller; `None` where there is nothing to judge.
    pub(super) fn of(principal: &Principal) -> Option<Judge> {
        let is_asked = |rules: &&Arc<Rules>| rules.names_models() || !rules.pinned().is_empty();
        let rules: Vec<Arc<Rules>> = principal.rules().filter(is_asked).cloned().collect();
        let bound = principal.model().map(str::to_owned);
        let judge = Judge {
            rules,
            bound,
            is_ephemeral: principal.is_ephemeral(),
        };
        (!judge.rules.is_empty() || judge.bound.is_some()).then_some(judge)
    }

    /// Whether messages have to be seen.
    pub(super) fn sees_messages(&self) -> bool {
        !self.rules.is_empty()
    }

    fn names_models(&self) -> bool {
        self.rules.iter().any(|rules| rules.names_models())
    }

    fn has_pins(&self) -> bool {
        self.rules.iter().any(|rules| !rules.pinned().is_empty())
    }

    /// Judges a session whose events do not come through the relay: what is pinned could be set there.
    fn past_the_relay(&self) -> Result<(), Refusal> {
        let mut pins = self.rules.iter().flat_map(|rules| rules.pinned());
        match pins.find(|pin| **pin != Pin::Model) {
            None => Ok(()),
            Some(pin) => Err(forbidden(format!(
                "This credential does not let the client set {}: its rule `pinned` lists it, and over WebRTC a page talks to OpenAI past this relay. Connect by WebSocket.",
                pin.name()
            ))),
        }
    }

    fn check_model(&self, model: &str) -> Result<(), Refusal> {
        self.rules
            .iter()
            .try_for_each(|rules| rules.check_model(model))
    }

    /// Judges a query, in any of the ways in which one may be read; whether it names a model.
    pub(super) fn query(&self, query: &[u8]) -> Result<bool, Refusal> {
        let mut has_model = false;
        for pair in query.split(|byte| matches!(byte, b'&' | b';')) {
            let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
            let (name, value) = (&pair[..at], pair.get(at + 1..).unwrap_or_default());
            let name = percent_decode(name).decode_utf8_lossy();
            let stem = name.split('[').next().unwrap_or_default().trim();
            if !stem.eq_ignore_ascii_case("model") {
                continue;
            }
            if name != "model" || has_model {
                return Err(malformed(
                    "The query names a model twice, or in a way that is not clear.",
                ));
            }
            has_model = true;
            self.model(&percent_decode(value).decode_utf8_lossy())?;
        }
        Ok(has_model)
    }

    /// Judges the model of a session.
    fn model(&self, model: &str) -> Result<(), Refusal> {
        self.check_model(model)?;
        match self.bound.as_deref() {
            Some(bound) if bound != model => Err(other_model(model, bound)),
            _ => Ok(()),
        }
    }

    /// Whether a request's body has to be seen.
    fn sees_body(&self, kind: Routed) -> bool {
        match kind {
            Routed::Realtime => self.names_models() || self.has_pins(),
            Routed::WithoutModel => false,
            Routed::Unseen | Routed::Model => self.names_models(),
        }
    }

    /// Judges a body that is there whole.
    fn body(
        &self,
        kind: Routed,
        has_model: bool,
        fields: &Fields,
        body: &[u8],
    ) -> Result<(), Refusal> {
        if body.is_empty() {
            return Ok(());
        }
        if kind == Routed::Unseen {
            return Err(unseen("the model stands elsewhere"));
        }
        if fields.contains(&header::CONTENT_ENCODING) {
            return Err(unseen("it is compressed"));
        }
        let is_realtime = kind == Routed::Realtime;
        match media_type(fields).as_deref() {
            Some("application/json") => self.json(body, is_realtime),
            // A session that is not described is the one of the credential, or of the query.
            Some("application/sdp") if is_realtime && (self.is_ephemeral || has_model) => {
                self.past_the_relay()
            }
            _ => Err(unseen("it is not JSON")),
        }
    }

    fn json(&self, body: &[u8], is_realtime: bool) -> Result<(), Refusal> {
        let found = self.seen(body)?;
        let is_named = found.models.iter().any(|named| match named.place {
            Place::Top => true,
            Place::Session | Place::Transcription => is_realtime,
            Place::Within => false,
        });
        if self.names_models() && !is_named && !self.is_ephemeral {
            return Err(forbidden(
                "This credential has a rule `models`: name the model in the request.",
            )
            .about("model"));
        }
        match is_realtime {
            true if found.has_transport => self.past_the_relay().and_then(|()| self.pins(&found)),
            true => self.pins(&found),
            false => Ok(()),
        }
    }

    /// Judges a session that goes up beside an offer.
    pub(super) fn session(&self, session: &serde_json::Value) -> Result<(), Refusal> {
        self.past_the_relay()?;
        let found = self.seen(session.to_string().as_bytes())?;
        if let Some(bound) = &self.bound
            && let Some(named) = found.models.iter().find(|named| named.place == Place::Top)
            && named.model != *bound
        {
            return Err(other_model(&named.model, bound));
        }
        self.pins(&found)
    }

    /// Judges a message of a client's, in a session with this model.
    pub(super) fn message(&self, text: &[u8], model: Option<&str>) -> Result<(), Refusal> {
        let found = self.seen(text)?;
        self.pins(&found)?;
        let pins_model = self
            .rules
            .iter()
            .any(|rules| rules.pinned().contains(&Pin::Model));
        let is_other = |named: &&walk::Named| {
            matches!(named.place, Place::Top | Place::Session)
                && Some(named.model.as_str()) != model
        };
        if pins_model && found.models.iter().any(|named| is_other(&named)) {
            return Err(pinned(Pin::Model));
        }
        let is_named = found.models.iter().any(|named| named.place == Place::Top);
        if found.has_prompt && self.names_models() && model.is_none() && !is_named {
            return Err(forbidden(
                "This credential has a rule `models`: name the model beside the prompt.",
            )
            .about("model"));
        }
        Ok(())
    }

    fn seen(&self, text: &[u8]) -> Result<Findings, Refusal> {
        let found = walk(text).map_err(|error| {
            malformed(format!(
                "This cannot be held against the rules of this credential: {error}."
            ))
        })?;
        for named in &found.models {
            self.check_model(&named.model)?;
        }
        Ok(found)
    }

    fn pins(&self, found: &Findings) -> Result<(), Refusal> {
        let rules = self.rules.iter().flat_map(|rules| rules.pinned());
        for pin in rules.filter(|pin| **pin != Pin::Model) {
            // A prompt that is kept elsewhere may set any of them.
            if found.has_prompt || found.pins.contains(pin) {
                return Err(pinned(*pin));
            }
        }
        Ok(())
    }
}

fn pinned(pin: Pin) -> Refusal {
    forbidden(format!(
        "This credential does not let the client set {}: its rule `pinned` lists it.",
        pin.name()
    ))
}

pub(super) fn unseen(why: &str) -> Refusal {
    forbidden(format!(
        "This credential has rules on what is asked for, and this cannot be seen: {why}. Send plain JSON."
    ))
}

fn other_model(model: &str, bound: &str) -> Refusal {
    let model: String = model.chars().take(128).collect();
    forbidden(format!(
        "This token is for the model {bound}, not for {model:?}."
    ))
    .about("model")
}

fn malformed(message: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(Kind::Unclear, message)
}

/// The one media type, in lower case, if its charset is what JSON has.
fn media_type(fields: &Fields) -> Option<String> {
    let value = fields.single(&header::CONTENT_TYPE)?;
    let text = fields::text(value)?.to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next()?.to_owned();
    let is_plain = |part: &str| matches!(part, "" | "charset=utf-8" | "charset=\"utf-8\"");
    parts.all(is_plain).then_some(kind)
}
