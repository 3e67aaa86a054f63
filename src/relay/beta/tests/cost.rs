//! What is not touched: audio, unknown bytes, and whatever is no event.

use super::*;

fn is_unchanged(translated: &Translated<'_>) -> bool {
    matches!(translated, Translated::Unchanged)
}

#[test]
fn audio_is_passed_in_its_own_bytes() {
    let audio = "AAD/".repeat(2048);
    let mut translator = translator(Kind::Realtime);
    let append = format!(r#"{{"audio":"{audio}","type":"input_audio_buffer.append"}}"#);
    assert!(is_unchanged(&translator.client_event(append.as_bytes())));
    let delta = format!(r#"{{ "delta":"{audio}", "type" : "response.output_audio.delta" }}"#);
    let Translated::Renamed([before, name, after]) = translator.server_event(delta.as_bytes())
    else {
        panic!("not renamed");
    };
    let start = delta.find("response.").expect("a type");
    assert!(std::ptr::eq(before, &raw const delta.as_bytes()[..start]));
    assert_eq!(name, b"response.audio.delta");
    let end = start + "response.output_audio.delta".len();
    assert!(std::ptr::eq(after, &raw const delta.as_bytes()[end..]));
}

#[test]
fn numbers_and_unknown_fields_keep_their_bytes_and_their_order() {
    let odd = r#""z":12345678901234567890123,"y":-1.10e+400,"a":"\u00e9\/","x":{"type":"output_text","n":1.0}"#;
    let mut translator = translator(Kind::Realtime);
    let update = format!(
        r#"{{{odd},"type":"session.update","session":{{{odd},"voice":"ash","turn_detection":{{"threshold":0.50,{odd}}}}}}}"#
    );
    let Translated::Rewritten(rewritten) = translator.client_event(update.as_bytes()) else {
        panic!("not rewritten");
    };
    let text = String::from_utf8(rewritten.text).expect("text");
    assert_eq!(text.matches(odd).count(), 3, "{text}");
    assert!(text.contains(r#""threshold":0.50"#), "{text}");
    let done = format!(
        r#"{{"type":"response.done",{odd},"response":{{{odd},"output":[{{{odd},"content":[{{"type":"output_text",{odd}}}]}}],"usage":{{{odd}}}}}}}"#
    );
    let Translated::Rewritten(rewritten) = translator.server_event(done.as_bytes()) else {
        panic!("not rewritten");
    };
    let text = String::from_utf8(rewritten.text).expect("text");
    assert_eq!(text.matches(odd).count(), 5, "{text}");
    assert!(text.contains(r#"{"type":"text","z""#), "{text}");
}

#[test]
fn what_is_no_event_or_not_of_the_expected_shape_goes_on_as_it_came() {
    let mut translator = translator(Kind::Realtime);
    for text in [
        "",
        "hello",
        "[]",
        r#"{"type":7}"#,
        r#"{"type":"session.update","session":{"voice":}}"#,
        r#"{"type":"session.update""#,
        r#"{"type":"conversation.item.create","item":[]}"#,
        r#"{"type":"conversation.item.create","item":{"role":"user","content":"text"}}"#,
        r#"{"type":"conversation.item.create","item":{"content":[{"type":"text"}]}}"#,
        r#"{"type":"response.create","response":null}"#,
    ] {
        assert!(
            is_unchanged(&translator.client_event(text.as_bytes())),
            "{text}"
        );
    }
    for text in [
        r#"{"type":"response.done"}"#,
        r#"{"type":"response.created","response":null}"#,
        r#"{"type":"response.output_item.added","item":1}"#,
        r#"{"type":"response.content_part.added","part":[]}"#,
        r#"{"type":"conversation.item.added"}"#,
        r#"{"type":"session.created"}"#,
        r#"{"type":"error"}"#,
        r#"{"type":"error","error":{"param":null}}"#,
    ] {
        assert!(
            is_unchanged(&translator.server_event(text.as_bytes())),
            "{text}"
        );
    }
}

#[test]
fn what_is_not_utf_8_goes_on_as_it_came() {
    let event = b"{\"type\":\"error\",\"error\":{\"param\":\"session.output_modalities\xff\"}}";
    let mut translator = translator(Kind::Realtime);
    assert!(is_unchanged(&translator.server_event(event)));
}

#[test]
fn an_escaped_type_is_a_type() {
    let mut translator = translator(Kind::Realtime);
    let event = br#"{"\u0074ype":"response\u002eoutput_text\u002edone","text":"x"}"#;
    let Translated::Renamed(pieces) = translator.server_event(event) else {
        panic!("not renamed");
    };
    assert_eq!(
        pieces.concat(),
        br#"{"\u0074ype":"response.text.done","text":"x"}"#
    );
}
