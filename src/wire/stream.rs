//! A byte stream over a socket, whatever lies between the two.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use super::plain::Plain;

/// A byte stream, whatever lies above its socket.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {
    /// The socket at the bottom.
    fn socket(&self) -> &TcpStream;
}

impl Io for Plain {
    fn socket(&self) -> &TcpStream {
        Plain::socket(self)
    }
}

impl<S: Io> Io for client::TlsStream<S> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0.socket()
    }
}

impl Io for server::TlsStream<Plain> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0.socket()
    }
}

impl Io for Box<dyn Io> {
    fn socket(&self) -> &TcpStream {
        self.as_ref().socket()
    }
}

/// A connection's stream: the plain ones without an allocation of their own.
pub(super) enum Stream {
    Plain(Plain),
    Other(Box<dyn Io>),
}

impl Stream {
    pub(super) fn io(&mut self) -> &mut dyn Io {
        match self {
            Stream::Plain(stream) => stream,
            Stream::Other(stream) => stream.as_mut(),
        }
    }

    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(stream) => stream.socket(),
            Stream::Other(stream) => stream.socket(),
        }
    }

    pub(super) fn boxed(self) -> Box<dyn Io> {
        match self {
            Stream::Plain(stream) => Box::new(stream),
            Stream::Other(stream) => stream,
        }
    }

    /// Reads to this buffer; what came, nothing at the end of the stream.
    pub(super) fn poll_read<'a>(
        &mut self,
        cx: &mut Context<'_>,
        room: &'a mut [u8],
    ) -> Poll<io::Result<&'a [u8]>> {
        let read = match self {
            Stream::Plain(plain) => ready!(plain.poll_recv(cx, room))?,
            Stream::Other(stream) => {
                let mut buffer = ReadBuf::new(room);
                ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
                buffer.filled().len()
            }
        };
        Poll::Ready(Ok(&room[..read]))
    }
}
