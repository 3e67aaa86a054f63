//! P08: what travels in the head, in both directions, and what never does.

mod down;
mod tricks;
mod up;

use fake_openai::Received;

use crate::support::Answer;

/// No head holds a control byte but its line ends and tabs within values.
fn check_clean(received: &Received, answer: &Answer, shown: &str) {
    let text = &received.raw_head;
    for (at, byte) in text.iter().enumerate() {
        let is_line_end = match byte {
            b'\r' => text.get(at + 1) == Some(&b'\n'),
            b'\n' => at > 0 && text[at - 1] == b'\r',
            _ => false,
        };
        let is_control = byte.is_ascii_control() && *byte != b'\t';
        assert!(!is_control || is_line_end, "{shown}: {byte:#x} went up");
    }
    check_answer_clean(answer, shown);
}

fn check_answer_clean(answer: &Answer, shown: &str) {
    for (name, value) in &answer.headers {
        let is_clean = !value
            .chars()
            .any(|sign| sign.is_ascii_control() && sign != '\t');
        assert!(is_clean, "{shown}: {name}: {value:?} came down");
    }
}
