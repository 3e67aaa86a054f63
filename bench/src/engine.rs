//! The harness: the load and the upstream in one thread and one epoll, so that it costs less than
//! any relay.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use mio::{Events, Poll, Registry, Token};

use crate::channel::SCRATCH;
use crate::clock::{self, ms};
use crate::upstream::Upstream;

/// Readiness that one look at the kernel brings.
const EVENTS: usize = 1024;
/// The two listeners come first; then upstream and load take turns.
const FIRST: usize = 2;

/// What works on the relay.
pub trait Load {
    /// Something may be read from, or written to, this connection.
    fn ready(&mut self, at: usize, scratch: &mut [u8]);
    /// When something is to be sent.
    fn due(&self) -> Option<u64>;
    /// Sends what is due.
    fn tick(&mut self, now: u64);
    /// What has been done since it was last taken.
    fn take(&mut self) -> Tally;
    /// Whether all connections are in use.
    fn is_under_way(&self) -> bool;
}

/// What a load has done.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests, chunks, round trips, deltas.
    pub done: u64,
    /// How long each took, in nanoseconds, counted from when it should have begun.
    pub took: Vec<u64>,
    /// Of streams: how long the first event took.
    pub first: Vec<u64>,
    /// What went wrong.
    pub failures: u64,
}

/// The harness.
pub struct Engine {
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
    /// What answers.
    pub upstream: Upstream,
    /// Nanoseconds spent on looking for something to do in vain.
    wasted: u64,
}

/// The token of one of the load's connections.
pub fn load_token(at: usize) -> Token {
    Token(FIRST + 2 * at)
}

fn upstream_token(at: usize) -> Token {
    Token(FIRST + 2 * at + 1)
}

impl Engine {
    /// A harness around this upstream.
    pub fn new(mut upstream: Upstream) -> Result<Engine> {
        let poll = Poll::new().context("epoll")?;
        upstream
            .register(poll.registry())
            .context("the upstream's listeners")?;
        Ok(Engine {
            poll,
            events: Events::with_capacity(EVENTS),
            scratch: vec![0; SCRATCH],
            upstream,
            wasted: 0,
        })
    }

    /// Where connections are registered.
    pub fn registry(&self) -> Result<Registry> {
        self.poll.registry().try_clone().context("epoll")
    }

    /// Works until then.
    pub fn run(&mut self, load: &mut dyn Load, until: u64) -> Result<()> {
        self.run_while(load, until, |_| true)
    }

    /// Works until then, or until all connections of the load are in use; whether they are.
    pub fn start(&mut self, load: &mut dyn Load, until: u64) -> Result<bool> {
        self.run_while(load, until, |load| !load.is_under_way())?;
        Ok(load.is_under_way())
    }

    fn run_while(
        &mut self,
        load: &mut dyn Load,
        until: u64,
        goes_on: fn(&dyn Load) -> bool,
    ) -> Result<()> {
        loop {
            let now = clock::now();
            if now >= until || !goes_on(load) {
                return Ok(());
            }
            let next = [self.upstream.due(), load.due()];
            let next = next.into_iter().flatten().fold(until, u64::min);
            // epoll counts milliseconds: the last of them is spent on looking.
            let wait = next.saturating_sub(now) / ms(1);
            self.poll
                .poll(&mut self.events, Some(Duration::from_millis(wait)))
                .context("epoll")?;
            let seen = clock::now();
            if wait == 0 && self.events.is_empty() {
                self.wasted += seen - now;
            }
            self.dispatch(load)?;
            let now = clock::now();
            self.upstream.tick(now);
            load.tick(now);
        }
    }

    fn dispatch(&mut self, load: &mut dyn Load) -> Result<()> {
        for event in &self.events {
            let token = event.token().0;
            match token.checked_sub(FIRST) {
                None => self
                    .upstream
                    .accept(self.poll.registry(), token, upstream_token),
                Some(at) if at % 2 == 0 => load.ready(at / 2, &mut self.scratch),
                Some(at) => self.upstream.ready(at / 2, &mut self.scratch),
            }
        }
        Ok(())
    }

    /// Nanoseconds of processor time that the harness has taken so far, and those in vain.
    pub fn work(&self) -> Result<(u64, u64)> {
        let text = fs::read_to_string("/proc/thread-self/schedstat").context("schedstat")?;
        let first = text.split(' ').next().unwrap_or_default();
        let taken: u64 = first.parse().context("schedstat")?;
        Ok((taken, self.wasted))
    }
}
