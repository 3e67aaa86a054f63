//! What holds for every event, whatever it says.

use super::{Aliases, Kind, Translated, Translator, scan};
use crate::relay::json::Object;

/// Each line is an event of a session, in both directions, and a body. JSON stays JSON; the
/// scanner sees the type that a parser sees; an event that only gets another name loses nothing.
pub(crate) fn events(data: &[u8]) {
    let kind = match data.first() {
        Some(b'\n') => Kind::Transcription,
        _ => Kind::Realtime,
    };
    let aliases = Aliases::new([("old".to_owned(), "new".to_owned())]);
    let mut translator = Translator::new(kind, aliases);
    for event in data.split(|byte| *byte == b'\n') {
        check_type(event);
        check(event, &translator.client_event(event));
        check(event, &translator.server_event(event));
        let request = translator.secret_request(event);
        request.iter().for_each(|request| check_json(&request.text));
        let answer = translator.secret_answer(event);
        answer.iter().for_each(|answer| check_json(answer));
    }
}

fn check_type(event: &[u8]) {
    let Some(object) = Object::parse(event) else {
        return;
    };
    let parsed = object.first("type").and_then(|value| value.as_string());
    let scanned = scan::find_type(event).and_then(|place| scan::unescaped(event, place));
    let scanned = scanned.map(|name| String::from_utf8_lossy(&name).into_owned());
    assert_eq!(parsed, scanned);
}

fn check(event: &[u8], translated: &Translated<'_>) {
    match translated {
        Translated::Unchanged | Translated::Dropped => {}
        Translated::Renamed(pieces) => {
            let renamed = pieces.concat();
            let (Some(mut old), Some(mut new)) = (Object::parse(event), Object::parse(&renamed))
            else {
                return assert!(Object::parse(event).is_none());
            };
            old.take("type");
            new.take("type");
            assert_eq!(old.to_text(), new.to_text());
        }
        Translated::Rewritten(rewritten) => check_json(&rewritten.text),
        Translated::Several(events) => events.iter().for_each(|event| check_json(event)),
    }
}

fn check_json(text: &[u8]) {
    assert!(Object::parse(text).is_some(), "{}", text.escape_ascii());
}
