//! A way to a server on which every answer takes longer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Goes away with this.
pub struct SlowWay {
    port: u16,
    delay_ms: Arc<AtomicU64>,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl SlowWay {
    /// A way to a port of this machine, as fast as it is.
    pub async fn to(port: u16) -> SlowWay {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut way = SlowWay {
            port: listener.local_addr().expect("an address").port(),
            delay_ms: Arc::default(),
            connections: Arc::default(),
            _tasks: JoinSet::new(),
        };
        let (delay_ms, connections) = (Arc::clone(&way.delay_ms), Arc::clone(&way.connections));
        way._tasks.spawn(async move {
            let mut moving = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                let there = SocketAddr::from(([127, 0, 0, 1], port));
                let Ok(server) = TcpStream::connect(there).await else {
                    continue;
                };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                moving.spawn(carry(from_client, to_server, Arc::default()));
                moving.spawn(carry(from_server, to_client, Arc::clone(&delay_ms)));
            }
        });
        way
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on every answer takes so much longer.
    pub fn delay(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).expect("not long");
        self.delay_ms.store(delay, Ordering::Relaxed);
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay_ms: Arc<AtomicU64>) {
    let mut piece = vec![0; 65_536];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        let delay = Duration::from_millis(delay_ms.load(Ordering::Relaxed));
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&piece[..read]).await.is_err() {
            return;
        }
    }
}
