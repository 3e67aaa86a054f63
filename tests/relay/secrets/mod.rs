//! P17 and P18 as far as built: the server's key goes into one header and nowhere else, and what
//! clients send never shows in the log.

mod clients;
mod key;
mod sockets;

use crate::support::{Connection, Relay};

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes
        .windows(secret.len())
        .any(|window| window == secret.as_bytes())
}

/// Everything that comes back, to the end of the connection.
async fn all_bytes(relay: &Relay, request: &[u8]) -> Vec<u8> {
    let mut connection = Connection::open(relay.address()).await;
    connection.write(request).await;
    let mut seen = Vec::new();
    while let Some(bytes) = connection.more().await {
        seen.extend(bytes);
    }
    seen
}
