//! Generated frames of all kinds, through a socket whose messages a stand-in echoes.

use fake_openai::FakeOpenAi;
use tokio::io::AsyncWriteExt;

use super::dice::Dice;
use super::ws::{BINARY, CONTINUATION, Frame, PING, PONG, Socket, TEXT};

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
pub async fn exact(upstream: &FakeOpenAi, socket: Socket, count: usize) -> usize {
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
    let (mut reader, mut writer) = socket.into_halves();
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
                // The stand-in's own, and the relay's.
                PING => {}
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
