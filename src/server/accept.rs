//! Binding and accepting. An accept that fails is survived, without spinning.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

/// Connections that the kernel keeps ready while the relay is busy.
const BACKLOG: i32 = 4096;
/// Silence after which the kernel asks whether a client is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Pause after a failed accept: out of descriptors, mostly.
const PAUSE: Duration = Duration::from_millis(50);

/// A listener; `::` takes IPv4 too.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The next connection.
pub(super) async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Without it Nagle's algorithm and delayed acknowledgements add some 40 ms to an
                // exchange. A socket that cannot take it is broken, and its first read says so.
                let _ = stream.set_nodelay(true);
                // Finds out about clients that vanished while they are owed nothing.
                let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
                let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
                return (stream, peer);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_byte_to_a_client_waits_for_an_acknowledgement() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a listener");
        let address = listener.local_addr().expect("its address");
        let _client = TcpStream::connect(address).await.expect("a connection");
        let (stream, _) = next(&listener).await;
        assert!(stream.nodelay().expect("an option"));
    }
}
