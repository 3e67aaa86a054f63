//! What a script does to an open socket.

use std::io::ErrorKind;

use fake_openai::FakeOpenAi;

use crate::client::{CLOSE, CONTINUES, Client, ENDS, PING, TEXT, TEXT_BEGINS, open};
use crate::start;

async fn scripted(fake: &FakeOpenAi, script: &str) -> Client {
    let field = format!("X-Fake-Script: echo {script}");
    open(fake, "/v1/realtime?model=gpt-realtime-2.1", &[&field]).await
}

#[tokio::test]
async fn messages_are_sent_in_fragments_with_pings_between_them() {
    let fake = start().await;
    let script = "flood=1x7 fragment=3 interleave";
    let field = format!("X-Fake-Script: {script}");
    let mut client = open(&fake, "/v1/x", &[&field]).await;
    let mut shape = Vec::new();
    for _ in 0..6 {
        let frame = client.frame().await;
        shape.push((frame.first, frame.payload.len()));
    }
    let expected = [
        (TEXT_BEGINS, 3),
        (PING, 7),
        (CONTINUES, 3),
        (PING, 7),
        (ENDS, 1),
        (CLOSE, 2),
    ];
    assert_eq!(shape, expected);
}

#[tokio::test]
async fn the_stream_is_cut_after_so_many_bytes_or_frames() {
    let fake = start().await;
    for (script, expected) in [
        ("cut-at=4", &b"\x81\x05he"[..]),
        ("cut-after=1", b"\x81\x05hello"),
    ] {
        let mut client = scripted(&fake, script).await;
        client.send(TEXT, b"hello").await;
        client.send(TEXT, b"hello").await;
        assert_eq!(client.rest().await.expect("no reset"), expected, "{script}");
    }
    let mut client = scripted(&fake, "reset-at=4").await;
    client.send(TEXT, b"hello").await;
    let error = client.rest().await.expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_close_comes_with_the_code_and_reason_that_are_wanted() {
    let fake = start().await;
    let script = "after=2 close-code=1012 close-reason=back%20soon";
    let mut client = scripted(&fake, script).await;
    for word in ["one", "two"] {
        client.send(TEXT, word.as_bytes()).await;
        assert_eq!(client.frame().await.payload, word.as_bytes());
    }
    let close = (1012, "back soon".to_owned());
    assert_eq!(client.frame().await.close(), close);
    client.send(CLOSE, b"\x03\xf4").await;
    assert_eq!(client.try_frame().await.expect("no reset"), None);
    let mut client = scripted(&fake, "close-code=0").await;
    assert_eq!(client.frame().await.payload, b"");
}

#[tokio::test]
async fn frames_that_no_server_may_send_are_sent_on_request() {
    let fake = start().await;
    let cases = [
        ("bad-frame=rsv1", &b"\xc1\x02hi"[..]),
        ("bad-frame=masked", b"\x81\x82\x01\x02\x03\x04ik"),
        ("bad-frame=oversized", b"\x81\x7f\0\0\x01\0\0\0\0\0hi"),
        ("raw=8105 raw=00ff", b"\x81\x05\x00\xff"),
    ];
    for (script, bytes) in cases {
        let mut client = scripted(&fake, &format!("{script} fin")).await;
        assert_eq!(client.rest().await.expect("no reset"), bytes, "{script}");
    }
    let mut client = scripted(&fake, "after=1 bad-frame=partial reset").await;
    client.send(TEXT, b"go").await;
    assert!(client.rest().await.is_err(), "a reset in mid-frame");
}

#[tokio::test]
async fn a_half_open_socket_reads_on_and_says_nothing_more() {
    let fake = start().await;
    let mut client = scripted(&fake, "after=1 half-open ping=1").await;
    client.send(TEXT, b"last").await;
    while client.frame().await.payload != b"last" {}
    client.send(PING, b"anybody").await;
    client.send(CLOSE, b"\x03\xe8").await;
    let heard = |record: &fake_openai::SocketRecord| record.received.close.is_some();
    let record = fake.socket_until(0, heard).await;
    assert!(record.open && record.sent.pongs.is_empty() && record.sent.close.is_none());
    drop(client);
    assert!(fake.socket_until(0, |record| !record.open).await.left);
}

#[tokio::test]
async fn a_stalled_socket_reads_no_more_and_stays_open() {
    let fake = start().await;
    let mut client = scripted(&fake, "after=1 stall").await;
    client.send(TEXT, b"last").await;
    assert_eq!(client.frame().await.payload, b"last");
    client.send(TEXT, b"never read").await;
    let record = fake.socket_until(0, |record| record.sent.frames == 1).await;
    assert_eq!((record.received.frames, record.open), (1, true));
    assert_eq!(fake.open_connections(), 1);
}

#[tokio::test]
async fn a_close_frame_is_left_without_an_answer_on_request() {
    let fake = start().await;
    let mut client = scripted(&fake, "ignore-close").await;
    client.send(CLOSE, b"\x03\xe8").await;
    client.send(PING, b"still there").await;
    assert_eq!(client.frame().await.payload, b"still there");
}

#[tokio::test]
async fn a_session_ends_when_its_life_has_passed() {
    let fake = start().await;
    let mut client = scripted(&fake, "life=5").await;
    assert_eq!(client.frame().await.close().0, 1001);
}
