//! A non-blocking socket, plain or under TLS, with what could not be written yet.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

/// One read takes this much at most, in bytes: enough for several messages.
pub const SCRATCH: usize = 64 * 1024;

/// A connection. Registered once, for reading and writing, edge-triggered.
pub struct Channel {
    socket: TcpStream,
    tls: Option<Box<Connection>>,
    waiting: Vec<u8>,
    has_ended: bool,
}

impl Channel {
    /// Over an accepted socket.
    pub fn accepted(socket: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Channel> {
        let tls = tls.map(|config| ServerConnection::new(Arc::clone(config)));
        let tls = tls.transpose().map_err(io::Error::other)?;
        Channel::new(socket, tls.map(Connection::from))
    }

    /// To this address; connecting goes on behind the scenes.
    pub fn connect(to: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> io::Result<Channel> {
        let name = ServerName::IpAddress(to.ip().into());
        let tls = tls.map(|config| ClientConnection::new(Arc::clone(config), name));
        let tls = tls.transpose().map_err(io::Error::other)?;
        Channel::new(TcpStream::connect(to)?, tls.map(Connection::from))
    }

    fn new(socket: TcpStream, tls: Option<Connection>) -> io::Result<Channel> {
        socket.set_nodelay(true)?;
        Ok(Channel {
            socket,
            tls: tls.map(Box::new),
            waiting: Vec::new(),
            has_ended: false,
        })
    }

    /// Registers it, once.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(
            &mut self.socket,
            token,
            Interest::READABLE | Interest::WRITABLE,
        )
    }

    /// Whether the peer has closed, or the connection broke.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether something could not be written yet.
    pub fn is_blocked(&self) -> bool {
        !self.waiting.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Appends to `input` what has come, until there is no more; notes the end.
    pub fn read(&mut self, scratch: &mut [u8], input: &mut Vec<u8>) {
        let read = match &mut self.tls {
            None => read_plain(&mut self.socket, scratch, input),
            Some(tls) => read_tls(tls, &mut self.socket, scratch, input),
        };
        self.has_ended |= !matches!(read, Ok(true));
        // TLS may have something to say of its own.
        self.flush();
    }

    /// Writes, and keeps what the socket does not take.
    pub fn write(&mut self, bytes: &[u8]) {
        if let Some(tls) = &mut self.tls {
            let mut rest = bytes;
            // rustls takes as much as its own buffer holds.
            while !rest.is_empty() && !self.has_ended {
                match tls.writer().write(rest) {
                    Ok(0) => break,
                    Ok(taken) => rest = &rest[taken..],
                    Err(_) => self.has_ended = true,
                }
                if !write_tls(tls, &mut self.socket).unwrap_or(false) {
                    break;
                }
            }
            self.waiting.extend_from_slice(rest);
            return;
        }
        let mut rest = bytes;
        while self.waiting.is_empty() && !rest.is_empty() && !self.has_ended {
            match self.socket.write(rest) {
                Ok(taken) => rest = &rest[taken..],
                Err(error) if is_soon(&error) => break,
                Err(_) => self.has_ended = true,
            }
        }
        self.waiting.extend_from_slice(rest);
    }

    /// Writes what waits.
    pub fn flush(&mut self) {
        if let Some(tls) = &mut self.tls {
            match write_tls(tls, &mut self.socket) {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => self.has_ended = true,
            }
        }
        if !self.waiting.is_empty() && !self.has_ended {
            let waiting = std::mem::take(&mut self.waiting);
            self.write(&waiting);
        }
    }
}

/// Until the socket has no more: whether it is still open. A read that does not fill the buffer has
/// emptied the socket (epoll(7)).
fn read_plain(socket: &mut TcpStream, scratch: &mut [u8], input: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        match socket.read(scratch) {
            Ok(0) => return Ok(false),
            Ok(length) => {
                input.extend_from_slice(&scratch[..length]);
                if length < scratch.len() {
                    return Ok(true);
                }
            }
            Err(error) if is_soon(&error) => return Ok(true),
            Err(error) => return Err(error),
        }
    }
}

fn read_tls(
    tls: &mut Connection,
    socket: &mut TcpStream,
    scratch: &mut [u8],
    input: &mut Vec<u8>,
) -> io::Result<bool> {
    loop {
        match tls.read_tls(socket) {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(error) if is_soon(&error) => return Ok(true),
            Err(error) => return Err(error),
        }
        tls.process_new_packets().map_err(io::Error::other)?;
        loop {
            match tls.reader().read(scratch) {
                Ok(0) => return Ok(false),
                Ok(length) => input.extend_from_slice(&scratch[..length]),
                Err(error) if is_soon(&error) => break,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether all has gone.
fn write_tls(tls: &mut Connection, socket: &mut TcpStream) -> io::Result<bool> {
    while tls.wants_write() {
        match tls.write_tls(socket) {
            Ok(_) => {}
            Err(error) if is_soon(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// A socket that is not connected yet says so too.
fn is_soon(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected
    )
}
