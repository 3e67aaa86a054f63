//! What may come in, what comes back, and what is remembered of both.

use fake_openai::{Close, FakeOpenAi, Kind, Opcode, Options, flood_message};

use crate::client::{
    BINARY, CLOSE, CONTINUES, ENDS, Frame, PING, PONG, TEXT, TEXT_BEGINS, ask, masked, open,
    request,
};
use crate::start;

const ECHO: &str = "/v1/_fake/echo";

#[tokio::test]
async fn an_echo_repeats_frame_by_frame_with_control_frames_between() {
    let fake = start().await;
    let mut client = open(&fake, ECHO, &[]).await;
    let frames = [
        (TEXT_BEGINS, "gr\u{fc}".as_bytes()),
        (PING, b"now"),
        (CONTINUES, b""),
        (ENDS, b"n"),
        (BINARY, &[0xff; 70_000]),
        (TEXT, b""),
    ];
    for (first, payload) in frames {
        client.send(first, payload).await;
    }
    for (first, payload) in frames {
        let first = if first == PING { PONG } else { first };
        let payload = payload.to_vec();
        assert_eq!(client.frame().await, Frame { first, payload });
    }
    client.send(CLOSE, b"\x03\xe8bye").await;
    assert_eq!(client.frame().await.close(), (1000, String::new()));
    assert_eq!(client.try_frame().await.expect("no reset"), None);
}

#[tokio::test]
async fn the_record_counts_and_hashes_both_directions() {
    let fake = start().await;
    let mut client = open(&fake, ECHO, &[]).await;
    let mut wire = Vec::new();
    for (first, payload) in [
        (TEXT_BEGINS, &b"a"[..]),
        (PING, b"p"),
        (ENDS, b"bc"),
        (BINARY, b"\0"),
    ] {
        wire.extend(masked(first, payload));
    }
    client.raw(&wire).await;
    client.send(PONG, b"unasked").await;
    client.send(CLOSE, b"\x0f\xa4why").await;
    client.rest().await.expect("no reset");
    drop(client);
    let record = fake.socket_until(0, |record| !record.open).await;
    let received = &record.received;
    assert_eq!((received.text.messages, received.text.bytes), (1, 3));
    // SHA-256 of "abc".
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(received.text.sha256(), abc);
    assert_eq!((received.binary.messages, received.binary.bytes), (1, 1));
    assert_eq!(received.texts(), ["abc", "\0"]);
    assert!(received.wire.starts_with(&wire));
    assert_eq!(received.heads[0].mask, Some([0xa1, 0xb2, 0xc3, 0xd4]));
    let opcodes: Vec<Opcode> = received.heads.iter().map(|head| head.opcode).collect();
    assert_eq!(
        opcodes[..3],
        [Opcode::Text, Opcode::Ping, Opcode::Continuation]
    );
    assert_eq!(received.pings, [b"p"]);
    assert_eq!(received.pongs, [b"unasked"]);
    let (code, reason) = (Some(4004), "why".to_owned());
    assert_eq!(received.close, Some(Close { code, reason }));
    assert_eq!(record.sent.text.sha256(), abc);
    assert_eq!(record.sent.pongs, [b"p"]);
    assert_eq!(
        record.sent.close.as_ref().and_then(|close| close.code),
        Some(4004)
    );
    assert!(record.left && record.violation.is_none());
}

#[tokio::test]
async fn what_breaks_a_rule_is_closed_with_its_code() {
    let fake = start().await;
    let too_big = [
        &[0x82, 0xff][..],
        &(21u64 * 1024 * 1024 + 1).to_be_bytes(),
        &[1; 4],
    ]
    .concat();
    let cases = [
        (1002, b"\x81\x02hi".to_vec()),
        (1002, masked(0xc1, b"hi")),
        (1002, masked(0x83, b"hi")),
        (1002, masked(ENDS, b"hi")),
        (1002, masked(0x09, b"hi")),
        (1002, masked(CLOSE, b"\x03\xed")),
        (1007, masked(TEXT, b"\xc3\x28")),
        (1009, too_big),
    ];
    for (at, (code, bytes)) in cases.into_iter().enumerate() {
        let mut client = open(&fake, ECHO, &[]).await;
        client.raw(&bytes).await;
        assert_eq!(client.frame().await.close().0, code, "case {at}");
        assert_eq!(client.try_frame().await.expect("no reset"), None);
        drop(client);
        let record = fake.socket_until(at, |record| !record.open).await;
        assert!(record.violation.is_some(), "case {at}");
    }
}

#[tokio::test]
async fn a_message_of_twenty_one_mib_passes_both_ways() {
    let fake = start().await;
    let mut client = open(&fake, ECHO, &[]).await;
    let payload = vec![b'x'; 21 * 1024 * 1024];
    client.send(TEXT, &payload).await;
    assert!(client.frame().await.payload == payload);
}

#[tokio::test]
async fn frames_that_came_with_the_upgrade_are_not_lost() {
    let fake = start().await;
    let key = format!("Authorization: Bearer {}", fake.server_key());
    let early = masked(TEXT, b"early");
    let bytes = [request(ECHO, &[&key]).as_bytes(), &early].concat();
    let (_, _, mut client) = ask(&fake, bytes).await;
    assert_eq!(client.frame().await.payload, b"early");
}

#[tokio::test]
async fn a_flood_says_what_everybody_can_compute() {
    let fake = start().await;
    for (kind, query, first) in [(Kind::Text, "text", TEXT), (Kind::Binary, "binary", BINARY)] {
        let path = format!("/v1/_fake/flood?n=50&size=3000&kind={query}");
        let mut client = open(&fake, &path, &[]).await;
        for at in 0..50 {
            let payload = flood_message(kind, at, 3000).to_vec();
            assert!(client.frame().await == Frame { first, payload }, "{at}");
        }
        assert_eq!(client.frame().await.close().0, 1000);
    }
}

#[tokio::test]
async fn pings_come_by_themselves_with_four_bytes() {
    let options = Options {
        ping_interval: std::time::Duration::from_millis(5),
        ..Options::default()
    };
    let fake = FakeOpenAi::start(options).await.expect("a stand-in");
    let mut client = open(&fake, ECHO, &[]).await;
    for _ in 0..3 {
        let ping = client.frame().await;
        assert_eq!((ping.first, ping.payload.len()), (PING, 4));
        client.send(PONG, &ping.payload).await;
    }
    let record = fake
        .socket_until(0, |record| record.received.pongs.len() == 3)
        .await;
    assert_eq!(record.received.pongs[..], record.sent.pings[..3]);
}
