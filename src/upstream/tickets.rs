//! Tickets: TLS sessions that can be resumed, so that of many connections that are made at once few
//! need a whole handshake. Never gives one out twice.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;

/// The most for one server. A connection takes one and is given two or so (RFC 8446 section 4.6.1), so that
/// there is a stock after the first few. Each holds its server's certificates, some 4 KiB.
const MOST: usize = 128;
/// For how many servers there is room in the rest: the upstream and a proxy are all that there are.
const SERVERS: usize = 8;

/// What was given for each server, in the order in which it came.
type Stock = HashMap<ServerName<'static>, VecDeque<Tls13ClientSessionValue>>;

/// What can be resumed. rustls' own store keeps eight tickets for a server, which many sockets that open at
/// once soon use up.
#[derive(Debug)]
pub(super) struct Tickets {
    /// Each is good for one connection (RFC 8446 appendix C.4).
    stock: Mutex<Stock>,
    /// For all that is no ticket of TLS 1.3.
    rest: ClientSessionMemoryCache,
}

impl Tickets {
    pub(super) fn new() -> Tickets {
        Tickets {
            stock: Mutex::default(),
            rest: ClientSessionMemoryCache::new(8 * SERVERS),
        }
    }

    fn stock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.rest.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.rest.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.rest.set_tls12_session(server, session);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.rest.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.rest.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut stock = self.stock();
        let tickets = stock.entry(server).or_default();
        if tickets.len() >= MOST {
            tickets.pop_front();
        }
        tickets.push_back(ticket);
    }

    /// The newest: an old one may be over.
    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.stock().get_mut(server)?.pop_back()
    }
}
