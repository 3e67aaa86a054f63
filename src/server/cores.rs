//! Cores: a single-threaded runtime for each. A connection stays on one of them from its first
//! byte to its last, and so does what it leases from the upstream's pool: no task moves between
//! threads, and nothing wakes a thread that is not concerned.
//!
//! New connections go to the core with the fewest, so that a few long ones spread as evenly as many
//! short ones; with a listener for each core (SO_REUSEPORT) a hash would decide.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use tokio::runtime::{self, Handle};
use tokio_util::sync::CancellationToken;

/// The runtimes of a server: the one that it was made in, and a thread for each further core.
pub(super) struct Cores {
    cores: Vec<Core>,
    threads: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

struct Core {
    runtime: Handle,
    connections: Arc<AtomicUsize>,
}

/// A connection's place on a core; its drop gives it back.
pub(super) struct Place(Arc<AtomicUsize>);

impl Cores {
    /// As many as the process may use. Must be called inside a runtime.
    pub(super) fn start() -> io::Result<Cores> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let mut cores = Cores {
            cores: vec![Core::new(Handle::current())],
            threads: Vec::new(),
            stop: CancellationToken::new(),
        };
        for number in 1..count {
            cores.add(number)?;
        }
        Ok(cores)
    }

    fn add(&mut self, number: usize) -> io::Result<()> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        self.cores.push(Core::new(runtime.handle().clone()));
        let stop = self.stop.clone();
        let thread = thread::Builder::new().name(format!("core-{number}"));
        self.threads.push(thread.spawn(move || {
            runtime.block_on(stop.cancelled());
            // A password that is still being hashed concerns nobody any more.
            runtime.shutdown_background();
        })?);
        Ok(())
    }

    /// A place on the core with the fewest connections, and its runtime.
    pub(super) fn place(&self) -> (Place, &Handle) {
        let fewest = self
            .cores
            .iter()
            .min_by_key(|core| core.connections.load(Ordering::Relaxed))
            .unwrap_or(&self.cores[0]);
        fewest.connections.fetch_add(1, Ordering::Relaxed);
        (Place(Arc::clone(&fewest.connections)), &fewest.runtime)
    }
}

impl Core {
    fn new(runtime: Handle) -> Core {
        Core {
            runtime,
            connections: Arc::new(AtomicUsize::new(0)),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Cores {
    /// What still runs there ends here, and has said so when this returns: at the end of a drain
    /// that was given up there is nothing else to wait for.
    fn drop(&mut self) {
        self.stop.cancel();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_go_where_the_fewest_are() {
        let mut cores = Cores::start().expect("threads");
        cores.add(cores.cores.len()).expect("a thread");
        let counts = |cores: &Cores| -> Vec<usize> {
            let counts = cores.cores.iter().map(|core| &core.connections);
            counts.map(|count| count.load(Ordering::Relaxed)).collect()
        };
        let count = cores.cores.len();
        let mut places: Vec<Place> = (0..2 * count).map(|_| cores.place().0).collect();
        assert_eq!(counts(&cores), vec![2; count]);
        // One that ends makes room where it was.
        drop(places.remove(1));
        assert_eq!(counts(&cores)[1], 1);
        places.push(cores.place().0);
        assert_eq!(counts(&cores), vec![2; count]);
    }

    #[tokio::test]
    async fn what_is_spawned_on_a_further_core_runs_on_its_thread() {
        let mut cores = Cores::start().expect("threads");
        cores.add(cores.cores.len()).expect("a thread");
        let here = thread::current().id();
        let last = cores.cores.last().expect("a core").runtime.clone();
        let tasks = tokio_util::task::TaskTracker::new();
        let there = tasks.spawn_on(async { thread::current().id() }, &last);
        assert_ne!(there.await.expect("a thread"), here);
    }
}
