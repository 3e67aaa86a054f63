//! Frames that no server may send, by name.

use bytes::{Bytes, BytesMut};

use super::frame::{Frame, Opcode};

/// Names, and the bytes on the wire.
const FRAMES: [(&str, &[u8]); 16] = [
    ("rsv1", b"\xc1\x02hi"),
    ("rsv2", b"\xa1\x02hi"),
    ("rsv3", b"\x91\x02hi"),
    ("opcode3", b"\x83\x02hi"),
    ("opcode11", b"\x8b\x02hi"),
    ("fragmented-ping", b"\x09\x02hi"),
    ("long-length", b"\x81\x7e\x00\x02hi"),
    // A TiB is announced, and two bytes of it come.
    ("oversized", b"\x81\x7f\x00\x00\x01\x00\x00\x00\x00\x00hi"),
    (
        "negative-length",
        b"\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x02hi",
    ),
    ("bad-utf8", b"\x81\x02\xc3\x28"),
    ("lone-continuation", b"\x80\x02hi"),
    ("message-in-message", b"\x01\x02hi\x81\x02hi"),
    ("close-one-byte", b"\x88\x01\x03"),
    ("close-1005", b"\x88\x02\x03\xed"),
    ("close-bad-utf8", b"\x88\x04\x03\xe8\xc3\x28"),
    // 100 bytes are announced, and ten come.
    ("partial", b"\x81\x64{\"type\":\"\x00"),
];

/// The bytes of such a frame; `None` for a name that does not exist.
pub(super) fn bytes(name: &str) -> Option<Vec<u8>> {
    match name {
        "masked" => {
            let mut frame = Frame::new(true, Opcode::Text, Bytes::from_static(b"hi"));
            frame.head.mask = Some([1, 2, 3, 4]);
            Some(written(&frame))
        }
        "long-ping" => Some([&b"\x89\x7e\x00\x7e"[..], &[b'p'; 126]].concat()),
        _ => {
            let known = FRAMES.iter().find(|(known, _)| *known == name);
            known.map(|(_, bytes)| bytes.to_vec())
        }
    }
}

fn written(frame: &Frame) -> Vec<u8> {
    let mut out = BytesMut::new();
    frame.write(&mut out);
    out.to_vec()
}
