//! A bad network between two peers: forwards bytes until it delays, drips, resets, closes one side,
//! or swallows the rest.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// What happens to the bytes of one direction.
#[derive(Clone, Copy, Debug, Default)]
pub enum Fault {
    /// They arrive.
    #[default]
    None,
    /// Each read is held so long.
    Delay(Duration),
    /// One byte at a time, with a pause between them.
    Drip(Duration),
    /// At the byte behind so many both connections are reset.
    ResetAt(usize),
    /// At the byte behind so many this direction is closed; the other goes on.
    HalfCloseAt(usize),
    /// From the byte behind so many on nothing arrives any more, and nothing is closed.
    BlackholeAt(usize),
}

/// A running proxy in front of one address. Dropping it cuts everything.
#[derive(Debug)]
pub struct FaultProxy {
    addr: SocketAddr,
    open: Arc<AtomicUsize>,
    _running: DropGuard,
}

impl FaultProxy {
    /// Starts one in front of `target`, with a fault for what goes there and for what comes back.
    ///
    /// # Errors
    /// If no port can be listened on.
    pub async fn start(target: SocketAddr, there: Fault, back: Fault) -> io::Result<FaultProxy> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let stop = CancellationToken::new();
        let open = Arc::new(AtomicUsize::new(0));
        let (tasks, stopped, count) = (TaskTracker::new(), stop.clone(), Arc::clone(&open));
        let connections = tasks.clone();
        tasks.spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = stopped.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                let Ok((client, _)) = accepted else {
                    continue;
                };
                let (stopped, count) = (stopped.clone(), Arc::clone(&count));
                connections.spawn(async move {
                    count.fetch_add(1, Ordering::SeqCst);
                    tokio::select! {
                        () = stopped.cancelled() => {}
                        () = join(client, target, there, back) => {}
                    }
                    count.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Ok(FaultProxy {
            addr,
            open,
            _running: stop.drop_guard(),
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Connections that are open now.
    pub fn open_connections(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

async fn join(client: TcpStream, target: SocketAddr, there: Fault, back: Fault) {
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let there = forward(from_client, to_server, there);
    let back = forward(from_server, to_client, back);
    let (there, back) = (std::pin::pin!(there), std::pin::pin!(back));
    let mut halves = (there, back);
    // Once one side was reset there is nothing left to forward on the other.
    tokio::select! {
        end = &mut halves.0 => {
            if end == End::Closed {
                halves.1.await;
            }
        }
        end = &mut halves.1 => {
            if end == End::Closed {
                halves.0.await;
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The stream ended, and so did its copy.
    Closed,
    /// Both connections are gone.
    Reset,
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, fault: Fault) -> End {
    let mut left = match fault {
        Fault::ResetAt(at) | Fault::HalfCloseAt(at) | Fault::BlackholeAt(at) => Some(at),
        _ => None,
    };
    let mut buffer = vec![0; 16 * 1024];
    loop {
        // The fault strikes at the byte behind: with 0, at the first, not at the connection.
        if left == Some(0) && matches!(from.peek(&mut [0]).await, Ok(1..)) {
            return at_end(from, to, fault).await;
        }
        let room = left.unwrap_or(buffer.len()).min(buffer.len());
        let read = match from.read(&mut buffer[..room]).await {
            Ok(0) => {
                let _ = to.shutdown().await;
                return End::Closed;
            }
            Ok(read) => read,
            Err(_) => {
                reset(&from, &to);
                return End::Reset;
            }
        };
        left = left.map(|left| left - read);
        if write(&mut to, &buffer[..read], fault).await.is_err() {
            reset(&from, &to);
            return End::Reset;
        }
    }
}

async fn write(to: &mut OwnedWriteHalf, bytes: &[u8], fault: Fault) -> io::Result<()> {
    match fault {
        Fault::Delay(pause) => {
            tokio::time::sleep(pause).await;
            to.write_all(bytes).await
        }
        Fault::Drip(pause) => {
            for byte in bytes {
                to.write_all(&[*byte]).await?;
                tokio::time::sleep(pause).await;
            }
            Ok(())
        }
        _ => to.write_all(bytes).await,
    }
}

async fn at_end(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, fault: Fault) -> End {
    match fault {
        Fault::ResetAt(_) => {
            reset(&from, &to);
            End::Reset
        }
        Fault::HalfCloseAt(_) => {
            let _ = to.shutdown().await;
            swallow(&mut from).await;
            End::Closed
        }
        _ => {
            swallow(&mut from).await;
            // Not even the end arrives.
            std::future::pending().await
        }
    }
}

async fn swallow(from: &mut OwnedReadHalf) {
    let mut buffer = vec![0; 16 * 1024];
    while matches!(from.read(&mut buffer).await, Ok(read) if read > 0) {}
}

/// With no time to linger, closing sends RST.
fn reset(from: &OwnedReadHalf, to: &OwnedWriteHalf) {
    let at_once = Some(Duration::ZERO);
    let _ = socket2::SockRef::from(from.as_ref()).set_linger(at_once);
    let _ = socket2::SockRef::from(to.as_ref()).set_linger(at_once);
}
