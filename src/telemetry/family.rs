//! Families of routes, by which exchanges are counted. Few, so that the numbers stay readable.

use crate::config;

/// What kind of exchange it is. Its order is that of the counters.
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
    /// Models.
    Models,
    /// Moderations.
    Moderations,
    /// Realtime and Live over HTTP: calls, sessions, credentials.
    Realtime,
    /// `POST /offer`.
    Offer,
    /// Sockets on any path.
    Socket,
    /// Everything else.
    Other,
}

impl Family {
    /// All of them, in their order.
    pub const ALL: [Family; 14] = [
        Family::Chat,
        Family::Responses,
        Family::Embeddings,
        Family::Audio,
        Family::Images,
        Family::Videos,
        Family::Files,
        Family::Batches,
        Family::Models,
        Family::Moderations,
        Family::Realtime,
        Family::Offer,
        Family::Socket,
        Family::Other,
    ];

    /// The family of a route over HTTP.
    pub fn of(route: Option<config::Family>) -> Family {
        match route {
            Some(config::Family::Chat) => Family::Chat,
            Some(config::Family::Responses) => Family::Responses,
            Some(config::Family::Embeddings) => Family::Embeddings,
            Some(config::Family::Audio) => Family::Audio,
            Some(config::Family::Images) => Family::Images,
            Some(config::Family::Videos) => Family::Videos,
            Some(config::Family::Files) => Family::Files,
            Some(config::Family::Batches) => Family::Batches,
            Some(config::Family::Models) => Family::Models,
            Some(config::Family::Moderations) => Family::Moderations,
            Some(config::Family::Realtime) => Family::Realtime,
            Some(config::Family::Other) | None => Family::Other,
        }
    }

    /// The label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Family::Chat => "chat",
            Family::Responses => "responses",
            Family::Embeddings => "embeddings",
            Family::Audio => "audio",
            Family::Images => "images",
            Family::Videos => "videos",
            Family::Files => "files",
            Family::Batches => "batches",
            Family::Models => "models",
            Family::Moderations => "moderations",
            Family::Realtime => "realtime",
            Family::Offer => "offer",
            Family::Socket => "socket",
            Family::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_its_place() {
        for (place, family) in Family::ALL.into_iter().enumerate() {
            assert_eq!(family as usize, place, "{family:?}");
        }
    }
}
