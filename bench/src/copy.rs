//! The floor: copies bytes between two sockets and looks at nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use rustls::ClientConfig;

use crate::channel::{Channel, SCRATCH};

const EVENTS: usize = 1024;

/// A client's connection and the upstream's.
type Pair = [Channel; 2];

/// Copies between this address and the upstream until it is killed.
pub fn run(at: SocketAddr, upstream: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Result<()> {
    let mut poll = Poll::new().context("epoll")?;
    let mut events = Events::with_capacity(EVENTS);
    let mut listener = TcpListener::bind(at).context("listening")?;
    poll.registry()
        .register(&mut listener, Token(0), Interest::READABLE)?;
    let mut pairs: Vec<Option<Pair>> = Vec::new();
    let mut free = Vec::new();
    let (mut scratch, mut buffer) = (vec![0; SCRATCH], Vec::new());
    loop {
        poll.poll(&mut events, None).context("epoll")?;
        for event in &events {
            let Some(token) = event.token().0.checked_sub(2) else {
                while let Ok((socket, _)) = listener.accept() {
                    let mut pair = [
                        Channel::accepted(socket, None)?,
                        Channel::connect(upstream, tls)?,
                    ];
                    let slot = free.pop().unwrap_or_else(|| {
                        pairs.push(None);
                        pairs.len() - 1
                    });
                    for (side, channel) in pair.iter_mut().enumerate() {
                        channel.register(poll.registry(), Token(2 + 2 * slot + side))?;
                    }
                    pairs[slot] = Some(pair);
                }
                continue;
            };
            let (slot, side) = (token / 2, token % 2);
            let Some(Some([client, upstream])) = pairs.get_mut(slot) else {
                continue;
            };
            let (from, to) = if side == 0 {
                (client, upstream)
            } else {
                (upstream, client)
            };
            if from.is_blocked() {
                // What could not go to this side may go now, and more be taken for it.
                from.flush();
                move_bytes(to, from, &mut scratch, &mut buffer);
            }
            move_bytes(from, to, &mut scratch, &mut buffer);
            if from.has_ended() || to.has_ended() {
                pairs[slot] = None;
                free.push(slot);
            }
        }
    }
}

/// Takes no more than the other side does.
fn move_bytes(from: &mut Channel, to: &mut Channel, scratch: &mut [u8], buffer: &mut Vec<u8>) {
    if to.is_blocked() || from.has_ended() {
        return;
    }
    from.read(scratch, buffer);
    if !buffer.is_empty() {
        to.write(buffer);
        buffer.clear();
    }
}
