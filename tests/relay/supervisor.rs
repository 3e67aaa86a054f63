//! What systemd hears of a relay that it starts with `Type=notify`.

use std::time::Duration;

use tokio::net::UnixDatagram;

use crate::support::pair_with;
use crate::support::relay::SOON;

/// The next message but those of the watchdog.
async fn told(socket: &UnixDatagram) -> String {
    loop {
        let message = any(socket).await;
        if message != "WATCHDOG=1" {
            return message;
        }
    }
}

async fn any(socket: &UnixDatagram) -> String {
    let mut text = [0; 256];
    let length = tokio::time::timeout(SOON, socket.recv(&mut text)).await;
    let length = length.expect("a message in time").expect("a message");
    String::from_utf8_lossy(&text[..length])
        .trim_end()
        .to_owned()
}

#[tokio::test]
async fn a_supervisor_hears_of_readiness_of_life_and_of_stopping() {
    let name = format!("relay-notify-{}", uuid::Uuid::new_v4().simple());
    let path = std::env::temp_dir().join(name);
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let place = path.to_str().expect("a path");
    let watchdog = Duration::from_millis(100).as_micros().to_string();
    let extra = [
        ("NOTIFY_SOCKET", place),
        ("WATCHDOG_USEC", watchdog.as_str()),
    ];
    let (_upstream, mut relay) = pair_with(&extra).await;
    assert_eq!(told(&socket).await, "READY=1");
    assert_eq!(any(&socket).await, "WATCHDOG=1");
    assert_eq!(any(&socket).await, "WATCHDOG=1");
    relay.signal("TERM");
    assert_eq!(told(&socket).await, "STOPPING=1");
    assert_eq!(relay.exit_code().await, Some(0));
    let _ = std::fs::remove_file(&path);
}
