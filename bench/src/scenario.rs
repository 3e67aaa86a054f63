//! What is measured, and how: each peer in turn, again and again.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};

use crate::clock::{self, ms};
use crate::engine::{Engine, Load};
use crate::load::{Clients, Work};
use crate::peers::{Peer, Site};
use crate::process::Process;
use crate::stats::percentile;

/// How long all connections may take to open.
const OPENING: u64 = ms(15_000);
/// Connections that are opened at once: fewer than any listener keeps ready.
const AT_ONCE: usize = 100;
/// What is not counted yet.
const WARM_UP: u64 = ms(50);
/// How long one repetition counts: on a machine that others use too, many short turns tell more than few
/// long ones.
const WINDOW: u64 = ms(200);
/// The same where some do a hundred operations a second.
const LONG_WINDOW: u64 = ms(2_500);
/// Repetitions of each peer where one scenario is asked for, which may take a minute.
const TIMES: usize = 11;
/// The same in a run of all, whose figures are kept.
const MANY: usize = 25;
/// The same where each takes seconds.
const FEW: usize = 5;
/// How long connections take that nobody uses any more.
const LEAVING: u64 = ms(50);
/// How long memory takes to settle.
const SETTLE: u64 = ms(400);
/// Connections before the ones whose memory counts: what the first ones bring is not theirs.
const FIRST_ONES: usize = 100;

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Operations a second.
    PerSecond,
    /// Microseconds of processor time for each operation.
    Cpu,
    /// Microseconds.
    P50,
    P99,
    /// Until a stream's first event, or a socket's 101, in microseconds.
    First,
    /// KiB for each connection.
    Memory,
    /// Milliseconds from the start to the first answer.
    Ready,
    /// MiB while nothing goes on.
    IdleMemory,
    /// Shares of a core.
    Busy,
    HarnessBusy,
}

/// Figures of one repetition.
pub type Sample = BTreeMap<Metric, f64>;

/// What is looked at in a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What operations cost while they go on.
    Steady,
    /// What connections weigh that do nothing.
    Weight,
    /// How a relay starts.
    Start,
}

/// One kind of work.
pub struct Scenario {
    /// As the command line calls it.
    pub name: &'static str,
    /// As the tables call it.
    pub title: &'static str,
    pub kind: Kind,
    pub work: Work,
    pub connections: usize,
    /// Events or deltas that the upstream sends a second.
    pub feed: Option<u64>,
    /// Who does it.
    pub peers: &'static [Peer],
    /// In front of which upstreams: with TLS or not.
    pub tls: &'static [bool],
    /// How long one repetition counts, in nanoseconds.
    pub window: u64,
    /// Repetitions of each peer.
    pub times: usize,
    /// What is shown, in columns.
    pub metrics: &'static [Metric],
}

use Metric::{Busy, Cpu, First, HarnessBusy, IdleMemory, Memory, P50, P99, PerSecond, Ready};

const fn steady(
    name: &'static str,
    title: &'static str,
    work: Work,
    connections: usize,
    feed: Option<u64>,
    metrics: &'static [Metric],
) -> Scenario {
    Scenario {
        name,
        title,
        kind: Kind::Steady,
        work,
        connections,
        feed,
        peers: &PEERS,
        tls: &[false, true],
        window: WINDOW,
        times: TIMES,
        metrics,
    }
}

/// Who works with bytes and heads; what is compared comes one right after the other, mostly.
const PEERS: [Peer; 5] = [
    Peer::Direct,
    Peer::Copy,
    Peer::Haproxy,
    Peer::Nginx,
    Peer::Relay,
];

/// The first part: what must hold is judged by it.
pub const SCENARIOS: [Scenario; 10] = [
    steady(
        "json",
        "JSON requests, closed loop: 64 connections, an answer of 1.1 KB",
        Work::Requests,
        64,
        None,
        &[PerSecond, Cpu, Busy, HarnessBusy],
    ),
    steady(
        "json-schedule",
        "JSON requests, 5,000 a second on a fixed schedule, timed from the scheduled start",
        Work::ScheduledRequests(5000),
        64,
        None,
        &[Cpu, P50, P99, HarnessBusy],
    ),
    steady(
        "sse",
        "SSE, paced: 250 streams with 100 chunks a second each",
        Work::Events,
        250,
        Some(25_000),
        &[Cpu, P50, P99, HarnessBusy],
    ),
    steady(
        "sse-quiet",
        "SSE, paced: 20 streams with 100 chunks a second each",
        Work::Events,
        20,
        Some(2000),
        &[Cpu, P50, P99, First],
    ),
    steady(
        "sse-burst",
        "SSE, un-paced: 32 streams back to back, 64 chunks each",
        Work::Bursts,
        32,
        None,
        &[PerSecond, Cpu, Busy, HarnessBusy],
    ),
    steady(
        "ws",
        "WebSocket round trips: 64 sessions, 256 bytes to and fro",
        Work::Echoes,
        64,
        None,
        &[PerSecond, Cpu, Busy, HarnessBusy],
    ),
    steady(
        "ws-audio",
        "WebSocket audio: 200 sessions with 25 deltas of 8 KB a second each",
        Work::Deltas,
        200,
        Some(5000),
        &[Cpu, P50, P99, HarnessBusy],
    ),
    Scenario {
        name: "ws-idle",
        title: "WebSocket sessions opened, and left idle: 2,000",
        kind: Kind::Weight,
        work: Work::Idle,
        connections: 2000,
        feed: None,
        peers: &PEERS,
        tls: &[false, true],
        window: WINDOW,
        times: FEW,
        metrics: &[Memory, Cpu, First],
    },
    Scenario {
        name: "stalled",
        title: "Stalled readers: 100 streams that nobody reads",
        kind: Kind::Weight,
        work: Work::Stalls,
        connections: 100,
        feed: None,
        peers: &PEERS,
        tls: &[false, true],
        window: WINDOW,
        times: FEW,
        metrics: &[Memory],
    },
    Scenario {
        name: "start",
        title: "Start",
        kind: Kind::Start,
        work: Work::Idle,
        connections: 0,
        feed: None,
        peers: &PEERS,
        tls: &[false, true],
        window: WINDOW,
        times: FEW,
        metrics: &[Ready, IdleMemory],
    },
];

