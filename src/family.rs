//! Families of routes: the one reading of what a path is about. Limits count by it, rules open by it,
//! metrics tell by it. Pure.

use std::borrow::Cow;

/// What relayed routes are about. Its order is that of everything that is listed by family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Chat completions, the older completions, and the relay's own chat routes.
    Chat,
    /// Responses and conversations.
    Responses,
    /// Embeddings.
    Embeddings,
    /// Speech, transcriptions, translations.
    Audio,
    /// Images.
    Images,
    /// Videos.
    Videos,
    /// Files, uploads, vector stores, containers.
    Files,
    /// Batches.
    Batches,
    /// Models, and the relay's own list of them.
    Models,
    /// Moderations.
    Moderations,
    /// Realtime and Live: calls, sessions, credentials, offers.
    Realtime,
    /// Everything else.
    Other,
}

const NAMES: [(&str, Family); 12] = [
    ("chat", Family::Chat),
    ("responses", Family::Responses),
    ("embeddings", Family::Embeddings),
    ("audio", Family::Audio),
    ("images", Family::Images),
    ("videos", Family::Videos),
    ("files", Family::Files),
    ("batches", Family::Batches),
    ("models", Family::Models),
    ("moderations", Family::Moderations),
    ("realtime", Family::Realtime),
    ("other", Family::Other),
];

impl Family {
    /// All of them, in their order.
    pub const ALL: [Family; 12] = {
        let (mut all, mut at) = ([Family::Other; 12], 0);
        while at < all.len() {
            all[at] = NAMES[at].1;
            at += 1;
        }
        all
    };

    /// The family of a path, as it was sent, without its query.
    pub fn of_path(path: &str) -> Family {
        let path = decoded(path);
        match &*path {
            "/" | "/realtime" | "/offer" => return Family::Realtime,
            "/api/v1/chat/models" => return Family::Models,
            _ => {}
        }
        let behind = path
            .strip_prefix("/v1/")
            .or_else(|| path.strip_prefix("/api/v1/"));
        match behind.and_then(|rest| rest.split('/').next()) {
            Some("chat" | "completions") => Family::Chat,
            Some("responses" | "conversations") => Family::Responses,
            Some("embeddings") => Family::Embeddings,
            Some("audio") => Family::Audio,
            Some("images") => Family::Images,
            Some("videos") => Family::Videos,
            Some("files" | "uploads" | "vector_stores" | "containers") => Family::Files,
            Some("batches") => Family::Batches,
            Some("models") => Family::Models,
            Some("moderations") => Family::Moderations,
            Some("realtime" | "live") => Family::Realtime,
            _ => Family::Other,
        }
    }

    /// The family with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Family> {
        let row = NAMES.iter().find(|(known, _)| *known == name);
        row.map(|(_, family)| *family)
    }

    /// Its name, in limits, rules and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES[self as usize].0
    }

    /// The names of all families.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }
}

/// A path as the upstream may read it: what is decided by a path must not depend on how it is written.
pub(crate) fn decoded(path: &str) -> Cow<'_, str> {
    if memchr::memchr(b'%', path.as_bytes()).is_none() {
        return Cow::Borrowed(path);
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = |at: usize| char::from(*tail.get(at)?).to_digit(16);
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_its_place_and_its_name() {
        for (place, family) in Family::ALL.into_iter().enumerate() {
            assert_eq!(family as usize, place, "{family:?}");
            assert_eq!(Family::named(family.name()), Some(family));
        }
        assert_eq!(Family::names().count(), Family::ALL.len());
        assert_eq!(Family::named("offer"), None);
    }

    #[test]
    fn a_path_belongs_to_its_family_however_it_is_written() {
        for (path, expected) in [
            ("/v1/chat/completions", Family::Chat),
            ("/v1/completions", Family::Chat),
            ("/v1/%63hat/completions", Family::Chat),
            ("/v1/chat%2Fcompletions", Family::Chat),
            ("/api/v1/chat/completions/stream", Family::Chat),
            ("/v1/responses/resp_1/cancel", Family::Responses),
            ("/v1/embeddings", Family::Embeddings),
            ("/v1/audio/speech", Family::Audio),
            ("/v1/uploads/upload_1/parts", Family::Files),
            ("/v1/models", Family::Models),
            ("/api/v1/chat/models", Family::Models),
            ("/v1/realtime/calls", Family::Realtime),
            ("/v1/live/sessions", Family::Realtime),
            ("/realtime", Family::Realtime),
            ("/offer", Family::Realtime),
            ("/", Family::Realtime),
            ("/v1/", Family::Other),
            ("/v1/chats", Family::Other),
            ("/v1/%zz", Family::Other),
            ("/v1/new/thing", Family::Other),
            ("-", Family::Other),
        ] {
            assert_eq!(Family::of_path(path), expected, "{path}");
        }
    }
}
