//! permessage-deflate on the client's leg, where the operator switched it on and the client offers it.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use crate::support::ws::{CONTINUATION, Frame, PING, Socket, TEXT};
use crate::support::{Relay, authorization, pair, pair_with};

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";

fn deflated(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 1024);
    let mut compress = Compress::new(Compression::default(), false);
    compress
        .compress_vec(text.as_bytes(), &mut out, FlushCompress::Sync)
        .expect("compressed");
    assert!(out.ends_with(&[0, 0, 0xFF, 0xFF]));
    out.truncate(out.len() - 4);
    out
}

fn inflated(frame: &Frame) -> String {
    if frame.first & 0x40 == 0 {
        return frame.text();
    }
    let mut input = frame.payload.clone();
    input.extend([0, 0, 0xFF, 0xFF]);
    let mut out = Vec::with_capacity(1 << 20);
    let mut decompress = Decompress::new(false);
    decompress
        .decompress_vec(&input, &mut out, FlushDecompress::Sync)
        .expect("decompressed");
    String::from_utf8(out).expect("text")
}

async fn open(relay: &Relay) -> Socket {
    let key = authorization();
    let headers = [&key, "X-Fake-Script: echo", OFFER];
    let socket = Socket::open(relay.address(), "/v1/realtime?model=m", &headers).await;
    socket.unwrap_or_else(|no| panic!("{}", no.text()))
}

#[tokio::test]
async fn messages_are_compressed_towards_the_client_and_plain_towards_the_upstream() {
    let (upstream, relay) = pair_with(&[("WS_COMPRESSION", "true")]).await;
    let mut socket = open(&relay).await;
    assert_eq!(
        socket.answer.header("sec-websocket-extensions"),
        Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover")
    );
    let long = "all work and no play ".repeat(1000);
    let mut sent = Vec::new();
    for text in ["short", &long, ""] {
        // Compressed or not, as the client likes.
        socket.say(text).await;
        let small = Frame {
            first: 0xC0 | TEXT,
            payload: deflated(text),
        };
        socket.send(&small).await;
        sent.extend([text, text]);
    }
    // In fragments, with a ping between; the bit is set on the first alone.
    let bytes = deflated(&long);
    let (first, second) = bytes.split_at(bytes.len() / 2);
    socket
        .send(&Frame {
            first: 0x40 | TEXT,
            payload: first.to_vec(),
        })
        .await;
    socket.send(&Frame::whole(PING, "p")).await;
    socket.send(&Frame::whole(CONTINUATION, second)).await;
    sent.push(&long);
    for text in &sent {
        let frame = socket.message().await;
        assert_eq!(frame.first & 0x40 != 0, text.len() > 1000, "{}", text.len());
        assert!(inflated(&frame) == *text);
        assert!(frame.payload.len() < 1000);
    }
    let seen = upstream
        .socket_until(0, |socket| socket.received.message_count() >= 7)
        .await;
    assert!(!seen.deflate_offered);
    assert_eq!(seen.violation, None);
    assert_eq!(
        seen.received.text.bytes,
        sent.iter().map(|text| text.len() as u64).sum::<u64>()
    );
}

#[tokio::test]
async fn without_the_operators_word_nothing_is_compressed() {
    let (_upstream, relay) = pair().await;
    let mut socket = open(&relay).await;
    assert_eq!(socket.answer.header("sec-websocket-extensions"), None);
    let small = Frame {
        first: 0xC0 | TEXT,
        payload: deflated("hi"),
    };
    socket.send(&small).await;
    assert_eq!(socket.message().await.closes_with().0, 1002);
}

#[tokio::test]
async fn what_cannot_be_inflated_or_would_be_too_large_closes_the_session() {
    let limit = ("MAX_MESSAGE_BYTES", "100000");
    let (_upstream, relay) = pair_with(&[("WS_COMPRESSION", "true"), limit]).await;
    for (payload, code) in [
        (b"\xff\xff\xff\xff".to_vec(), 1007),
        (deflated(&"x".repeat(100_001)), 1009),
    ] {
        let mut socket = open(&relay).await;
        socket
            .send(&Frame {
                first: 0xC0 | TEXT,
                payload,
            })
            .await;
        assert_eq!(socket.message().await.closes_with().0, code);
    }
}
