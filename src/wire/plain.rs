//! Plain: a bare TCP socket. What is sent goes to the kernel directly, and so does a read into memory that
//! was written before: the C library takes two atomic steps around each call that a thread might be
//! cancelled in, which nobody here ever is.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop;

/// A TCP socket of the runtime's.
pub struct Plain(TcpStream);

impl Plain {
    /// Over this socket.
    pub fn new(socket: TcpStream) -> Plain {
        Plain(socket)
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.0
    }

    /// Reads into `room`; how much, 0 at the end of the stream.
    pub(super) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let length = room.len();
        loop {
            let budget = ready!(coop::poll_proceed(cx));
            let read = || recv(&self.0, &mut *room, RecvFlags::empty()).map(|(_, read)| read);
            if let Some(read) = self.call(Interest::READABLE, length, read) {
                budget.made_progress();
                return Poll::Ready(read);
            }
            // What was taken of the budget is given back first: without any left nobody would be woken.
            drop(budget);
            ready!(self.0.poll_read_ready(cx))?;
        }
    }

    /// Sends; how much.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // Rust's runtime ignores SIGPIPE; not every system knows a flag for that.
        let write = || send(&self.0, bytes, SendFlags::empty());
        loop {
            let budget = ready!(coop::poll_proceed(cx));
            if let Some(written) = self.call(Interest::WRITABLE, bytes.len(), write) {
                budget.made_progress();
                return Poll::Ready(written);
            }
            drop(budget);
            ready!(self.0.poll_write_ready(cx))?;
        }
    }

    /// One call of the kernel, if the runtime has heard that it can do something; `length` is what it
    /// may do at most. `None`: it has to be waited for.
    fn call(
        &self,
        interest: Interest,
        length: usize,
        ask: impl FnOnce() -> rustix::io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        let mut result = None;
        let _ = self.0.try_io(interest, || {
            let done = ask();
            // Who did only a part would be told to wait the next time (epoll(7)): that call is spared.
            let is_drained = match done {
                Ok(done) => 0 < done && done < length,
                Err(error) => error == Errno::WOULDBLOCK,
            };
            result = (done != Err(Errno::WOULDBLOCK)).then_some(done);
            match is_drained {
                true => Err(ErrorKind::WouldBlock.into()),
                false => Ok(()),
            }
        });
        result.map(|done| done.map_err(io::Error::from))
    }
}

/// Whether this socket has nothing to say, an end included. The kernel is asked: it knows before the
/// runtime does.
pub(super) fn is_silent(socket: &TcpStream) -> bool {
    let peeked = recv(socket, &mut [0; 1], RecvFlags::PEEK);
    peeked.is_err_and(|error| error == Errno::WOULDBLOCK)
}

impl AsyncRead for Plain {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let plain = self.get_mut();
        // Without unsafe code only memory that was written before can be handed to the kernel.
        if buffer.initialized().len() < buffer.capacity() {
            return Pin::new(&mut plain.0).poll_read(cx, buffer);
        }
        let read = ready!(plain.poll_recv(cx, buffer.initialize_unfilled()))?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices {
            [one] => self.poll_write(cx, one),
            _ => Pin::new(&mut self.get_mut().0).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{Read, Write};
    use std::net;
    use std::thread;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// More than the kernel takes at once.
    const MUCH: usize = 16 * 1024 * 1024;

    /// Both ends of a connection.
    pub(in crate::wire) fn pair() -> (Plain, net::TcpStream) {
        let listener = net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let peer = net::TcpStream::connect(listener.local_addr().expect("its address"));
        let (socket, _) = listener.accept().expect("a peer");
        socket.set_nonblocking(true).expect("a socket");
        let socket = TcpStream::from_std(socket).expect("a socket");
        (Plain::new(socket), peer.expect("a connection"))
    }

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at % 251) as u8).collect()
    }

    #[tokio::test]
    async fn what_the_peer_does_not_take_yet_goes_once_it_does() {
        let (mut plain, mut peer) = pair();
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).expect("readable");
            all
        });
        plain.write_all(&bytes(MUCH)).await.expect("written");
        drop(plain);
        assert!(reading.join().expect("read") == bytes(MUCH));
    }

    #[tokio::test]
    async fn bytes_arrive_in_order_whatever_a_read_takes_and_the_end_behind_them() {
        let (mut plain, mut peer) = pair();
        let writing = thread::spawn(move || peer.write_all(&bytes(MUCH)));
        let (mut all, mut some) = (Vec::new(), [0; 1000]);
        loop {
            let read = plain.read(&mut some).await.expect("readable");
            all.extend_from_slice(&some[..read]);
            if read == 0 {
                break;
            }
        }
        writing.join().expect("no panic").expect("written");
        assert!(all == bytes(MUCH));
    }

    #[tokio::test]
    async fn a_broken_connection_is_an_error_for_who_reads_and_who_writes() {
        let (mut plain, peer) = pair();
        plain.write_all(b"unread").await.expect("written");
        // With bytes unread the close is a reset.
        drop(peer);
        let read = plain.read(&mut [0; 8]).await;
        assert_eq!(read.expect_err("reset").kind(), ErrorKind::ConnectionReset);
        let written = plain.write_all(b"more").await;
        assert_eq!(written.expect_err("broken").kind(), ErrorKind::BrokenPipe);
    }
}
