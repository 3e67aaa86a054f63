//! Items that clients create, delete, retrieve and truncate.

use serde_json::{Value, json};

use super::{Done, Talk};
use crate::errors::{self, ApiError};
use crate::realtime::audio::{bytes_per_ms, decode, encode};
use crate::realtime::conversation::Item;
use crate::realtime::event::ClientEvent;
use crate::realtime::shapes::CONTENT;
use crate::ws::Outbox;

impl Talk {
    pub(super) fn create_item(&mut self, event: &ClientEvent, out: &mut Outbox) -> Done {
        let value = event.body.get("item").unwrap_or(&Value::Null);
        let item = self.read_item(value, "item")?;
        self.check_call(&item)?;
        let id = item.id().to_owned();
        if self.conversation.item(&id).is_some() {
            let message = format!("Error adding item: the id '{id}' is taken.");
            let error = errors::bad_param("item.id", "item_create_duplicate_item_id", &message);
            return Err(Box::new(error));
        }
        let value = item.value.clone();
        let before = match event.text("previous_item_id") {
            None => self.conversation.push(item),
            Some(behind) => self.conversation.insert(behind, item).ok_or_else(|| {
                let message = format!(
                    "Error adding item: the previous item with id '{behind}' does not exist."
                );
                let code = "item_create_invalid_previous_item_id";
                Box::new(errors::bad_param("previous_item_id", code, &message))
            })?,
        };
        let body = json!({ "previous_item_id": before, "item": value });
        self.say(out, "conversation.item.added", body.clone());
        self.say(out, "conversation.item.done", body);
        Ok(())
    }

    /// An item as a client wrote it, with its parts checked and its sound taken out.
    pub(super) fn read_item(&self, value: &Value, path: &str) -> Result<Item, Box<ApiError>> {
        let mut item = Item::new(value.clone());
        let shape = CONTENT.iter().find(|(role, _)| value["role"] == *role);
        if let (Some((_, shape)), Some(content)) = (shape, value.get("content")) {
            shape.check(content, &format!("{path}.content"))?;
        }
        let side = if value["role"] == "assistant" {
            "output"
        } else {
            "input"
        };
        let rate = bytes_per_ms(&self.config["audio"][side]["format"]);
        let parts = item.value["content"].as_array_mut().into_iter().flatten();
        for (at, part) in parts.enumerate() {
            let audio = part.as_object_mut().and_then(|part| part.remove("audio"));
            if let Some(audio) = audio.as_ref().and_then(Value::as_str) {
                let place = format!("{path}.content[{at}].audio");
                item.audio.extend(decode(audio, &place)?);
            }
        }
        item.audio_ms = item.audio.len() / rate;
        item.value["object"] = json!("realtime.item");
        item.value["status"] = json!("completed");
        if item.value["id"].is_null() {
            item.value["id"] = json!(self.state.id("item_"));
        }
        Ok(item)
    }

    /// The output of a call needs the call.
    fn check_call(&self, item: &Item) -> Done {
        if item.value["type"] != "function_call_output" {
            return Ok(());
        }
        let id = &item.value["call_id"];
        let mut items = self.conversation.items().iter();
        if items.any(|item| item.value["type"] == "function_call" && item.value["call_id"] == *id) {
            return Ok(());
        }
        let message = format!("Tool call ID {id} not found in conversation.");
        let error = errors::bad_param("item.call_id", "invalid_tool_call_id", &message);
        Err(Box::new(error))
    }

    pub(super) fn delete_item(&mut self, event: &ClientEvent, out: &mut Outbox) -> Done {
        let id = self.known_item(event, "delete")?;
        self.conversation.remove(&id);
        self.say(out, "conversation.item.deleted", json!({ "item_id": id }));
        Ok(())
    }

    pub(super) fn retrieve_item(&mut self, event: &ClientEvent, out: &mut Outbox) -> Done {
        let id = self.known_item(event, "retrieve")?;
        let Some(item) = self.conversation.item(&id) else {
            return Ok(());
        };
        let mut value = item.value.clone();
        let parts = value["content"].as_array_mut().into_iter().flatten();
        for part in parts {
            if matches!(part["type"].as_str(), Some("input_audio" | "output_audio")) {
                part["audio"] = json!(encode(&item.audio));
            }
        }
        self.say(out, "conversation.item.retrieved", json!({ "item": value }));
        Ok(())
    }

    pub(super) fn truncate_item(&mut self, event: &ClientEvent, out: &mut Outbox) -> Done {
        let id = self.known_item(event, "truncate")?;
        let end = event.body["audio_end_ms"].as_u64().unwrap_or_default() as usize;
        let rate = bytes_per_ms(&self.config["audio"]["output"]["format"]);
        let Some(item) = self.conversation.item_mut(&id) else {
            return Ok(());
        };
        if item.value["role"] != "assistant" || item.audio_ms == 0 {
            let message = "Only model output audio messages can be truncated.";
            return Err(Box::new(errors::bad_param(
                "item_id",
                "invalid_value",
                message,
            )));
        }
        if end > item.audio_ms {
            let message = format!(
                "Audio content of {}ms is already shorter than {end}ms",
                item.audio_ms
            );
            let error = errors::bad_param("audio_end_ms", "invalid_value", &message);
            return Err(Box::new(error));
        }
        item.audio.truncate(end * rate);
        item.audio_ms = end;
        // An answer that is still being spoken has no content yet.
        if let Some(part) = item.value["content"].get_mut(0) {
            part["transcript"] = json!("");
        }
        let body = json!({ "item_id": id, "content_index": 0, "audio_end_ms": end });
        self.say(out, "conversation.item.truncated", body);
        Ok(())
    }
}
