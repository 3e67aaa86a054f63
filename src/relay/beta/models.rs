//! Models that went with the beta, and names that stand for others.

use std::sync::Arc;

/// The realtime previews (schema `RealtimeSession`): they still mint keys and fail on connect.
pub(crate) const RETIRED_MODELS: [&str; 6] = [
    "gpt-4o-realtime-preview",
    "gpt-4o-realtime-preview-2024-10-01",
    "gpt-4o-realtime-preview-2024-12-17",
    "gpt-4o-realtime-preview-2025-06-03",
    "gpt-4o-mini-realtime-preview",
    "gpt-4o-mini-realtime-preview-2024-12-17",
];

/// Names of models with those that take their places; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aliases(Arc<[(String, String)]>);

impl Aliases {
    /// Pairs of an old name and a new one.
    pub(crate) fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Aliases {
        Aliases(pairs.into_iter().collect())
    }

    /// What takes this model's place, if anything does.
    pub(crate) fn successor(&self, model: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        pairs.find(|(old, _)| old == model).map(|(_, new)| &**new)
    }
}
