//! Models that went with the beta, and names that stand for others.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::relay::json::{Json, Object};

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
pub(crate) struct Aliases(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    pairs: Vec<(String, String)>,
    /// Names that were replaced and told of.
    told: Mutex<BTreeSet<String>>,
}

impl Aliases {
    /// Pairs of an old name and a new one.
    pub(crate) fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Aliases {
        Aliases(Arc::new(Known {
            pairs: pairs.into_iter().collect(),
            told: Mutex::default(),
        }))
    }

    /// What takes this model's place, if anything does.
    pub(crate) fn successor(&self, model: &str) -> Option<&str> {
        let mut pairs = self.0.pairs.iter();
        pairs.find(|(old, _)| old == model).map(|(_, new)| &**new)
    }

    /// Whether this is the first time that this name is replaced.
    pub(crate) fn is_news(&self, model: &str) -> bool {
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        !told.contains(model) && told.insert(model.to_owned())
    }
}

/// A session with another model; all else of it as it was. `None` where it names none that
/// `successor` knows.
pub(crate) fn renew_session<'a>(
    session: &[u8],
    successor: impl Fn(&str) -> Option<&'a str>,
) -> Option<(Vec<u8>, &'a str)> {
    let mut session = Object::parse(session)?;
    let new = successor(&session.string("model")?)?;
    session.set("model", Json::string(new));
    Some((session.to_text(), new))
}

/// The query of a transcription as GA takes it. The beta's SDKs cannot open a session without a
/// model, which in a transcription belongs into the session.
pub(crate) fn without_model(query: &[u8]) -> Vec<u8> {
    let pairs = query.split(|byte| *byte == b'&');
    let kept: Vec<&[u8]> = pairs.filter(|pair| !pair.starts_with(b"model=")).collect();
    kept.join(&b'&')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcription_loses_its_model_and_nothing_else() {
        for (sent, kept) in [
            ("model=&intent=transcription", "intent=transcription"),
            ("intent=transcription&model=a%20b", "intent=transcription"),
            ("a=1&model=m&intent=x&&models=2", "a=1&intent=x&&models=2"),
            ("intent=transcription", "intent=transcription"),
        ] {
            assert_eq!(without_model(sent.as_bytes()), kept.as_bytes());
        }
    }
}
