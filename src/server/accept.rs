//! Binding and accepting. An accept that fails is survived, without spinning.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpListener;

use crate::admission::{Level, Pressure};

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

/// Takes connections off a listener.
pub(super) struct Accepting<'a> {
    listener: &'a TcpListener,
    pressure: &'a Pressure,
    is_failing: bool,
}

impl<'a> Accepting<'a> {
    pub(super) fn new(listener: &'a TcpListener, pressure: &'a Pressure) -> Accepting<'a> {
        Accepting {
            listener,
            pressure,
            is_failing: false,
        }
    }

    /// The next connection, which belongs to no runtime yet. Waits, without spinning, while there is no room for one.
    pub(super) async fn next(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            while self.pressure.level() == Level::Full {
                tokio::time::sleep(PAUSE).await;
            }
            let accepted = self.listener.accept().await;
            match accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
                Ok((stream, peer)) => {
                    self.is_failing = false;
                    tune(&stream);
                    return (stream, peer);
                }
                Err(error) => {
                    // Once for each time that it begins, not for each attempt.
                    if !self.is_failing {
                        tracing::warn!(%error, "connections cannot be accepted");
                    }
                    self.is_failing = true;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// A socket that cannot take an option is broken, and its first read says so.
fn tune(stream: &TcpStream) {
    // Without it Nagle's algorithm and delayed acknowledgements add some 40 ms to an exchange.
    let _ = stream.set_nodelay(true);
    // Finds out about clients that vanished while they are owed nothing.
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_byte_to_a_client_waits_for_an_acknowledgement() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a listener");
        let address = listener.local_addr().expect("its address");
        let _client = TcpStream::connect(address).expect("a connection");
        let pressure = Pressure::default();
        let (stream, _) = Accepting::new(&listener, &pressure).next().await;
        assert!(stream.nodelay().expect("an option"));
    }
}
