//! Frames go on as they came, whatever they are and however they are cut.

use fake_openai::FakeOpenAi;
use tokio::io::AsyncWriteExt;

use super::{echoing, scripted};
use crate::support::ws::{BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT};
use crate::support::{Dice, Relay, pair, pair_with, trust};

/// A frame with this payload's first bytes telling which it is.
fn payload(dice: &mut Dice, number: usize) -> Vec<u8> {
    let length = match dice.roll(40) {
        0 => 70_000 + dice.roll(100_000),
        1..=4 => 126 + dice.roll(5_000),
        _ => dice.roll(126),
    };
    let byte = u8::try_from(number % 251).expect("a byte");
    (0..length)
        .map(|at| byte.wrapping_add(u8::try_from(at % 7).expect("a byte")))
        .collect()
}

/// Messages in fragments, with control frames between, as a stand-in echoes them: whole frames.
fn generated(count: usize) -> Vec<Frame> {
    let mut dice = Dice::new(4711);
    let mut frames = Vec::new();
    let mut is_open = false;
    for number in 0..count {
        if dice.roll(6) == 0 {
            let opcode = if dice.is_one_in(2) { PING } else { PONG };
            let mut text = payload(&mut dice, number);
            text.truncate(125);
            frames.push(Frame::whole(opcode, text));
            continue;
        }
        let is_final = number + 1 == count || !dice.is_one_in(3);
        let opcode = match (is_open, dice.is_one_in(2)) {
            (true, _) => CONTINUATION,
            (false, true) => TEXT,
            (false, false) => BINARY,
        };
        let mut bytes = payload(&mut dice, number);
        if opcode != BINARY {
            // Texts are checked by the stand-in.
            bytes.iter_mut().for_each(|byte| *byte = b'a' + *byte % 26);
        }
        let first = opcode | if is_final { 0x80 } else { 0 };
        frames.push(Frame {
            first,
            payload: bytes,
        });
        is_open = !is_final;
    }
    frames
}

/// Sends them in pieces that know nothing of frames, and compares what the stand-in got and echoed:
/// data frames as they came, a pong for each ping. How many frames went down.
async fn exact(upstream: &FakeOpenAi, relay: &Relay, count: usize) -> usize {
    let sent = generated(count);
    let masked = |(number, frame): (usize, &Frame)| {
        frame.masked(u32::try_from(number).expect("small").to_be_bytes())
    };
    let bytes: Vec<u8> = sent.iter().enumerate().flat_map(masked).collect();
    let is = |opcode: u8| move |frame: &&Frame| frame.opcode() == opcode;
    let pings: Vec<Frame> = sent.iter().filter(is(PING)).cloned().collect();
    let data: Vec<Frame> = sent
        .iter()
        .filter(|frame| !matches!(frame.opcode(), PING | PONG))
        .cloned()
        .collect();
    let (mut reader, mut writer) = echoing(relay).await.into_halves();
    let writing = async {
        let mut dice = Dice::new(7);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (piece, later) = rest.split_at((1 + dice.roll(60_000)).min(rest.len()));
            writer.write_all(piece).await.expect("written");
            rest = later;
        }
    };
    let reading = async {
        let (mut echoed, mut pongs) = (Vec::new(), Vec::new());
        while echoed.len() < data.len() || pongs.len() < pings.len() {
            let frame = reader.next().await.expect("a frame");
            match frame.opcode() {
                PONG => pongs.push(frame.payload),
                _ => echoed.push(frame),
            }
        }
        (echoed, pongs)
    };
    let ((), (echoed, pongs)) = tokio::join!(writing, reading);
    assert!(echoed == data, "every data frame came back as it was");
    let pings: Vec<Vec<u8>> = pings.into_iter().map(|frame| frame.payload).collect();
    assert!(pongs == pings, "every ping was answered by the upstream");
    let seen = upstream
        .socket_until(0, |socket| socket.received.frames >= sent.len() as u64)
        .await;
    assert_eq!(
        seen.received.wire_bytes,
        bytes.len() as u64,
        "not a byte more"
    );
    assert!(
        bytes.starts_with(&seen.received.wire),
        "masked as they came"
    );
    echoed.len() + pongs.len()
}

