//! A client that was written by others agrees with what the stand-in does.

use fake_openai::FakeOpenAi;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::start;

async fn connect(
    fake: &FakeOpenAi,
    path: &str,
    script: &str,
) -> Result<WebSocketStream<TcpStream>, Error> {
    let url = format!("ws://{}{path}", fake.addr());
    let mut request = url.into_client_request()?;
    let key = format!("Bearer {}", fake.server_key());
    let headers = request.headers_mut();
    headers.insert("authorization", key.parse().expect("a value"));
    headers.insert("x-fake-script", script.parse().expect("a value"));
    let stream = TcpStream::connect(fake.addr()).await?;
    Ok(client_async(request, stream).await?.0)
}

#[tokio::test]
async fn messages_of_every_size_come_back_to_a_library() {
    let fake = start().await;
    let mut socket = connect(&fake, "/v1/_fake/echo", "")
        .await
        .expect("a socket");
    for size in [0, 1, 125, 126, 65_535, 65_536, 3_000_000] {
        let message = Message::binary(fake_openai::deterministic_bytes(size as u64, size));
        socket.send(message.clone()).await.expect("sent");
        let answer = socket.next().await.expect("an answer").expect("a message");
        assert!(answer == message, "{size}");
    }
    socket.close(None).await.expect("closed");
    while socket.next().await.is_some() {}
    drop(socket);
    let record = fake.socket_until(0, |record| !record.open).await;
    assert_eq!(record.received.binary.sha256(), record.sent.binary.sha256());
    assert_eq!(record.received.binary.messages, 7);
}

#[tokio::test]
async fn a_library_puts_fragments_together() {
    let fake = start().await;
    let script = "flood=20x10000 fragment=999 interleave";
    let mut socket = connect(&fake, "/v1/x", script).await.expect("a socket");
    let mut texts = 0;
    let mut close = None;
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Text(text) => {
                let expected = fake_openai::flood_message(fake_openai::Kind::Text, texts, 10_000);
                assert!(text.as_bytes() == expected);
                texts += 1;
            }
            Message::Close(frame) => close = frame,
            _ => {}
        }
    }
    assert_eq!(texts, 20);
    assert_eq!(close.map(|CloseFrame { code, .. }| code.into()), Some(1000));
}

#[tokio::test]
async fn a_library_notices_what_a_script_breaks() {
    let fake = start().await;
    for script in ["wrong-accept", "subprotocol=other", "status=503"] {
        let socket = connect(&fake, "/v1/_fake/echo", script).await;
        assert!(socket.is_err(), "{script}");
    }
    for name in [
        "masked",
        "rsv1",
        "opcode3",
        "fragmented-ping",
        "long-ping",
        "bad-utf8",
        "lone-continuation",
        "message-in-message",
        "close-1005",
        "close-bad-utf8",
    ] {
        let script = format!("bad-frame={name} fin");
        let socket = connect(&fake, "/v1/_fake/echo", &script).await;
        let first = socket.expect("a socket").next().await;
        let is_clean = matches!(first, Some(Ok(Message::Text(_))));
        assert!(!is_clean, "{name}: {first:?}");
    }
}
