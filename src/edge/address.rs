//! Pure: who the client is, seen through the proxies that the operator trusts.
//!
//! Never believes a header of a peer that is not on the list.

use std::net::{IpAddr, SocketAddr};

use http::HeaderName;

use crate::config::TrustedProxies;
use crate::fields::{self, Fields};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED: HeaderName = http::header::FORWARDED;

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// The client: the TCP peer, or the right-most untrusted address that trusted proxies name.
    pub(super) ip: IpAddr,
    /// Whether a process on this machine called without a proxy between.
    pub(super) direct_loopback: bool,
}

/// Finds the client of a request: all lines of `X-Forwarded-For` joined and read from the right,
/// or, where there are none, those of `Forwarded` (RFC 7239 section 5.2).
pub(super) fn client_address(fields: &Fields, peer: IpAddr, trusted: &TrustedProxies) -> Address {
    let peer = peer.to_canonical();
    let is_forwarded = || fields.names().any(fields::tells_of_network);
    let ip = if trusted.contains(peer) {
        right_most_untrusted(&hops(fields), peer, trusted)
    } else {
        peer
    };
    Address {
        ip,
        direct_loopback: peer.is_loopback() && !is_forwarded(),
    }
}

/// The hops that proxies wrote down, nearest last; `None` is one that is not an address.
fn hops(fields: &Fields) -> Vec<Option<IpAddr>> {
    if fields.contains(&X_FORWARDED_FOR) {
        return fields::items(fields, &X_FORWARDED_FOR)
            .map(|item| parse_node(std::str::from_utf8(item).ok()?))
            .collect();
    }
    fields::items(fields, &FORWARDED)
        .map(|item| forwarded_for(std::str::from_utf8(item).ok()?))
        .collect()
}

fn right_most_untrusted(hops: &[Option<IpAddr>], peer: IpAddr, trusted: &TrustedProxies) -> IpAddr {
    let mut client = peer;
    for hop in hops.iter().rev() {
        match hop {
            Some(ip) if trusted.contains(*ip) => client = *ip,
            Some(ip) => return *ip,
            // What lies beyond an unreadable hop was written by nobody we trust.
            None => return client,
        }
    }
    client
}

/// The `for=` parameter of one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("for") {
            return None;
        }
        parse_node(value.trim().trim_matches('"'))
    })
}

/// An address with or without brackets and port.
fn parse_node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let ip = bare
        .unwrap_or(text)
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    ip.ok().map(|ip| ip.to_canonical())
}
