//! Compares the relay with other relays on the same work, side by side in one run. Started by
//! `scripts/bench`.
//!
//! The load and the upstream are one thread on a core of their own, and cheaper than any relay;
//! the relays share the other core and are measured in turns. What counts is processor time for
//! each operation as a multiple of nginx's in the same turn: wall time depends on the machine.

// A tool that prints, and has no runtime whose workers could be blocked.
#![allow(clippy::print_stdout)]

mod channel;
mod clock;
mod copy;
mod engine;
mod load;
mod machine;
mod peers;
mod process;
mod report;
mod scenario;
mod stats;
mod upstream;
mod wire;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use engine::Engine;
use peers::{Certificates, Peer, Programs, Site};
use report::Measured;
use scenario::{GATEWAYS, SCENARIOS, Scenario};
use upstream::Upstream;

/// How the page begins that a whole run writes.
const HEAD: &str = "# Benchmarks

Written by `scripts/bench`, never by hand. The relay, nginx, haproxy and a copy of bytes do the same work in turns, each
alone on the first core with one worker; the load and the upstream are one thread on the second. Medians of the
repetitions, ± half of their range. `× nginx` is the median of the ratios within each repetition, so that what the
machine did to both at that time cancels out. Processor time is that of all of a relay's threads, in the kernel too, for
each finished operation; memory is the proportional set size without what was there before. nginx keeps upstream
connections alive, buffers no answers, logs nothing and checks nobody; haproxy likewise. The relay is what
`scripts/release` builds and has everything on: token, sanitising, counters, a log in JSON. [performance.md](performance.md) says what the figures teach.
";
/// The same of the second part.
const HEAD_OF_GATEWAYS: &str = "# Beside other gateways

Written by `scripts/bench gateways`, never by hand. The relay, nginx, and gateways that people run do the same work in
turns, each alone on the first core with one process; the load and the upstream are one thread on the second. The
relays on Node and FastAPI are short ones of the kind that the origins describe (`bench/gateways/`): a token, the server's
key, bytes piped; no limits, no log. LiteLLM's proxy has one model and a master key. Loads are what each of them can bear;
how figures are taken is said in [benchmarks.md](benchmarks.md).
";

/// Repetitions that a build is trained with.
const TRAINING: usize = 3;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["copy", at, to] => copy::run(at.parse()?, to.parse()?, None),
        ["copy", at, to, ca] => {
            let tls = peers::client_config(Path::new(ca))?;
            copy::run(at.parse()?, to.parse()?, Some(&tls))
        }
        ["run", rest @ ..] => run(&Wish::of(rest)?),
        _ => bail!("usage: scripts/bench [gateways | <scenario> ...]"),
    }
}

/// What the command line asks for.
struct Wish {
    relay: PathBuf,
    /// Another build of it, that takes turns with it and nginx.
    beside: Option<PathBuf>,
    /// Runs for its own sake: the compiler learns from it what is hot.
    is_training: bool,
    folder: PathBuf,
    core: usize,
    /// Held while measuring, where a machine is shared with builds.
    locks: Vec<PathBuf>,
    /// Where relays in other languages lie.
    gateways: PathBuf,
    /// Where the tables go besides, under which head.
    write: Option<PathBuf>,
    head: &'static str,
    /// Repetitions of each peer, where they are not the scenario's.
    times: Option<usize>,
    /// All scenarios, one after the other.
    is_whole: bool,
    scenarios: Vec<&'static Scenario>,
}

