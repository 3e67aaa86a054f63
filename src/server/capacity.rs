//! How many connections there may be, and the few more that get a word when there are too many.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;

use crate::admission::network;
use crate::config::{Limits, TrustedProxies};

/// The most connections, whatever the limit of open files.
const MOST: usize = 10_000;
/// Descriptors that are not for clients: the log, the listener, spare seats, dialling.
const RESERVED: u64 = 256;
/// Seats past the last: the newest arrivals, so that a health check gets in while others only sit.
const SPARES: usize = 16;

/// Counts connections.
pub(super) struct Capacity {
    most: usize,
    most_per_ip: Option<usize>,
    trusted: TrustedProxies,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    seats: usize,
    per_ip: HashMap<IpAddr, usize>,
    spares: VecDeque<CancellationToken>,
}

/// The right to be connected; its drop gives it back.
pub(super) struct Seat {
    capacity: Arc<Capacity>,
    /// Where addresses are counted.
    ip: Option<Box<IpAddr>>,
    /// There for a spare seat: a newer arrival needs it.
    evicted: Option<CancellationToken>,
}

impl Capacity {
    /// Raises the limit of open files as far as it goes, and counts within it.
    pub(super) fn new(limits: &Limits, trusted: &TrustedProxies) -> Capacity {
        let most = limits.max_connections.unwrap_or_else(most_by_files);
        tracing::debug!(most, "client connections at once");
        Capacity::of(most, limits.max_connections_per_ip, trusted.clone())
    }

    fn of(most: usize, most_per_ip: Option<usize>, trusted: TrustedProxies) -> Capacity {
        Capacity {
            most,
            most_per_ip,
            trusted,
            taken: Mutex::default(),
        }
    }

    /// A seat for a new connection from here; `None` if its address has too many.
    pub(super) fn seat(self: &Arc<Capacity>, peer: IpAddr) -> Option<Seat> {
        let counted = self.most_per_ip.filter(|_| !self.trusted.contains(peer));
        let ip = counted.map(|_| network(peer));
        let mut taken = self.taken();
        if let (Some(most), Some(ip)) = (counted, ip) {
            let count = taken.per_ip.entry(ip).or_default();
            if *count >= most {
                return None;
            }
            *count += 1;
        }
        let mut evicted = None;
        if taken.seats >= self.most {
            let token = CancellationToken::new();
            taken.spares.push_back(token.clone());
            if taken.spares.len() > SPARES
                && let Some(oldest) = taken.spares.pop_front()
            {
                oldest.cancel();
            }
            evicted = Some(token);
        } else {
            taken.seats += 1;
        }
        Some(Seat {
            capacity: Arc::clone(self),
            ip: ip.map(Box::new),
            evicted,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Whether it is one past the last: good for a question about the relay's health.
    pub(super) fn is_spare(&self) -> bool {
        self.evicted.is_some()
    }

    /// Ends when a newer arrival needs the seat.
    pub(super) async fn evicted(&self) {
        match &self.evicted {
            Some(evicted) => evicted.cancelled().await,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.capacity.taken();
        if !self.is_spare() {
            taken.seats -= 1;
        }
        if let Some(ip) = self.ip.as_deref()
            && let Some(count) = taken.per_ip.get_mut(ip)
        {
            *count -= 1;
            if *count == 0 {
                taken.per_ip.remove(ip);
            }
        }
    }
}

fn most_by_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    // None means no limit; each relayed exchange takes two.
    let pairs = files.map_or(u64::MAX, |files| files.saturating_sub(RESERVED) / 2);
    usize::try_from(pairs).unwrap_or(MOST).clamp(16, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    fn capacity(most: usize, most_per_ip: Option<usize>) -> Arc<Capacity> {
        let loaded = load(&Sources::from_map([("TRUSTED_PROXIES", "10.0.0.0/8")]));
        let trusted = loaded
            .expect("a configuration")
            .config
            .server
            .trusted_proxies;
        Arc::new(Capacity::of(most, most_per_ip, trusted))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn past_the_last_seat_the_newest_arrivals_sit_on_spares() {
        let capacity = capacity(2, None);
        let here = ip("192.0.2.1");
        let first = capacity.seat(here).expect("a seat");
        let _second = capacity.seat(here).expect("a seat");
        let spares: Vec<Seat> = (0..=SPARES).filter_map(|_| capacity.seat(here)).collect();
        assert!(!first.is_spare() && spares.iter().all(Seat::is_spare));
        let evicted = |seat: &Seat| {
            let token = seat.evicted.as_ref();
            token.is_some_and(CancellationToken::is_cancelled)
        };
        assert_eq!(spares.iter().filter(|seat| evicted(seat)).count(), 1);
        assert!(evicted(&spares[0]));
        drop(first);
        assert!(!capacity.seat(here).expect("a seat").is_spare());
    }

    #[test]
    fn one_address_or_network_has_so_many_seats_and_proxies_have_all() {
        let capacity = capacity(100, Some(2));
        let seat = |text: &str| capacity.seat(ip(text));
        let kept = [seat("2001:db8::1"), seat("2001:db8::2")];
        assert!(kept.iter().all(Option::is_some));
        assert!(seat("2001:db8::3").is_none());
        assert!(seat("2001:db8:0:1::3").is_some());
        let proxy: Vec<_> = (0..5).map(|_| seat("10.1.2.3")).collect();
        assert!(proxy.iter().all(Option::is_some));
        drop(kept);
        assert!(seat("2001:db8::3").is_some());
        assert!(capacity.taken().per_ip.is_empty());
    }
}
