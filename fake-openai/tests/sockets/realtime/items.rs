//! Items of a conversation.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{answer, first, message, session, types};
use crate::start;

#[tokio::test]
async fn items_are_placed_where_they_are_wanted_and_deleted() {
    let fake = start().await;
    let mut client = session(&fake, "").await;
    let mut ids = Vec::new();
    for (text, behind) in [
        ("one", None),
        ("three", None),
        ("two", Some(0)),
        ("zero", Some(9)),
    ] {
        let mut event = message(text);
        let behind = behind.map(|at: usize| ids.get(at).cloned().unwrap_or(json!("root")));
        event["previous_item_id"] = behind.clone().unwrap_or_default();
        client.say(&event).await;
        let events = client.events_to("conversation.item.done").await;
        assert_eq!(
            types(&events),
            ["conversation.item.added", "conversation.item.done"]
        );
        let added = &events[0];
        let expected = match (behind, ids.last()) {
            (Some(id), _) if id == "root" => Value::Null,
            (Some(id), _) => id,
            (None, last) => last.cloned().unwrap_or_default(),
        };
        assert_eq!(added["previous_item_id"], expected, "{text}");
        ids.push(added["item"]["id"].clone());
    }
    client
        .say(&json!({ "type": "conversation.item.delete", "item_id": ids[1] }))
        .await;
    let deleted = client.event().await;
    assert_eq!(
        (&deleted["type"], &deleted["item_id"]),
        (&json!("conversation.item.deleted"), &ids[1])
    );
    client
        .say(&json!({ "type": "conversation.item.delete", "item_id": ids[1] }))
        .await;
    assert_eq!(
        client.event().await["error"]["code"],
        "item_delete_invalid_item_id"
    );
}

#[tokio::test]
async fn items_that_do_not_fit_are_refused_by_their_place() {
    let fake = start().await;
    let mut client = session(&fake, "").await;
    let part = |part: Value| json!({ "type": "message", "role": "user", "content": [part] });
    let cases = [
        (json!({ "type": "message", "role": "user" }), "item.content"),
        (
            part(json!({ "type": "text", "text": "beta" })),
            "item.content[0].type",
        ),
        (
            part(json!({ "type": "input_text" })),
            "item.content[0].text",
        ),
        (
            part(json!({ "type": "input_audio", "audio": "!" })),
            "item.content[0].audio",
        ),
        (
            json!({ "type": "function_call_output", "call_id": "call_x", "output": "" }),
            "item.call_id",
        ),
        (json!({ "type": "mcp_call" }), "item.type"),
    ];
    for (item, param) in cases {
        client
            .say(&json!({ "type": "conversation.item.create", "item": item }))
            .await;
        assert_eq!(client.event().await["error"]["param"], param, "{item}");
    }
    let mut lost = message("x");
    lost["previous_item_id"] = json!("item_nowhere");
    client.say(&lost).await;
    assert_eq!(client.event().await["error"]["param"], "previous_item_id");
}

#[tokio::test]
async fn sound_is_left_out_of_events_and_retrieved_and_truncated() {
    let fake = start().await;
    let mut client = session(&fake, "").await;
    let audio = STANDARD.encode([7; 4800]);
    let content = json!([{ "type": "input_audio", "audio": audio }]);
    let item = json!({ "id": "mine", "type": "message", "role": "user", "content": content });
    client
        .say(&json!({ "type": "conversation.item.create", "item": item }))
        .await;
    let events = client.events_to("conversation.item.done").await;
    assert!(events[0]["item"]["content"][0].get("audio").is_none());
    client
        .say(&json!({ "type": "conversation.item.retrieve", "item_id": "mine" }))
        .await;
    let retrieved = client.event().await;
    assert_eq!(retrieved["item"]["content"][0]["audio"], audio);

    let events = answer(&mut client, "Hi").await;
    let spoken = first(&events, "response.output_item.done")["item"]["id"].clone();
    let truncate = |id: &Value, end: u64| json!({ "type": "conversation.item.truncate", "item_id": id, "content_index": 0, "audio_end_ms": end });
    client.say(&truncate(&spoken, 901)).await;
    assert_eq!(client.event().await["error"]["param"], "audio_end_ms");
    client.say(&truncate(&json!("mine"), 10)).await;
    assert_eq!(client.event().await["error"]["param"], "item_id");
    client.say(&truncate(&spoken, 500)).await;
    let truncated = client.event().await;
    assert_eq!(truncated["type"], "conversation.item.truncated");
    client
        .say(&json!({ "type": "conversation.item.retrieve", "item_id": spoken }))
        .await;
    let part = &client.event().await["item"]["content"][0];
    let left = part["audio"]
        .as_str()
        .map(|audio| STANDARD.decode(audio).expect("base64"));
    assert_eq!(left.map(|left| left.len()), Some(24_000));
    assert_eq!(part["transcript"], "");
}