impl Wish {
    fn of(words: &[&str]) -> Result<Wish> {
        let mut wish = Wish {
            relay: PathBuf::new(),
            beside: None,
            is_training: false,
            folder: PathBuf::new(),
            core: 0,
            locks: Vec::new(),
            gateways: PathBuf::new(),
            write: None,
            head: HEAD,
            times: None,
            is_whole: false,
            scenarios: Vec::new(),
        };
        for word in words {
            match word.split_once('=') {
                Some(("--relay", path)) => wish.relay = path.into(),
                Some(("--beside", path)) => wish.beside = Some(path.into()),
                Some(("--folder", path)) => wish.folder = path.into(),
                Some(("--gateways", path)) => wish.gateways = path.into(),
                Some(("--core", core)) => wish.core = core.parse().context("--core")?,
                Some(("--lock", path)) => wish.locks.push(path.into()),
                Some(("--write", path)) => wish.write = Some(path.into()),
                Some(("--times", times)) => wish.times = Some(times.parse().context("--times")?),
                None if *word == "train" => wish.train(),
                None if *word == "gateways" => {
                    wish.scenarios.extend(&GATEWAYS);
                    wish.head = HEAD_OF_GATEWAYS;
                }
                _ => {
                    let mut all = SCENARIOS.iter().chain(&GATEWAYS);
                    let names: Vec<&str> = all.clone().map(|scenario| scenario.name).collect();
                    let names = names.join(", ");
                    let named = all.find(|scenario| scenario.name == *word);
                    let named = named.with_context(|| format!("{word} is none of {names}"))?;
                    wish.scenarios.push(named);
                }
            }
        }
        if wish.scenarios.is_empty() {
            wish.is_whole = true;
            wish.scenarios.extend(&SCENARIOS);
        }
        Ok(wish)
    }

    fn train(&mut self) {
        let training = SCENARIOS.iter().filter(|scenario| scenario.trains());
        self.scenarios.extend(training);
        self.times = Some(TRAINING);
        self.is_training = true;
    }

    fn site(&self, upstream: &Upstream, certificates: &Certificates) -> Result<Site> {
        let addresses = [upstream.address(false)?, upstream.address(true)?];
        let folder = self.folder.canonicalize().context("the folder")?;
        let beside = self.beside.as_ref().map(|path| path.canonicalize());
        let programs = Programs {
            relay: self.relay.canonicalize().context("the relay's binary")?,
            beside: beside.transpose().context("the build beside it")?,
            gateways: self.gateways.clone(),
        };
        Site::new(
            &folder,
            programs,
            self.peers(),
            self.core,
            addresses,
            certificates,
        )
    }

    /// Who is compared, where it is not whom the scenarios name.
    fn peers(&self) -> Option<Vec<Peer>> {
        if self.is_training {
            return Some(vec![Peer::Relay]);
        }
        // Builds are compared with each other in many turns.
        let builds = vec![Peer::Nginx, Peer::Relay, Peer::Beside];
        self.beside.as_ref().map(|_| builds)
    }
}

fn run(wish: &Wish) -> Result<()> {
    let certificates = Certificates::new().context("certificates")?;
    let upstream = Upstream::new(certificates.server.clone()).context("the upstream")?;
    let site = wish.site(&upstream, &certificates)?;
    let mut engine = Engine::new(upstream)?;
    let mut measured = Vec::new();
    let mut text = String::new();
    for scenario in &wish.scenarios {
        for tls in scenario.tls.iter().copied() {
            let locks = wish
                .locks
                .iter()
                .map(|path| taken(path))
                .collect::<Result<Vec<_>>>()?;
            let times = wish.times.unwrap_or(scenario.times(wish.is_whole));
            let samples = scenario.measure(&mut engine, &site, tls, times)?;
            drop(locks);
            let one = Measured {
                scenario,
                tls,
                samples,
            };
            let upstream = if tls { "TLS" } else { "plain" };
            let part = format!(
                "### {} · {upstream} upstream\n\n{times} repetitions of each.\n\n{}\n",
                scenario.title,
                one.table()
            );
            println!("{part}");
            println!("{}", one.beside());
            text.push_str(&part);
            measured.push(one);
        }
    }
    let judged = match report::judge(&measured) {
        None => String::new(),
        Some((judged, broken)) => {
            let core = site.core();
            println!("## What must hold\n\n{judged}");
            println!("{broken} of the rows above do not hold (relays on core {core})");
            format!("## What must hold\n\n{judged}\n")
        }
    };
    if let Some(path) = &wish.write {
        let facts = machine::facts();
        let head = wish.head;
        let page = format!("{head}\n{facts}\n{judged}## All figures\n\n{text}");
        fs::write(path, format!("{}\n", page.trim_end()))
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// A lock, once nobody else holds it; dropping it gives it back.
fn taken(path: &Path) -> Result<File> {
    let lock = File::create(path).with_context(|| path.display().to_string())?;
    lock.lock().with_context(|| path.display().to_string())?;
    Ok(lock)
}
