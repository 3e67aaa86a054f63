//! What the "model" answers: the same to the same, and a call where a tool is mentioned.

use serde_json::{Map, Value, json};

use super::conversation::Item;

/// An answer's one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Words, written or spoken.
    Message(String),
    /// A call of a function, with its arguments in JSON.
    Call { name: String, arguments: String },
}

/// Answers the last item. A function is called if that item's text holds its name, or if the
/// choice leaves nothing else.
pub(super) fn reply(items: &[Item], tools: &Value, choice: &Value) -> Reply {
    let last = items.last();
    let said = last.map(Item::text).unwrap_or_default();
    if let Some(output) = last.and_then(|item| item.value["output"].as_str()) {
        return Reply::Message(format!("The tool says: {output}"));
    }
    if let Some(tool) = called(&said, tools, choice) {
        return Reply::Call {
            name: tool["name"].as_str().unwrap_or_default().to_owned(),
            arguments: arguments(&tool["parameters"], &said),
        };
    }
    match last
        .map(|item| item.audio_ms)
        .filter(|_| said.trim().is_empty())
    {
        Some(ms) => Reply::Message(format!("You spoke for {ms} milliseconds.")),
        None => Reply::Message(format!("You said: {said}")),
    }
}

fn called<'a>(said: &str, tools: &'a Value, choice: &Value) -> Option<&'a Value> {
    let functions = || {
        let tools = tools.as_array().into_iter().flatten();
        tools.filter(|tool| tool["type"] == "function")
    };
    let named = |name: &Value| functions().find(|tool| tool["name"] == *name);
    let said = said.to_lowercase();
    let mentioned = || {
        functions().find(|tool| {
            let name = tool["name"].as_str().unwrap_or_default();
            said.contains(&name.to_lowercase())
        })
    };
    match choice.as_str() {
        Some("none") => None,
        Some("required") => mentioned().or_else(|| functions().next()),
        Some(_) => mentioned(),
        None => named(&choice["name"]),
    }
}

/// A value for every property that the function's schema names.
fn arguments(schema: &Value, said: &str) -> String {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let filled: Map<String, Value> = properties
        .map(|(name, property)| {
            let value = match property["type"].as_str() {
                Some("number" | "integer") => json!(1),
                Some("boolean") => json!(true),
                Some("array") => json!([]),
                Some("object") => json!({}),
                _ => json!(said.trim()),
            };
            (name.clone(), value)
        })
        .collect();
    Value::Object(filled).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(said: &str, choice: &Value) -> Reply {
        let content = json!([{ "type": "input_text", "text": said }]);
        let item = Item::new(json!({ "role": "user", "content": content }));
        let schema = json!({ "properties": { "city": { "type": "string" }, "days": { "type": "integer" } } });
        let tools = json!([{ "type": "function", "name": "get_weather", "parameters": schema }]);
        reply(&[item], &tools, choice)
    }

    #[test]
    fn a_tool_is_called_where_it_is_mentioned_and_may_be() {
        let call = |arguments: &str| Reply::Call {
            name: "get_weather".to_owned(),
            arguments: arguments.to_owned(),
        };
        let said = "Please get_weather";
        let filled = call(r#"{"city":"Please get_weather","days":1}"#);
        assert_eq!(answer(said, &json!("auto")), filled);
        assert_eq!(
            answer("Hi", &json!("required")),
            call(r#"{"city":"Hi","days":1}"#)
        );
        let named = json!({ "type": "function", "name": "get_weather" });
        assert_eq!(answer("Hi", &named), call(r#"{"city":"Hi","days":1}"#));
        let message = Reply::Message(format!("You said: {said}"));
        assert_eq!(answer(said, &json!("none")), message);
    }
}