/// The second part: beside gateways that people use, at loads that each of them can bear.
pub const GATEWAYS: [Scenario; 4] = [
    Scenario {
        peers: &[
            Peer::Direct,
            Peer::Nginx,
            Peer::Relay,
            Peer::Node,
            Peer::FastApi,
            Peer::Litellm,
        ],
        tls: &[false],
        window: LONG_WINDOW,
        times: FEW,
        ..steady(
            "gateways-json",
            "JSON requests, closed loop: 16 connections, an answer of 1.1 KB",
            Work::Requests,
            16,
            None,
            &[PerSecond, Cpu, P50, P99],
        )
    },
    Scenario {
        peers: &[
            Peer::Direct,
            Peer::Nginx,
            Peer::Relay,
            Peer::Node,
            Peer::FastApi,
        ],
        tls: &[false],
        window: LONG_WINDOW,
        times: FEW,
        ..steady(
            "gateways-sse",
            "SSE, paced: 20 streams with 25 chunks a second each",
            Work::Events,
            20,
            Some(500),
            &[Cpu, P50, P99],
        )
    },
    Scenario {
        peers: &[Peer::Direct, Peer::Nginx, Peer::Relay, Peer::Node],
        tls: &[false],
        window: LONG_WINDOW,
        times: FEW,
        ..steady(
            "gateways-ws",
            "WebSocket round trips: 16 sessions, 256 bytes to and fro",
            Work::Echoes,
            16,
            None,
            &[PerSecond, Cpu, P50, P99],
        )
    },
    Scenario {
        name: "gateways-start",
        title: "Start",
        kind: Kind::Start,
        work: Work::Idle,
        connections: 0,
        feed: None,
        peers: &[
            Peer::Nginx,
            Peer::Relay,
            Peer::Node,
            Peer::FastApi,
            Peer::Litellm,
        ],
        tls: &[false],
        window: WINDOW,
        times: FEW,
        metrics: &[Ready, IdleMemory],
    },
];

/// Repetitions of each peer, the n-th of one side by side with the n-th of all others.
pub type Samples = BTreeMap<Peer, Vec<Sample>>;

impl Scenario {
    /// Whether it is a part of what a build is trained with: work without pauses, and what it takes to
    /// begin some.
    pub fn trains(&self) -> bool {
        ["json", "sse", "sse-burst", "ws", "ws-audio", "ws-idle"].contains(&self.name)
    }

    /// Repetitions of each peer, in a run of all scenarios or of this one.
    pub fn times(&self, is_whole: bool) -> usize {
        match (self.kind, is_whole) {
            (Kind::Steady, true) => MANY,
            _ => self.times,
        }
    }

    /// Measures all peers in turns, in front of the plain upstream or the one with TLS.
    pub fn measure(
        &self,
        engine: &mut Engine,
        site: &Site,
        tls: bool,
        times: usize,
    ) -> Result<Samples> {
        let is_steady = self.kind == Kind::Steady;
        let peers: Vec<Peer> = site
            .peers(self.peers)
            .iter()
            .copied()
            .filter(|peer| is_steady || *peer != Peer::Direct)
            .collect();
        let mut running = BTreeMap::new();
        if is_steady {
            for peer in &peers {
                running.insert(*peer, site.start(*peer, tls)?);
            }
        }
        let mut samples = Samples::new();
        for turn in 0..times {
            for place in 0..peers.len() {
                let peer = peers[(turn + place) % peers.len()];
                let process = running.get(&peer).and_then(Option::as_ref);
                let sample = match self.kind {
                    Kind::Steady => self.steady(engine, site, process, tls),
                    Kind::Weight => self.weight(engine, site, peer, tls),
                    Kind::Start => start(engine, site, peer, tls),
                };
                let sample =
                    sample.with_context(|| format!("{} over {}", self.name, peer.name()))?;
                samples.entry(peer).or_default().push(sample);
            }
        }
        Ok(samples)
    }

