//! The items of a conversation, and what each of them counts (wire.md 5.6).

use serde_json::Value;

/// Bytes of sound that a conversation keeps, whatever its newest item has.
const SOUND: usize = 2 * 1024 * 1024;

/// One item as events show it, and the sound that they leave out.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) value: Value,
    pub(super) audio: Vec<u8>,
    /// How long the sound is, kept or not.
    pub(super) audio_ms: usize,
}

/// Tokens of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) text: usize,
    pub(super) audio: usize,
    pub(super) image: usize,
}

/// Items in order.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) id: String,
    items: Vec<Item>,
}

impl Item {
    /// An item without sound.
    pub(super) fn new(value: Value) -> Item {
        Item {
            value,
            audio: Vec::new(),
            audio_ms: 0,
        }
    }

    pub(super) fn id(&self) -> &str {
        self.value["id"].as_str().unwrap_or_default()
    }

    fn parts(&self) -> impl Iterator<Item = &Value> {
        self.value["content"].as_array().into_iter().flatten()
    }

    /// What is written in it, the transcript of the user's sound left out.
    pub(super) fn text(&self) -> String {
        let texts = self.parts().map(|part| {
            let said = match part["type"].as_str() {
                Some("output_audio") => &part["transcript"],
                _ => &part["text"],
            };
            said.as_str().unwrap_or_default()
        });
        texts.collect::<Vec<_>>().join(" ")
    }

    /// User audio is one token per 100 ms, assistant audio one per 50 ms.
    pub(super) fn tokens(&self) -> Tokens {
        let per_token = match self.value["role"].as_str() {
            Some("assistant") => 50,
            _ => 100,
        };
        let called = ["name", "arguments", "output"].map(|name| words(self.value[name].as_str()));
        let images = self.parts().filter(|part| part["type"] == "input_image");
        Tokens {
            text: words(Some(&self.text())) + called.iter().sum::<usize>(),
            audio: self.audio_ms.div_ceil(per_token),
            image: images.count() * 85,
        }
    }
}

/// Tokens of a text, as far as a stand-in counts them: its words.
pub(super) fn words(text: Option<&str>) -> usize {
    text.unwrap_or_default().split_whitespace().count()
}

impl std::ops::Add for Tokens {
    type Output = Tokens;

    fn add(self, other: Tokens) -> Tokens {
        Tokens {
            text: self.text + other.text,
            audio: self.audio + other.audio,
            image: self.image + other.image,
        }
    }
}

impl Tokens {
    pub(super) fn total(self) -> usize {
        self.text + self.audio + self.image
    }

    /// The smaller of both in each kind.
    pub(super) fn common(self, other: Tokens) -> Tokens {
        Tokens {
            text: self.text.min(other.text),
            audio: self.audio.min(other.audio),
            image: self.image.min(other.image),
        }
    }
}

impl Conversation {
    pub(super) fn new(id: String) -> Conversation {
        Conversation {
            id,
            items: Vec::new(),
        }
    }

    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    pub(super) fn item(&self, id: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.id() == id)
    }

    pub(super) fn item_mut(&mut self, id: &str) -> Option<&mut Item> {
        self.items.iter_mut().find(|item| item.id() == id)
    }

    /// The id of the last item, null where there is none.
    pub(super) fn last_id(&self) -> Value {
        self.items
            .last()
            .map_or(Value::Null, |item| item.value["id"].clone())
    }

    /// Appends an item; gives the id of the one before it.
    pub(super) fn push(&mut self, item: Item) -> Value {
        let before = self.last_id();
        self.items.push(item);
        self.forget_sound();
        before
    }

    /// Forgets the oldest sound where there is too much, lest hours of speech fill the memory.
    fn forget_sound(&mut self) {
        let mut room = SOUND;
        for item in self.items.iter_mut().rev().skip(1) {
            match room.checked_sub(item.audio.len()) {
                Some(left) => room = left,
                None => item.audio = Vec::new(),
            }
        }
    }

    /// Inserts behind the item of that id, or in front of all for `root`; `None` where there is no
    /// such item.
    pub(super) fn insert(&mut self, behind: &str, item: Item) -> Option<Value> {
        let at = match behind {
            "root" => 0,
            id => self.items.iter().position(|item| item.id() == id)? + 1,
        };
        self.items.insert(at, item);
        let before = at
            .checked_sub(1)
            .map(|at| self.items[at].value["id"].clone());
        Some(before.unwrap_or_default())
    }

    /// Removes an item; tells whether it was there.
    pub(super) fn remove(&mut self, id: &str) -> bool {
        let before = self.items.len();
        self.items.retain(|item| item.id() != id);
        self.items.len() < before
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_oldest_sound_is_forgotten_and_the_newest_kept_whatever_its_size() {
        let mut conversation = Conversation::new("conv_1".to_owned());
        for (id, bytes) in [
            ("a", SOUND),
            ("b", SOUND / 2),
            ("c", SOUND / 2),
            ("d", 2 * SOUND),
        ] {
            let mut item = Item::new(json!({ "id": id, "role": "user" }));
            item.audio = vec![0; bytes];
            item.audio_ms = bytes / 48;
            conversation.push(item);
        }
        let kept = conversation.items().iter().map(|item| item.audio.len());
        assert_eq!(
            kept.collect::<Vec<_>>(),
            [0, SOUND / 2, SOUND / 2, 2 * SOUND]
        );
        let tokens = conversation.items()[0].tokens();
        assert_eq!(
            tokens.audio,
            (SOUND / 48).div_ceil(100),
            "it was heard all the same"
        );
    }
}
