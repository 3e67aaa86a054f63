//! `/api/v1/chat`: the chat routes of an older accounts API, over the same trunk as `/v1`. A
//! request's fields go up as they were sent, but for `stream` and, where there is none, `model`.

use std::borrow::Cow;
use std::fmt::{self, Formatter};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::http::{HeaderValue, Method, StatusCode, Version, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::body::{Answered, RelayedBody};
use super::events::EventStream;
use super::exchange::Exchange;
use super::{Relay, Wish, X_RELAY_MODEL};
use crate::admission::Permit;
use crate::error::{Problem, Refusal};
use crate::fields;
use crate::upstream::{Fault, Reply, RequestBody};
use crate::wire::{Answer, ClientBody, Request};

/// The largest request, in bytes: images may be inside.
const MAX_REQUEST: usize = 32 * 1024 * 1024;
/// What a request grows by at the most, but for a long name of a model, in bytes.
const ADDED: usize = 64;
/// The largest error that gets a `detail`, and the largest list of models, in bytes.
const MAX_ERROR: usize = 64 * 1024;
const MAX_LIST: usize = 8 * 1024 * 1024;
/// How long the list of models is told again.
const REMEMBERED: Duration = Duration::from_secs(60);

const COMPLETIONS: &[u8] = b"/v1/chat/completions";
const MODELS: &[u8] = b"/v1/models";

/// What is asked of the chat routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chat {
    /// A completion, whole.
    Completion,
    /// A completion as events.
    Stream,
    /// The list of models.
    Models,
}

/// The list of models as it was last told.
pub(super) type KnownModels = Mutex<Option<(Instant, Bytes)>>;

impl Relay {
    /// Answers a request to one of the chat routes.
    pub async fn chat(
        &self,
        permit: Box<Permit>,
        chat: Chat,
        request: Request<ClientBody>,
    ) -> Result<Answer<Answered>, Refusal> {
        let exchange = Exchange::new(permit);
        match chat {
            Chat::Models => self.models(exchange).await,
            _ => {
                self.completion(exchange, chat == Chat::Stream, request)
                    .await
            }
        }
    }

    async fn completion(
        &self,
        mut exchange: Exchange,
        is_streamed: bool,
        request: Request<ClientBody>,
    ) -> Result<Answer<Answered>, Refusal> {
        let Request {
            version,
            mut fields,
            body,
            ..
        } = request;
        let too_large = "A chat request is at most 32 MiB here.";
        let body = self.read_whole(body, MAX_REQUEST, too_large).await;
        let rewritten = body.and_then(|mut body| {
            body.make_room(body.len() + ADDED)?;
            let successor = |model: &str| self.replace_model(model);
            let (sent, replaced) = rewrite(&body, is_streamed, &self.default_model, successor)?;
            body.replace(sent);
            Ok((body.into_bytes(), replaced))
        });
        let (body, replaced) = rewritten.map_err(|refusal| exchange.refused(refusal))?;
        for name in [
            header::CONTENT_LENGTH,
            header::EXPECT,
            // An error gets a field more, so it must be readable.
            header::ACCEPT_ENCODING,
        ] {
            fields.remove(&name);
        }
        let json = HeaderValue::from_static("application/json");
        fields.insert(&header::CONTENT_TYPE, &json);
        let wish = Wish {
            method: Method::POST,
            target: COMPLETIONS,
            fields,
            body: RequestBody::whole(body, exchange.sent()),
            is_seen: false,
        };
        let mut reply = self.send(&mut exchange, wish).await?;
        exchange.answered(reply.status, &mut reply.fields);
        if let Some(model) = replaced {
            reply.fields.insert(&X_RELAY_MODEL, &model);
        }
        if !reply.status.is_success() {
            return explain(exchange, reply).await;
        }
        Ok(self.relayed(exchange, reply, version))
    }

    fn relayed(&self, exchange: Exchange, reply: Reply, version: Version) -> Answer<Answered> {
        let events = EventStream::of(&reply.fields, version, self.sse_keepalive);
        reply.map(|body| Answered::Relayed(RelayedBody::new(body, exchange, events)))
    }

