//! The beta's way of minting ephemeral keys, `POST /v1/realtime/sessions` and
//! `/v1/realtime/transcription_sessions`, in terms of GA's `POST /v1/realtime/client_secrets`
//! (wire.md 6.1; schemas `RealtimeSessionCreateRequest`, `RealtimeCreateClientSecretRequest`).

use super::{Rewritten, Translator, session};
use crate::relay::json::{Json, Object};

/// The body for `client_secrets`. `None` if the body is no JSON object: then it goes as it is, and
/// the upstream says what is wrong. No body asks for the defaults.
///
/// The beta's keys lived for a minute; without a wish of the client's, GA's live for ten.
pub(super) fn request(translator: &mut Translator, body: &[u8]) -> Option<Rewritten> {
    let body = if body.trim_ascii().is_empty() {
        b"{}"
    } else {
        body
    };
    let mut session = Object::parse(body)?;
    let life = life(&mut session);
    let Translator { memory, aliases } = translator;
    let mut notes = session::to_ga(&mut session, memory.kind, memory, aliases);
    let mut request = Object::default();
    if let Some(life) = life {
        request.set("expires_after", life);
        notes.dropped.retain(|name| *name != "client_secret");
    }
    request.set("session", Json::Object(session));
    Some(Rewritten::new(&request, notes))
}

/// How long the key is to live: `client_secret.expires_after`, or `expires_at` of transcriptions,
/// both of GA's form `{anchor, seconds}`.
fn life<'a>(session: &mut Object<'a>) -> Option<Json<'a>> {
    let wish = session.object("client_secret")?;
    let mut life = wish
        .take("expires_after")
        .or_else(|| wish.take("expires_at"))?;
    life.as_object().is_some().then_some(life)
}

/// The beta's answer: the session, with the key in it. `None` if the upstream's answer is no secret.
pub(super) fn answer(translator: &mut Translator, body: &[u8]) -> Option<Vec<u8>> {
    let mut answer = Object::parse(body)?;
    let mut secret = Object::default();
    secret.set("value", answer.take("value")?);
    secret.set("expires_at", answer.take("expires_at")?);
    let session = answer.object("session")?;
    session::to_beta(session, &mut translator.memory);
    session.set("client_secret", Json::Object(secret));
    Some(session.to_text())
}
