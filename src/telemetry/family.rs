//! Families of routes, by which exchanges are counted. Few, so that the numbers stay readable.

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

    /// The family of an HTTP request to this path.
    pub fn of_path(path: &str) -> Family {
        if path == "/offer" {
            return Family::Offer;
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
    fn each_family_has_its_place_and_a_path() {
        for (place, family) in Family::ALL.into_iter().enumerate() {
            assert_eq!(family as usize, place, "{family:?}");
        }
        for (path, family) in [
            ("/v1/chat/completions", Family::Chat),
            ("/api/v1/chat/completions/stream", Family::Chat),
            ("/v1/responses/resp_1/cancel", Family::Responses),
            ("/v1/uploads/upload_1/parts", Family::Files),
            ("/v1/realtime/calls", Family::Realtime),
            ("/offer", Family::Offer),
            ("/v1/chats", Family::Other),
            ("/v1/", Family::Other),
            ("-", Family::Other),
        ] {
            assert_eq!(Family::of_path(path), family, "{path}");
        }
    }
}