    async fn models(&self, mut exchange: Exchange) -> Result<Answer<Answered>, Refusal> {
        if let Some(list) = self.known_models() {
            return Ok(told(exchange, list));
        }
        let wish = Wish {
            method: Method::GET,
            target: MODELS,
            fields: fields::Fields::new(),
            body: RequestBody::whole(Bytes::new(), exchange.sent()),
            is_seen: false,
        };
        let mut reply = self.send(&mut exchange, wish).await?;
        if !reply.status.is_success() {
            exchange.answered(reply.status, &mut reply.fields);
            return explain(exchange, reply).await;
        }
        let mut revocation = exchange.revocation();
        let list = pin!(Limited::new(reply.body, MAX_LIST).collect());
        let list = revocation.unless(list).await;
        let list = list.ok_or_else(|| exchange.revoked())?;
        let list = list.ok().and_then(|list| ids(&list.to_bytes()));
        let list = list.ok_or_else(|| {
            let why = "its list of models cannot be read".to_owned();
            exchange.faulted(&Fault::Broken(why))
        })?;
        let mut known = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((Instant::now(), list.clone()));
        drop(known);
        Ok(told(exchange, list))
    }

    fn known_models(&self) -> Option<Bytes> {
        let known = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, list) = known.as_ref()?;
        (at.elapsed() < REMEMBERED).then(|| list.clone())
    }
}

fn told(mut exchange: Exchange, list: Bytes) -> Answer<Answered> {
    let length = list.len();
    let mut answer = Answer::new(StatusCode::OK, Answered::Whole(list));
    let json = HeaderValue::from_static("application/json");
    answer.fields.append(&header::CONTENT_TYPE, &json);
    exchange.answered(answer.status, &mut answer.fields);
    exchange.sent_down(length);
    exchange.completed();
    answer
}

/// The ids of OpenAI's list, in the shape of these routes.
fn ids(list: &[u8]) -> Option<Bytes> {
    let list: Value = serde_json::from_slice(list).ok()?;
    let models = list["data"].as_array()?;
    let ids: Vec<&str> = models.iter().filter_map(|one| one["id"].as_str()).collect();
    Some(Bytes::from(json!({ "models": ids }).to_string()))
}

/// Adds to an error of the upstream's the `detail` that clients of these routes read.
async fn explain(mut exchange: Exchange, reply: Reply) -> Result<Answer<Answered>, Refusal> {
    let Answer {
        status,
        reason,
        mut fields,
        body,
    } = reply;
    let mut revocation = exchange.revocation();
    let body = pin!(Limited::new(body, MAX_ERROR).collect());
    let body = revocation.unless(body).await;
    let body = body.ok_or_else(|| exchange.revoked())?;
    let body = body.map(|body| body.to_bytes()).map_err(|error| {
        let fault = match error.downcast::<Fault>() {
            Ok(fault) => *fault,
            Err(_) => Fault::Broken("its error is longer than 64 KiB".to_owned()),
        };
        exchange.faulted(&fault)
    })?;
    let mut said: Value = serde_json::from_slice(&body).unwrap_or_default();
    let message = said["error"]["message"].as_str().map(str::to_owned);
    let body = match said.as_object_mut() {
        Some(members) => {
            let detail = message.unwrap_or_else(|| format!("OpenAI answered {status}."));
            members.insert("detail".to_owned(), json!(detail));
            Bytes::from(said.to_string())
        }
        // Not JSON: a gateway's page, say.
        None => body,
    };
    fields.remove(&header::CONTENT_LENGTH);
    exchange.sent_down(body.len());
    exchange.completed();
    Ok(Answer {
        status,
        reason,
        fields,
        body: Answered::Whole(body),
    })
}

/// The request as it goes up: every value the same bytes, `stream` as the route says, and a model,
/// which may have a successor; that is told beside.
fn rewrite<'a>(
    body: &[u8],
    is_streamed: bool,
    default_model: &str,
    successor: impl Fn(&str) -> Option<&'a str>,
) -> Result<(Vec<u8>, Option<HeaderValue>), Refusal> {
    let mut request = Rewriting {
        sent: Vec::with_capacity(body.len() + ADDED),
        successor,
        has_model: false,
        replaced: None,
    };
    request.sent.push(b'{');
    let mut reading = serde_json::Deserializer::from_slice(body);
    let read = reading.deserialize_map(&mut request);
    let read = read.and_then(|()| reading.end());
    read.map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let what = match error.classify() {
            serde_json::error::Category::Data => "Send a JSON object",
            _ => "This is not JSON",
        };
        Refusal::over_fields(vec![Problem::of("", format!("{what} ({place})."))])
    })?;
    let Rewriting {
        mut sent,
        has_model,
        replaced,
        ..
    } = request;
    if !has_model {
        sent.extend(format!("\"model\":{},", Value::from(default_model)).into_bytes());
    }
    sent.extend(format!("\"stream\":{is_streamed}}}").into_bytes());
    Ok((sent, replaced))
}

/// A request that is written while it is read, field by field.
struct Rewriting<S> {
    sent: Vec<u8>,
    successor: S,
    has_model: bool,
    replaced: Option<HeaderValue>,
}