    fn steady(
        &self,
        engine: &mut Engine,
        site: &Site,
        process: Option<&Process>,
        tls: bool,
    ) -> Result<Sample> {
        let (to, config) = match process {
            Some(process) => (process.address, None),
            None => (site.upstream(tls), tls.then(|| site.client_tls().clone())),
        };
        let mut clients = Clients::new(self.work, to, config);
        open(engine, &mut clients, self.connections)?;
        let opening = clients.take();
        ensure!(
            opening.failures == 0,
            "{} failures at the start",
            opening.failures
        );
        engine.upstream.feed(self.feed);
        engine.run(&mut clients, clock::now() + WARM_UP)?;
        let warm = clients.take();
        let before = (clock::now(), process.map(Process::cpu), engine.work()?);
        engine.run(&mut clients, before.0 + self.window)?;
        let after = (clock::now(), process.map(Process::cpu), engine.work()?);
        let mut tally = clients.take();
        engine.upstream.feed(None);
        drop(clients);
        rest(engine, to, LEAVING)?;
        ensure!(
            warm.failures + tally.failures == 0,
            "{} failures",
            warm.failures + tally.failures
        );
        ensure!(tally.done > 0, "nothing was done");
        let mut firsts = [opening.first, warm.first].concat();
        // Looking in vain is counted by the clock: who was interrupted meanwhile has taken less.
        let (taken, wasted) = (after.2.0 - before.2.0, after.2.1 - before.2.1);
        let work = taken.saturating_sub(wasted);
        let (done, wall) = (float(tally.done), float(after.0 - before.0));
        let mut sample = Sample::from([
            (PerSecond, done / wall * 1e9),
            (HarnessBusy, float(work) / wall),
            (P50, micros(percentile(&mut tally.took, 0.50))),
            (P99, micros(percentile(&mut tally.took, 0.99))),
            (First, micros(percentile(&mut firsts, 0.50))),
        ]);
        if let (Some(before), Some(after)) = (before.1, after.1) {
            let cpu = float(after - before);
            sample.extend([(Cpu, cpu / done / 1e3), (Busy, cpu / wall)]);
        }
        Ok(sample)
    }

    /// A process of its own: what was freed once costs nothing the second time.
    fn weight(&self, engine: &mut Engine, site: &Site, peer: Peer, tls: bool) -> Result<Sample> {
        let Some(process) = site.start(peer, tls)? else {
            bail!("there is nothing to weigh");
        };
        let mut first = Clients::new(self.work, process.address, None);
        open(engine, &mut first, FIRST_ONES.min(self.connections))?;
        drop(first);
        rest(engine, process.address, SETTLE)?;
        let (memory, cpu) = (process.memory(), process.cpu());
        let mut clients = Clients::new(self.work, process.address, None);
        open(engine, &mut clients, self.connections)?;
        let opened = process.cpu() - cpu;
        engine.run(&mut clients, clock::now() + SETTLE)?;
        let grown = process.memory().saturating_sub(memory);
        let mut tally = clients.take();
        ensure!(tally.failures == 0, "{} failures", tally.failures);
        drop(clients);
        drop(process);
        rest(engine, site.upstream(tls), LEAVING)?;
        #[allow(clippy::cast_precision_loss)]
        let count = self.connections as f64;
        Ok(Sample::from([
            (Memory, float(grown) / count / 1024.0),
            (Cpu, float(opened) / count / 1e3),
            (First, micros(percentile(&mut tally.first, 0.50))),
        ]))
    }
}

/// Connects so many, few at once, and waits until all are in use.
fn open(engine: &mut Engine, clients: &mut Clients, count: usize) -> Result<()> {
    let registry = engine.registry()?;
    let mut left = count;
    while left > 0 {
        let some = left.min(AT_ONCE);
        clients.connect(some, &registry)?;
        ensure!(
            engine.start(clients, clock::now() + OPENING)?,
            "not all connections were opened"
        );
        left -= some;
    }
    Ok(())
}

/// Lets connections end that nobody uses any more.
fn rest(engine: &mut Engine, to: SocketAddr, length: u64) -> Result<()> {
    let mut nobody = Clients::new(Work::Idle, to, None);
    engine.run(&mut nobody, clock::now() + length)
}

fn start(engine: &mut Engine, site: &Site, peer: Peer, tls: bool) -> Result<Sample> {
    let Some(process) = site.start(peer, tls)? else {
        bail!("there is nothing to start");
    };
    rest(engine, process.address, SETTLE)?;
    Ok(Sample::from([
        (Ready, process.ready.as_secs_f64() * 1e3),
        (IdleMemory, float(process.memory()) / 1024.0 / 1024.0),
    ]))
}

fn micros(nanoseconds: Option<u64>) -> f64 {
    float(nanoseconds.unwrap_or_default()) / 1e3
}

/// Exact for every count that a run can reach.
#[allow(clippy::cast_precision_loss)]
fn float(number: u64) -> f64 {
    number as f64
}
