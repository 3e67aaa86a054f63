//! Plain: a bare TCP socket. Bytes go to the kernel and come from it directly: the C library takes two
//! atomic steps around each call that a thread might be cancelled in, which nobody here ever is.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

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

    /// One call of the kernel, if the runtime has heard that it can do something; `length` is what it
    /// may do at most. `None`: it has to be waited for.
    fn call(
        &self,
        interest: Interest,
        length: usize,
        call: impl FnOnce() -> rustix::io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        let mut result = None;
        let _ = self.0.try_io(interest, || {
            let done = call().map_err(io::Error::from);
            // Who did only a part would be told to wait the next time (epoll(7)): that call is spared.
            let is_last = match &done {
                Ok(done) => *done > 0 && *done < length,
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            };
            result = Some(done);
            match is_last {
                true => Err(ErrorKind::WouldBlock.into()),
                false => Ok(()),
            }
        });
        let would_block = |error: &io::Error| matches!(error.kind(), ErrorKind::WouldBlock);
        result.filter(|result| !result.as_ref().is_err_and(would_block))
    }
}

/// Whether this socket has nothing to say, an end included. The kernel is asked: it knows before the
/// runtime does.
pub(super) fn is_silent(socket: &TcpStream) -> bool {
    let peeked = recv(socket, &mut [0; 1], RecvFlags::PEEK);
    peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

impl AsyncRead for Plain {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let plain = self.get_mut();
        if buffer.initialized().len() < buffer.capacity() {
            return Pin::new(&mut plain.0).poll_read(cx, buffer);
        }
        let room = buffer.initialize_unfilled();
        let length = room.len();
        loop {
            let read = || recv(&plain.0, &mut *room, RecvFlags::empty()).map(|(_, read)| read);
            match plain.call(Interest::READABLE, length, read) {
                Some(read) => {
                    buffer.advance(read?);
                    return Poll::Ready(Ok(()));
                }
                None => ready!(plain.0.poll_read_ready(cx))?,
            }
        }
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = || send(&self.0, bytes, SendFlags::NOSIGNAL);
        loop {
            match self.call(Interest::WRITABLE, bytes.len(), write) {
                Some(written) => return Poll::Ready(written),
                None => ready!(self.0.poll_write_ready(cx))?,
            }
        }
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
