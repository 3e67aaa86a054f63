//! Responses: asked for, automatic, out of band, cancelled.

use serde_json::{Map, Value};

use super::{Done, Talk, Task};
use crate::errors::{self, ApiError};
use crate::realtime::config::check_modalities;
use crate::realtime::conversation::{Item, Tokens, words};
use crate::realtime::event::{ClientEvent, invalid};
use crate::realtime::reply::reply;
use crate::realtime::response::{Plan, Response};

impl Talk {
    pub(super) fn create_response(&mut self, event: &ClientEvent) -> Done {
        let params = event.body.get("response").and_then(Value::as_object);
        let params = params.cloned().unwrap_or_default();
        check_modalities(
            params.get("output_modalities"),
            "response.output_modalities",
        )?;
        let is_kept = params.get("conversation").is_none_or(|name| name != "none");
        if let Some(active) = self.active().filter(|_| is_kept) {
            let message = format!(
                "Conversation already has an active response in progress: {}. Wait until the response is finished before creating a new one.",
                active.id
            );
            let code = "conversation_already_has_active_response";
            return Err(Box::new(invalid(code, &message)));
        }
        self.respond(&params, is_kept)
    }

    /// Answers a turn that the server detected.
    pub(super) fn answer_turn(&mut self) {
        // Without parameters nothing can be refused.
        let _ = self.respond(&Map::new(), true);
    }

    fn respond(&mut self, params: &Map<String, Value>, is_kept: bool) -> Done {
        let or = |name: &str| params.get(name).unwrap_or(&self.config[name]).clone();
        let given = match params.get("input").and_then(Value::as_array) {
            Some(list) => Some(self.read_input(list)?),
            None => None,
        };
        let items = given.as_deref().unwrap_or(self.conversation.items());
        let instructions = Tokens {
            text: words(or("instructions").as_str()),
            ..Tokens::default()
        };
        let input = items
            .iter()
            .map(Item::tokens)
            .fold(instructions, |a, b| a + b);
        let output = params.get("audio").map(|audio| &audio["output"]);
        let sound = |name: &str| {
            let own = output.and_then(|output| output.get(name));
            own.unwrap_or(&self.config["audio"]["output"][name]).clone()
        };
        let plan = Plan {
            reply: reply(items, &or("tools"), &or("tool_choice")),
            is_audio: or("output_modalities")[0] == "audio",
            format: sound("format"),
            voice: sound("voice"),
            max_output_tokens: or("max_output_tokens"),
            metadata: params.get("metadata").cloned().unwrap_or_default(),
            speech_ms: self.speech_ms,
            input,
            cached: input.common(self.last_input),
            is_kept,
            is_media_elsewhere: self.is_media_elsewhere,
        };
        self.last_input = input;
        let response = Response::new(&self.state, &self.conversation, plan);
        self.tasks.push_back(Task::Response(Box::new(response)));
        Ok(())
    }

    /// The items that a response is to see in place of the conversation.
    fn read_input(&self, list: &[Value]) -> Result<Vec<Item>, Box<ApiError>> {
        let read = |(at, value): (usize, &Value)| {
            let path = format!("response.input[{at}]");
            if value["type"] != "item_reference" {
                return self.read_item(value, &path);
            }
            let id = value["id"].as_str().unwrap_or_default();
            self.conversation.item(id).cloned().ok_or_else(|| {
                let message = format!("Item with id '{id}' not found.");
                let param = format!("{path}.id");
                Box::new(errors::bad_param(&param, "invalid_value", &message))
            })
        };
        list.iter().enumerate().map(read).collect()
    }

    /// The response that writes to the conversation now.
    pub(super) fn active(&self) -> Option<&Response> {
        self.tasks.iter().find_map(|task| match task {
            Task::Response(response) if response.plan.is_kept && !response.is_done() => {
                Some(response.as_ref())
            }
            _ => None,
        })
    }

    pub(super) fn cancel_response(&mut self, event: &ClientEvent) -> Done {
        let id = event.text("response_id");
        let id = id.or_else(|| Some(self.active()?.id.as_str()));
        let id = id.map(str::to_owned);
        if self.cancel(id.as_deref(), "client_cancelled") {
            return Ok(());
        }
        let message = "Cancellation failed: no active response found";
        Err(Box::new(invalid("response_cancel_not_active", message)))
    }

    /// Breaks off what is being said, if anything is; gives its id.
    pub(super) fn interrupt(&mut self, reason: &'static str) -> Option<String> {
        let id = self.active().map(|response| response.id.clone());
        self.cancel(id.as_deref(), reason);
        id
    }

    fn cancel(&mut self, id: Option<&str>, reason: &'static str) -> bool {
        let found = self.tasks.iter_mut().find_map(|task| match task {
            Task::Response(response) if Some(response.id.as_str()) == id => Some(response),
            _ => None,
        });
        match found.filter(|response| !response.is_done()) {
            Some(response) => {
                response.cancel(reason);
                true
            }
            None => false,
        }
    }
}