impl<'a, S: Fn(&str) -> Option<&'a str>> Rewriting<S> {
    fn field(&mut self, name: &str, value: &RawValue) {
        let is_nothing = matches!(value.get(), "null" | "\"\"");
        if name == "stream" || (name == "model" && is_nothing) {
            return;
        }
        write(&mut self.sent, name);
        self.sent.push(b':');
        let mut new = None;
        if name == "model" {
            self.has_model = true;
            let model = serde_json::from_str::<Cow<'_, str>>(value.get());
            new = model.ok().and_then(|model| (self.successor)(&model));
        }
        match new {
            Some(new) => {
                write(&mut self.sent, new);
                self.replaced = HeaderValue::from_str(new).ok();
            }
            None => self.sent.extend_from_slice(value.get().as_bytes()),
        }
        self.sent.push(b',');
    }
}

fn write(sent: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(sent, text).expect("a text is JSON, and memory takes it");
}

impl<'de, 'a, S: Fn(&str) -> Option<&'a str>> Visitor<'de> for &mut Rewriting<S> {
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
            self.field(&name, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rewritten(body: &str, is_streamed: bool) -> String {
        let successor = |model: &str| (model == "old").then_some("new");
        let sent = rewrite(body.as_bytes(), is_streamed, "default", successor);
        let (sent, replaced) = sent.expect("an object");
        assert_eq!(replaced.is_some(), body.contains("\"old\""));
        String::from_utf8(sent).expect("text")
    }

    #[test]
    fn values_go_up_as_the_bytes_that_were_sent() {
        let sent = r#"{"model":"m","seed":12345678901234567890123,"t":1.0E+2, "s":"\u00e4\/" ,"new":{"b":1,"a":[ ]}}"#;
        assert_eq!(
            rewritten(sent, false),
            r#"{"model":"m","seed":12345678901234567890123,"t":1.0E+2,"s":"\u00e4\/","new":{"b":1,"a":[ ]},"stream":false}"#
        );
    }

    #[test]
    fn stream_is_what_the_route_says_and_a_model_is_added_where_there_is_none() {
        for (body, sent) in [
            ("{}", r#"{"model":"default","stream":true}"#),
            (
                r#"{"stream":false}"#,
                r#"{"model":"default","stream":true}"#,
            ),
            (
                r#"{"str\u0065am":0,"stream":1}"#,
                r#"{"model":"default","stream":true}"#,
            ),
            (r#"{"model":null}"#, r#"{"model":"default","stream":true}"#),
            (r#"{"model":""}"#, r#"{"model":"default","stream":true}"#),
            (r#"{"model":7}"#, r#"{"model":7,"stream":true}"#),
            (r#"{"model":"old"}"#, r#"{"model":"new","stream":true}"#),
            (
                r#"{"a\"b":1}"#,
                r#"{"a\"b":1,"model":"default","stream":true}"#,
            ),
        ] {
            assert_eq!(rewritten(body, true), sent, "{body}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for body in [
            "",
            "[]",
            "null",
            "7",
            "\"x\"",
            "{",
            "{} {}",
            "{\"a\":}",
            "\u{feff}{}",
        ] {
            assert!(
                rewrite(body.as_bytes(), true, "m", |_| None).is_err(),
                "{body}"
            );
        }
        assert!(rewrite(b"{\"a\":\"\xff\"}", true, "m", |_| None).is_err());
    }

    proptest! {
        #[test]
        fn nothing_but_stream_and_a_missing_model_changes(
            fields in prop::collection::btree_map("[a-z\\PC]{0,8}", any::<i32>(), 0..6),
        ) {
            let body = json!(fields);
            let mut sent: Value = serde_json::from_str(&rewritten(&body.to_string(), true)).expect("JSON");
            let sent = sent.as_object_mut().expect("an object");
            prop_assert_eq!(sent.remove("stream"), Some(json!(true)));
            if !fields.contains_key("model") {
                prop_assert_eq!(sent.remove("model"), Some(json!("default")));
            }
            let expected = fields.iter().filter(|(name, _)| *name != "stream");
            prop_assert_eq!(sent.len(), expected.clone().count());
            for (name, value) in expected {
                prop_assert_eq!(&sent[name], &json!(value));
            }
        }
    }

    #[test]
    fn the_list_of_models_is_their_ids() {
        let list = br#"{"object":"list","data":[{"id":"a","object":"model"},{"id":"b"},{}]}"#;
        assert_eq!(ids(list).as_deref(), Some(&br#"{"models":["a","b"]}"#[..]));
        assert_eq!(ids(b"<html>"), None);
        assert_eq!(ids(b"{\"data\":7}"), None);
    }
}
