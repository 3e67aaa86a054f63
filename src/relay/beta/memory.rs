//! What a translation has to know of earlier events. However long the session and whatever is in
//! it, this stays below 32 KiB.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::Kind;
use super::field::Sound;
use crate::relay::json::{Json, Object};

/// The longest value that is remembered, in bytes.
const MAX_VALUE: usize = 1024;
/// Items that are announced and not done; far more than a session has under way.
const MAX_ITEMS: usize = 256;

/// What one session's translator remembers.
pub(super) struct Memory {
    pub(super) kind: Kind,
    /// How the client writes sound in its session, and in the response that it asked for last.
    pub(super) sound: Sound,
    pub(super) response_sound: Sound,
    pub(super) items: Items,
    /// The conversation that the client was told of.
    conversation: Option<String>,
    /// The beta's fields of the session as last seen.
    session: Vec<(&'static str, String)>,
}

impl Memory {
    pub(super) fn new(kind: Kind) -> Memory {
        Memory {
            kind,
            sound: Sound::default(),
            response_sound: Sound::default(),
            items: Items::default(),
            conversation: None,
            session: Vec::new(),
        }
    }

    /// The conversation that the client was told of.
    pub(super) fn conversation(&self) -> Option<&str> {
        self.conversation.as_deref()
    }

    /// The client is being told of this conversation.
    pub(super) fn tell_of(&mut self, conversation: String) {
        if conversation.len() <= MAX_VALUE {
            self.conversation = Some(conversation);
        }
    }

    /// The session's field as last seen.
    pub(super) fn recall(&self, name: &str) -> Option<Json<'static>> {
        let mut fields = self.session.iter();
        let (_, text) = fields.find(|(known, _)| *known == name)?;
        Some(Json::Made(text.clone()))
    }

    /// Keeps what this object says of the field, if it says anything.
    pub(super) fn remember(&mut self, name: &'static str, object: &Object<'_>) {
        let Some(value) = object.get(name) else {
            return;
        };
        self.session.retain(|(known, _)| *known != name);
        if let Some(text) = value.text().filter(|text| text.len() <= MAX_VALUE) {
            self.session.push((name, text.to_owned()));
        }
    }
}

/// The items that were announced as `conversation.item.created` and are not done: GA tells of each
/// item twice, the beta once. Kept as hashes, so that long ids take no more room.
#[derive(Default)]
pub(super) struct Items(VecDeque<u64>);

impl Items {
    /// The item exists; whether the client is to hear of it.
    pub(super) fn added(&mut self, id: &str) -> bool {
        let hash = hash(id);
        if self.0.contains(&hash) {
            return false;
        }
        if self.0.len() == MAX_ITEMS {
            self.0.pop_front();
        }
        self.0.push_back(hash);
        true
    }

    /// The item is complete; whether the client is still to hear of it.
    pub(super) fn done(&mut self, id: &str) -> bool {
        !self.forget(id)
    }

    /// The item is gone; whether it was known.
    pub(super) fn forget(&mut self, id: &str) -> bool {
        let hash = hash(id);
        let place = self.0.iter().position(|known| *known == hash);
        place.and_then(|at| self.0.remove(at)).is_some()
    }
}

fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_announced_once_until_it_is_done_or_gone() {
        let mut items = Items::default();
        assert!(items.added("a"));
        assert!(!items.added("a"));
        assert!(!items.done("a"));
        assert!(items.done("never added"));
        assert!(items.added("a"));
        assert!(items.forget("a"));
        assert!(items.added("a"));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut memory = Memory::new(Kind::Realtime);
        for number in 0..10_000 {
            memory.items.added(&number.to_string());
        }
        assert_eq!(memory.items.0.len(), MAX_ITEMS);
        assert!(memory.items.done("0"));
        assert!(!memory.items.done("9999"));
        let mut session = Object::default();
        session.set("voice", Json::Raw("\"ash\""));
        memory.remember("voice", &session);
        assert!(memory.recall("voice").is_some());
        session.set("voice", Json::string(&"x".repeat(MAX_VALUE)));
        memory.remember("voice", &session);
        assert!(memory.recall("voice").is_none());
        memory.tell_of("conv_1".to_owned());
        memory.tell_of("x".repeat(MAX_VALUE + 1));
        assert_eq!(memory.conversation(), Some("conv_1"));
    }
}
