//! The scanner against a slow reference that holds the whole stream, over generated frames cut
//! anywhere.

use proptest::prelude::*;

use super::super::frame::{
    Close, LONGEST_CONTROL, LONGEST_HEAD, apply_mask, close_payload, write_frame,
};
use super::*;

const MAX: u64 = 1 << 20;

/// One frame as bytes, whatever it is.
#[derive(Clone, Debug)]
struct Raw {
    first: u8,
    payload: Vec<u8>,
    mask: Option<[u8; 4]>,
    /// 0 for the shortest form of the length, else 2 or 8 bytes.
    form: usize,
}

impl Raw {
    fn bytes(&self) -> Vec<u8> {
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        let mut out = vec![self.first];
        let length = self.payload.len();
        match (self.form, length) {
            (0, 0..=125) => out.push(masked | u8::try_from(length).expect("short")),
            (0 | 2, _) if length < 1 << 16 => {
                out.push(masked | 126);
                out.extend(u16::try_from(length).expect("medium").to_be_bytes());
            }
            _ => {
                out.push(masked | 127);
                out.extend((length as u64).to_be_bytes());
            }
        }
        out.extend(self.mask.into_iter().flatten());
        let mut payload = self.payload.clone();
        apply_mask(&mut payload, self.mask.unwrap_or_default());
        out.extend(payload);
        out
    }
}

/// What became of a stream.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    data: Vec<u8>,
    controls: Vec<(u8, Vec<u8>)>,
    messages: u64,
    bytes: u64,
    violation: bool,
}

/// Reads whole frames, as the RFC says, one by one.
fn reference(frames: &[Raw], sender: Sender) -> Seen {
    let mut seen = Seen::default();
    let mut message: Option<u64> = None;
    for frame in frames {
        let opcode = frame.first & 0x0F;
        let (is_final, length) = (frame.first & 0x80 != 0, frame.payload.len());
        let is_control = opcode >= 8;
        let shortest = match length {
            0..=125 => 0,
            126..=0xFFFF => 2,
            _ => 8,
        };
        let is_shortest =
            frame.form == 0 || frame.form == shortest || (frame.form == 2 && shortest == 8);
        let is_wrong = frame.first & 0x70 != 0
            || ![0, 1, 2, 8, 9, 10].contains(&opcode)
            || (frame.mask.is_some() != (sender == Sender::Client))
            || !is_shortest
            || (is_control && (!is_final || length > LONGEST_CONTROL))
            || (!is_control && (opcode == 0) != message.is_some())
            || (!is_control && message.unwrap_or(0) + length as u64 > MAX);
        if is_wrong {
            seen.violation = true;
            return seen;
        }
        if is_control {
            seen.controls.push((opcode, frame.payload.clone()));
            continue;
        }
        seen.data.extend(frame.bytes());
        seen.bytes += length as u64;
        message = Some(message.unwrap_or(0) + length as u64);
        if is_final {
            message = None;
            seen.messages += 1;
        }
    }
    seen
}

/// Feeds the scanner as a pump does, with cuts of these lengths.
fn scanned(stream: &[u8], cuts: &[usize], sender: Sender) -> Seen {
    let mut scanner = Scanner::new(sender);
    let mut seen = Seen::default();
    let (mut input, mut rest) = (Vec::new(), stream);
    let mut cuts = cuts.iter().copied().cycle();
    loop {
        let scan = scanner.scan(&input, MAX);
        assert!(scan.message_end <= scan.frame_end && scan.frame_end <= scan.data);
        seen.data.extend(input.drain(..scan.data));
        match scan.then {
            Then::Control(control) => {
                let frame: Vec<u8> = input.drain(..control.length).collect();
                seen.controls
                    .push((control.opcode.bits(), control.payload(&frame)));
                continue;
            }
            Then::Violation(_) => {
                seen.violation = true;
                break;
            }
            Then::More => {}
        }
        assert!(input.len() < LONGEST_HEAD + LONGEST_CONTROL, "held back");
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
        input.extend(now);
        rest = later;
    }
    let (messages, bytes) = scanner.take_counts();
    (seen.messages, seen.bytes) = (u64::from(messages), u64::from(bytes));
    seen
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..140),
        1 => (120_usize..70_000, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]),
    ]
}

