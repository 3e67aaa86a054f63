//! A strict and faithful stand-in for OpenAI's API, on raw sockets, that can be told to fail.
//!
//! It refuses what OpenAI refuses, records every byte that reached it, and follows a [`Script`] per
//! request: that is how the tests, the benches and the demo of the relay get an upstream.
//!
//! - `server`: accepts, and drives one connection
//! - `wire`: requests off the socket, answers onto it, in exactly the bytes that are wanted
//! - `strict`: who may ask, and what a well-formed request looks like
//! - `api`: the surfaces, one file each
//! - `ws`: WebSockets as bytes; `realtime`: the sessions that speak on them
//! - `script`: what to do instead of, or around, the normal answer
//! - `fault_proxy`: a bad network between two peers

mod api;
mod errors;
mod fault_proxy;
mod multipart;
mod realtime;
mod record;
mod script;
mod sdp;
mod server;
mod state;
mod strict;
mod tls;
mod wire;
mod ws;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use api::deterministic_bytes;
pub use fault_proxy::{Fault, FaultProxy};
pub use realtime::speech;
pub use record::Received;
pub use script::Script;
pub use tls::Certificate;
pub use ws::{Close, FrameHead, Kind, Opcode, SocketRecord, Tally, Traffic, flood_message};

use state::State;

/// The key that a stand-in takes unless told otherwise.
pub const DEFAULT_KEY: &str = "sk-fake-server-key-0123456789abcdef";

/// How a stand-in is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The one project key that it takes.
    pub server_key: String,
    /// Whether it speaks TLS, with an authority of its own, and with which certificate.
    pub tls: Option<Certificate>,
    /// Pause between the chunks of a stream, and between the events of a response on a socket.
    pub chunk_delay: Duration,
    /// Time between two pings on a socket; zero for none.
    pub ping_interval: Duration,
    /// The longest life of a session on a socket.
    pub session_length: Duration,
    /// How much sound makes a turn of the user.
    pub turn_length: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            server_key: DEFAULT_KEY.to_owned(),
            tls: None,
            chunk_delay: Duration::ZERO,
            ping_interval: Duration::from_secs(20),
            session_length: Duration::from_secs(60 * 60),
            turn_length: Duration::from_secs(1),
        }
    }
}

/// A running stand-in. Dropping it ends its connections and its listener.
#[derive(Debug)]
pub struct FakeOpenAi {
    addr: SocketAddr,
    ca_pem: Option<String>,
    state: Arc<State>,
    _running: DropGuard,
}

impl FakeOpenAi {
    /// Starts one inside the current runtime.
    ///
    /// # Errors
    /// If the address cannot be listened on, or a certificate cannot be made.
    pub async fn start(options: Options) -> io::Result<FakeOpenAi> {
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let identity = options.tls.map(tls::Identity::generate).transpose()?;
        let stop = CancellationToken::new();
        let state = Arc::new(State::new(&options, stop.clone()));
        let acceptor = identity.as_ref().map(tls::Identity::acceptor);
        server::spawn(listener, acceptor, &state);
        Ok(FakeOpenAi {
            addr,
            ca_pem: identity.map(|identity| identity.ca_pem),
            state,
            _running: stop.drop_guard(),
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What a client takes as base URL: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        let scheme = if self.ca_pem.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}/v1", self.addr)
    }

    /// The project key that it takes.
    pub fn server_key(&self) -> &str {
        &self.state.server_key
    }

    /// The authority behind its certificate, in PEM; `None` without TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// What reached it so far, in order of arrival, unfinished requests included.
    pub fn received(&self) -> Vec<Received> {
        self.state.records().clone()
    }

    /// The same, and forgets it.
    pub fn take_received(&self) -> Vec<Received> {
        self.state.take_records()
    }

    /// The WebSockets so far, in order of their 101, open ones included.
    pub fn sockets(&self) -> Vec<SocketRecord> {
        self.state.sockets.all()
    }

    /// The same, and forgets them.
    pub fn take_sockets(&self) -> Vec<SocketRecord> {
        self.state.sockets.take()
    }

    /// Waits until the WebSocket of that number, counted from 0 or from the last time that they
    /// were taken, is there and shows what is wanted.
    pub async fn socket_until(
        &self,
        at: usize,
        wanted: impl Fn(&SocketRecord) -> bool,
    ) -> SocketRecord {
        self.state.sockets.until(at, wanted).await
    }

    /// TCP connections accepted so far.
    pub fn connections(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Of these, those whose TLS session was resumed.
    pub fn resumed(&self) -> usize {
        self.state.resumed.load(Ordering::SeqCst)
    }

    /// TCP connections that are open now.
    pub fn open_connections(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// An ephemeral credential that it takes on realtime and live routes, for ten minutes.
    pub fn mint_ephemeral(&self) -> String {
        self.state.mint(600, serde_json::Value::Null).value
    }

    /// What to do with the next request; several wait in line.
    pub fn push_script(&self, script: Script) {
        self.state.push_script(script);
    }
}