#[tokio::test]
async fn ten_thousand_frames_are_byte_exact_both_ways() {
    let (upstream, relay) = pair().await;
    let down = exact(&upstream, &relay, 10_000).await;
    trust::record(
        "P43",
        &format!("10,000 frames up and {down} down, byte for byte, cut anywhere"),
    );
}

#[tokio::test]
async fn a_message_of_21_mib_passes_both_ways() {
    let (_upstream, relay) = pair().await;
    let large = Frame::whole(TEXT, vec![b'x'; 21 * 1024 * 1024]);
    let bytes = large.masked(*b"1234");
    // Read while writing: the echo would fill every buffer between.
    let (mut reader, mut writer) = echoing(&relay).await.into_halves();
    let (written, echoed) = tokio::join!(writer.write_all(&bytes), reader.next());
    written.expect("written");
    assert!(echoed.expect("an echo") == large);
}

#[tokio::test]
async fn what_breaks_the_protocol_closes_the_session_with_its_code() {
    let (upstream, relay) = pair_with(&[("MAX_MESSAGE_BYTES", "100000")]).await;
    let unmasked = b"\x81\x02hi".to_vec();
    let reserved = Frame {
        first: 0xC1,
        payload: b"hi".to_vec(),
    }
    .masked(*b"abcd");
    let unknown = Frame::whole(0x3, "hi").masked(*b"abcd");
    let long_ping = Frame::whole(PING, vec![0; 126]).masked(*b"abcd");
    let cut_ping = Frame {
        first: PING,
        payload: Vec::new(),
    }
    .masked(*b"abcd");
    let orphan = Frame::whole(CONTINUATION, "hi").masked(*b"abcd");
    let mut nested = Frame {
        first: TEXT,
        payload: b"a".to_vec(),
    }
    .masked(*b"abcd");
    nested.extend(Frame::whole(TEXT, "b").masked(*b"abcd"));
    let half_close = Frame::whole(CLOSE, [3]).masked(*b"abcd");
    let bad_code = Frame::close(1005, "").masked(*b"abcd");
    let bad_reason = Frame::whole(CLOSE, b"\x03\xe8\xff".as_slice()).masked(*b"abcd");
    let long_form = b"\x81\xfe\x00\x01abcd\x00".to_vec();
    let negative = b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00abcd".to_vec();
    let large = Frame::whole(TEXT, vec![b'x'; 100_001]).masked(*b"abcd");
    for (name, bytes, code) in [
        ("unmasked", unmasked, 1002),
        ("reserved bit", reserved, 1002),
        ("reserved opcode", unknown, 1002),
        ("long ping", long_ping, 1002),
        ("fragmented ping", cut_ping, 1002),
        ("orphan", orphan, 1002),
        ("nested", nested, 1002),
        ("half a close code", half_close, 1002),
        ("a code that never travels", bad_code, 1002),
        ("a reason that is no text", bad_reason, 1007),
        ("long form", long_form, 1002),
        ("negative length", negative, 1002),
        ("large", large, 1009),
    ] {
        let mut socket = echoing(&relay).await;
        socket.say("before").await;
        assert_eq!(socket.message().await.text(), "before", "{name}");
        socket.connection.write(&bytes).await;
        let close = socket.message().await;
        assert_eq!(close.closes_with().0, code, "{name}: {close:?}");
        let seen = upstream.socket_until(0, |socket| !socket.open).await;
        assert_eq!(seen.violation, None, "{name}: the upstream is spared it");
        upstream.take_sockets();
    }
}

#[tokio::test]
async fn an_upstream_that_breaks_the_protocol_is_1011_with_a_word_before() {
    let (_upstream, relay) = pair().await;
    for fault in ["rsv1", "masked"] {
        let mut socket = scripted(&relay, &format!("echo bad-frame={fault} after=1")).await;
        socket.say("hi").await;
        let mut event = socket.message().await;
        if event.text() == "hi" {
            event = socket.message().await;
        }
        let event: serde_json::Value = serde_json::from_slice(&event.payload).expect("an event");
        assert_eq!(event["error"]["code"], "upstream_broken", "{fault}");
        assert_eq!(socket.message().await.closes_with().0, 1011, "{fault}");
    }
}