/// Frames that follow the rules most of the time.
fn frames(sender: Sender) -> impl Strategy<Value = Vec<Raw>> {
    let one = (0_u8..100, payload(), any::<[u8; 4]>(), any::<u8>());
    prop::collection::vec(one, 0..12).prop_map(move |parts| {
        let mut is_open = false;
        let mut frames = Vec::new();
        for (dice, mut payload, key, odd) in parts {
            let masked = sender == Sender::Client;
            let mut frame = Raw {
                first: 0,
                payload: Vec::new(),
                mask: masked.then_some(key),
                form: 0,
            };
            if dice < 30 {
                payload.truncate(LONGEST_CONTROL);
                frame.first = 0x80 | [0x8, 0x9, 0xA][usize::from(dice) % 3];
            } else {
                let is_final = dice % 3 != 0;
                let opcode = if is_open { 0 } else { 1 + dice % 2 };
                frame.first = opcode | if is_final { 0x80 } else { 0 };
                is_open = !is_final;
            }
            match dice {
                95 => frame.first = odd,
                96 => frame.form = 8,
                97 => frame.form = 2,
                98 => frame.mask = (!masked).then_some(key),
                99 => frame.first = 0,
                _ => {}
            }
            frame.payload = payload;
            frames.push(frame);
        }
        frames
    })
}

fn agrees(frames: &[Raw], cuts: &[usize], sender: Sender) {
    let stream: Vec<u8> = frames.iter().flat_map(Raw::bytes).collect();
    let expected = reference(frames, sender);
    let found = scanned(&stream, cuts, sender);
    assert_eq!(found.violation, expected.violation);
    assert_eq!(found.controls, expected.controls);
    assert!(found.data == expected.data, "the same bytes go on");
    assert_eq!(
        (found.messages, found.bytes),
        (expected.messages, expected.bytes)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn a_clients_frames_are_found_however_they_are_cut(
        frames in frames(Sender::Client),
        cuts in prop::collection::vec(1_usize..5_000, 1..8),
    ) {
        agrees(&frames, &cuts, Sender::Client);
    }

    #[test]
    fn a_servers_frames_are_found_however_they_are_cut(
        frames in frames(Sender::Server),
        cuts in prop::collection::vec(1_usize..40, 1..8),
    ) {
        agrees(&frames, &cuts, Sender::Server);
    }

    #[test]
    fn what_is_written_is_read_back(
        payload in payload(),
        key in any::<Option<[u8; 4]>>(),
    ) {
        let payload_length = payload.len();
        let mut bytes = Vec::new();
        write_frame(&mut bytes, Opcode::Binary, &payload, key);
        let sender = if key.is_some() { Sender::Client } else { Sender::Server };
        let head = Head::read(&bytes, sender, false).expect("a frame").expect("all of it");
        let mut read = bytes[head.length..].to_vec();
        apply_mask(&mut read, key.unwrap_or_default());
        prop_assert_eq!(read, payload);
        prop_assert_eq!(head.length + payload_length, bytes.len());
    }
}

#[test]
fn every_length_form_is_read_and_longer_ones_are_refused() {
    for (bytes, payload) in [
        (vec![0x81, 125], Some(125)),
        (vec![0x81, 126, 0, 126], Some(126)),
        (vec![0x81, 126, 0xFF, 0xFF], Some(0xFFFF)),
        (vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0], Some(0x10000)),
        (vec![0x81, 126, 0, 125], None),
        (vec![0x81, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], None),
        (vec![0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], None),
    ] {
        let head = Head::read(&bytes, Sender::Server, false);
        match payload {
            Some(payload) => {
                let head = head.expect("a frame").expect("all of it");
                assert_eq!(head.payload, payload);
            }
            None => assert_eq!(head.expect_err("refused").code, 1002),
        }
    }
}

#[test]
fn a_message_past_the_limit_is_told_by_its_heads_alone() {
    let mut scanner = Scanner::new(Sender::Server);
    // 60 and 41 bytes in two fragments; the second head is enough.
    let mut bytes = vec![0x01, 60];
    bytes.extend([0; 60]);
    bytes.extend([0x80, 41]);
    let scan = scanner.scan(&bytes, 100);
    assert_eq!(scan.data, 62);
    let Then::Violation(violation) = scan.then else {
        panic!("{scan:?}");
    };
    assert_eq!(violation.code, 1009);
}

#[test]
fn close_frames_say_only_what_may_be_said() {
    assert_eq!(Close::read(&[]).expect("empty").code, None);
    let close = Close::read(b"\x0f\xa0why").expect("4000");
    assert_eq!((close.code, close.reason.as_str()), (Some(4000), "why"));
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
        let refused = Close::read(&code.to_be_bytes()).expect_err("refused");
        assert_eq!(refused.code, 1002, "{code}");
    }
    assert_eq!(Close::read(b"\x03").expect_err("half").code, 1002);
    assert_eq!(Close::read(b"\x03\xe8\xff").expect_err("odd").code, 1007);
    let long = "ä".repeat(100);
    let payload = close_payload(1011, &long);
    assert!(payload.len() <= LONGEST_CONTROL);
    assert_eq!(
        Close::read(&payload).expect("whole characters").reason,
        "ä".repeat(61)
    );
}
