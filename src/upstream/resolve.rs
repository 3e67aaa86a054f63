//! Names to addresses, by the system's resolver, remembered so that its outages pass unnoticed.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::task::TaskTracker;

/// How long an answer is used as it is. The system's resolver does not tell how long it is good.
const FRESH: Duration = Duration::from_secs(60);
/// How long an old answer is used while a new one is looked for in the background.
const STALE: Duration = Duration::from_secs(15 * 60);

/// A resolver that remembers.
#[derive(Clone, Default)]
pub(super) struct Resolver {
    memory: Arc<Mutex<Memory>>,
    refreshes: TaskTracker,
}

impl Resolver {
    /// The addresses of a host, which may be an address itself, with this port.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let known = self.memory().recall(host, Instant::now());
        let found = match known {
            Known::Fresh(found) => found,
            Known::Stale(found) => {
                let this = self.clone();
                let host = host.to_owned();
                self.refreshes.spawn(async move {
                    let _ = this.look_up(&host).await;
                });
                found
            }
            Known::Doubtful(found) => match self.look_up(host).await {
                Ok(new) => new,
                Err(error) if found.is_empty() => return Err(error),
                Err(_) => found,
            },
        };
        Ok(found.iter().map(|ip| SocketAddr::new(*ip, port)).collect())
    }

    /// This address answered: it is tried first from now on.
    pub(super) fn prefer(&self, host: &str, ip: IpAddr) {
        self.memory().prefer(host, ip);
    }

    /// None of a host's addresses could be reached: they are asked for anew next time.
    pub(super) fn doubt(&self, host: &str) {
        self.memory().doubt(host);
    }

    async fn look_up(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((host, 0)).await;
        let mut memory = self.memory();
        match found {
            Ok(found) => {
                let found = in_turns(found.map(|address| address.ip()).collect());
                memory.learn(host, &found, Instant::now());
                Ok(found)
            }
            Err(error) => {
                memory.failed(host);
                Err(error)
            }
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Families in turns, the first one's first (RFC 8305 section 4).
fn in_turns(found: Vec<IpAddr>) -> Vec<IpAddr> {
    let leads_with_v6 = found.first().is_some_and(IpAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|ip| ip.is_ipv6() == leads_with_v6);
    let mut second = second.into_iter();
    let mut mixed = Vec::new();
    for ip in first {
        mixed.push(ip);
        mixed.extend(second.next());
    }
    mixed.extend(second);
    mixed
}

/// Pure: what is known of which host, at a time that is passed in.
#[derive(Default)]
struct Memory(HashMap<String, Entry>);

struct Entry {
    found: Vec<IpAddr>,
    at: Instant,
    is_doubtful: bool,
    is_refreshing: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Known {
    /// Good as it is.
    Fresh(Vec<IpAddr>),
    /// Usable; whoever hears this looks for a newer one.
    Stale(Vec<IpAddr>),
    /// To be used only if nothing newer is found; mostly nothing.
    Doubtful(Vec<IpAddr>),
}

impl Memory {
    fn recall(&mut self, host: &str, now: Instant) -> Known {
        let Some(entry) = self.0.get_mut(host) else {
            return Known::Doubtful(Vec::new());
        };
        let age = now.duration_since(entry.at);
        let found = entry.found.clone();
        if age >= STALE {
            return Known::Doubtful(Vec::new());
        }
        if entry.is_doubtful {
            return Known::Doubtful(found);
        }
        if age < FRESH || entry.is_refreshing {
            return Known::Fresh(found);
        }
        entry.is_refreshing = true;
        Known::Stale(found)
    }

    fn learn(&mut self, host: &str, found: &[IpAddr], now: Instant) {
        let entry = Entry {
            found: found.to_vec(),
            at: now,
            is_doubtful: false,
            is_refreshing: false,
        };
        self.0.insert(host.to_owned(), entry);
    }

    fn failed(&mut self, host: &str) {
        if let Some(entry) = self.0.get_mut(host) {
            entry.is_refreshing = false;
        }
    }

    fn prefer(&mut self, host: &str, ip: IpAddr) {
        let found = self.0.get_mut(host).map(|entry| &mut entry.found);
        if let Some(found) = found
            && let Some(at) = found.iter().position(|known| *known == ip)
        {
            found[..=at].rotate_right(1);
        }
    }

    fn doubt(&mut self, host: &str) {
        if let Some(entry) = self.0.get_mut(host) {
            entry.is_doubtful = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_old_answer_serves_a_quarter_of_an_hour_while_newer_ones_are_looked_for() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        let found = vec![ip("192.0.2.1")];
        assert_eq!(memory.recall("h", start), Known::Doubtful(Vec::new()));
        memory.learn("h", &found, start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(memory.recall("h", at(59)), Known::Fresh(found.clone()));
        assert_eq!(memory.recall("h", at(61)), Known::Stale(found.clone()));
        // One looks, the others go on.
        assert_eq!(memory.recall("h", at(62)), Known::Fresh(found.clone()));
        memory.failed("h");
        assert_eq!(memory.recall("h", at(899)), Known::Stale(found.clone()));
        assert_eq!(memory.recall("h", at(900)), Known::Doubtful(Vec::new()));
        memory.learn("h", &found, at(900));
        assert_eq!(memory.recall("h", at(901)), Known::Fresh(found));
    }

    #[test]
    fn addresses_that_cannot_be_reached_are_asked_for_anew_but_not_forgotten() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        let found = vec![ip("192.0.2.1")];
        memory.learn("h", &found, start);
        memory.doubt("h");
        assert_eq!(memory.recall("h", start), Known::Doubtful(found.clone()));
        memory.learn("h", &found, start);
        assert_eq!(memory.recall("h", start), Known::Fresh(found));
    }

    #[test]
    fn the_address_that_answered_is_tried_first() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        let found = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(ip);
        memory.learn("h", &found, start);
        memory.prefer("h", ip("192.0.2.3"));
        memory.prefer("h", ip("192.0.2.9"));
        let expected = ["192.0.2.3", "192.0.2.1", "192.0.2.2"].map(ip).to_vec();
        assert_eq!(memory.recall("h", start), Known::Fresh(expected));
    }

    #[test]
    fn families_take_turns() {
        let found = ["2001:db8::1", "2001:db8::2", "192.0.2.1"].map(ip);
        let mixed = ["2001:db8::1", "192.0.2.1", "2001:db8::2"].map(ip);
        assert_eq!(in_turns(found.to_vec()), mixed);
    }

    #[tokio::test]
    async fn an_address_needs_no_resolver() {
        let resolver = Resolver::default();
        for (host, address) in [("127.0.0.1", "127.0.0.1:5"), ("[::1]", "[::1]:5")] {
            let found = resolver.resolve(host, 5).await.expect("an address");
            assert_eq!(found, [address.parse().expect("an address")]);
        }
    }
}
