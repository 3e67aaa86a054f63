//! What the tasks do that look after Redis: they keep links, tell what happened to them, and come back.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand;
use redis::RedisResult;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::breaker::Breaker;
use super::line::{Line, Link, Map, Target};
use super::steadiness::LASTING;
use super::{Reach, Shared};

/// What is given up after this long in the background, where nobody waits.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a link is tried that nobody may be using, so that the next request finds a good one. As
/// often a cluster is asked for its map while a server of it is away.
const PROBE: Duration = Duration::from_secs(1);
/// How long a cluster is left alone with a question that may come up again at once.
const GATHER: Duration = Duration::from_millis(100);
/// How often this relay shows that it lives, and renews its places.
const BEAT: Duration = Duration::from_secs(10);

impl Shared {
    /// Tries to reach Redis for the first time, and says what came of it.
    ///
    /// # Errors
    /// None of it is reached.
    pub(in crate::admission::limit) async fn begin(self: &Arc<Self>) -> Result<(), String> {
        if let Err(cause) = self.draw_map().await {
            self.tell_lost(None, true, &cause);
            return Err(cause);
        }
        self.connect_all().await
    }

    /// Connects to all servers at once, and tells of it once.
    async fn connect_all(self: &Arc<Self>) -> Result<(), String> {
        let mut connecting = JoinSet::new();
        for line in self.map().lines() {
            let (shared, line) = (Arc::clone(self), Arc::clone(line));
            connecting.spawn(async move {
                let connected = shared.connect(&line).await;
                (line, connected)
            });
        }
        let (mut is_reached, mut last) = (false, Ok(()));
        for (line, connected) in connecting.join_all().await {
            match connected {
                Ok(_) => is_reached = true,
                Err(cause) => {
                    let is_news = line.steadiness().went(Instant::now());
                    self.tell_lost(Some(&line), is_news, &cause);
                    last = Err(cause);
                }
            }
        }
        if is_reached {
            self.tell_shared(None);
            last = Ok(());
        }
        last
    }

    /// Keeps the links, and tries to come back to what is lost, until told to stop.
    pub(in crate::admission::limit) async fn watch(self: &Arc<Self>, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let work = async {
            for line in self.map().lines() {
                self.tend_beside(&tasks, &stop, line);
            }
            match self.dialer.nodes() {
                Some(_) => self.follow(&tasks, &stop).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
        tasks.close();
        tasks.wait().await;
        // What this relay held is free at once, and not only when it runs out.
        self.leave().await;
    }

    /// Leaves Redis as if this relay had never been.
    pub(in crate::admission::limit) async fn leave(self: &Arc<Self>) {
        let mut leaving = JoinSet::new();
        for line in self.map().lines() {
            let (shared, line) = (Arc::clone(self), Arc::clone(line));
            leaving.spawn(async move { timeout(PATIENCE, shared.leave_line(&line)).await });
        }
        leaving.join_all().await;
    }

    /// Whether it answers.
    pub(in crate::admission::limit) async fn probe(&self) -> Result<(), String> {
        let map = self.map();
        let links: Vec<_> = map.lines().map(|line| (line, line.link())).collect();
        let away = links.iter().filter(|(_, link)| link.is_none());
        let away: Vec<String> = away.filter_map(|(line, _)| line.server()).collect();
        match self.state().reach {
            Reach::Whole => {}
            Reach::None => return Err("it is not reached; this relay counts alone".to_owned()),
            Reach::Part => {
                let away = away.join(", ");
                return Err(format!(
                    "{away}: not reached; what is counted there this relay counts alone"
                ));
            }
        }
        for link in links.into_iter().filter_map(|(_, link)| link) {
            let mut connection = link.connection.clone();
            let ping = redis::cmd("PING").exec_async(&mut connection).await;
            ping.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Asks a cluster which server has which keys; new lines are on the map from then on.
    async fn draw_map(&self) -> Result<(), String> {
        let Some(configured) = self.dialer.nodes() else {
            return Ok(());
        };
        let before = self.map();
        let mut nodes = configured.to_vec();
        for line in before.lines() {
            if let Target::Node(address) = &line.target
                && !nodes.contains(address)
            {
                nodes.push(address.clone());
            }
        }
        let primaries = match timeout(PATIENCE * 2, self.dialer.primaries(nodes)).await {
            Ok(primaries) => primaries.map_err(|error| error.to_string())?,
            Err(_) => return Err("no answer in time".to_owned()),
        };
        let map = Arc::new(Map::of(primaries, &before));
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&map);
        for line in before.lines().filter(|line| !map.has(line)) {
            line.gone.cancel();
        }
        Ok(())
    }

    /// Follows a cluster as servers come and go.
    async fn follow(self: &Arc<Self>, tasks: &TaskTracker, stop: &CancellationToken) {
        loop {
            let before = self.map();
            let is_known = before.lines().count() > 0;
            if is_known && before.lines().all(|line| line.link().is_some()) {
                self.outdated.notified().await;
                // One answer for all that was sent elsewhere meanwhile.
                sleep(GATHER).await;
            } else {
                sleep(PROBE).await;
            }
            if let Err(cause) = self.draw_map().await {
                self.tell_lost(None, false, &cause);
                continue;
            }
            if !is_known {
                // Whatever is not reached was told of.
                let _ = self.connect_all().await;
            }
            let now = self.map();
            for line in now.lines().filter(|line| !before.has(line)) {
                self.tend_beside(tasks, stop, line);
            }
        }
    }

    fn tend_beside(
        self: &Arc<Self>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
        line: &Arc<Line>,
    ) {
        let (shared, line, stop) = (Arc::clone(self), Arc::clone(line), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = shared.tend(&line) => {}
                () = line.gone.cancelled() => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// Keeps a link to a server, or tries to come back to one.
    async fn tend(&self, line: &Arc<Line>) {
        loop {
            if let Some(link) = line.link() {
                self.keep(line, &link).await;
            } else {
                match self.connect(line).await {
                    Ok(is_news) => {
                        if is_news {
                            self.tell_shared(Some(line));
                        }
                        continue;
                    }
                    Err(cause) => {
                        let is_news = line.steadiness().went(Instant::now());
                        self.tell_lost(Some(line), is_news, &cause);
                    }
                }
            }
            let pause = line.steadiness().pause(dice());
            sleep(pause).await;
        }
    }

    /// Looks after a link until it is lost.
    async fn keep(&self, line: &Arc<Line>, link: &Arc<Link>) {
        let mut connection = link.connection.clone();
        let mut left = self.places.changes();
        // Some may have been left since the link was made.
        left.mark_changed();
        let mut beat = interval_at(Instant::now() + BEAT, BEAT);
        let mut probe = interval_at(Instant::now() + PROBE, PROBE);
        let lasting = sleep(LASTING);
        tokio::pin!(lasting);
        let mut has_lasted = false;
        loop {
            let done = tokio::select! {
                () = line.lost.notified() => return,
                () = &mut lasting, if !has_lasted => {
                    has_lasted = true;
                    if line.steadiness().lasted() {
                        self.tell_shared(Some(line));
                    }
                    continue;
                }
                _ = beat.tick() => self.beat(line, &mut connection).await,
                _ = probe.tick() => {
                    self.look(line, link).await;
                    continue;
                }
                Ok(()) = left.changed() => self.clear(line, &mut connection).await,
            };
            if let Err(error) = done {
                self.failed(line, link, Some(error));
            }
        }
    }

    /// Makes a new link and tells the server what it has missed; then requests use it. A server that
    /// needs longer than a request waits is no better than none. True if the link is news.
    pub(super) async fn connect(&self, line: &Arc<Line>) -> Result<bool, String> {
        let connecting = async {
            let mut connection = match &line.target {
                Target::Main => self.dialer.dial().await,
                Target::Node(address) => self.dialer.node(address).await,
            }?;
            for script in [&self.scripts.bucket, &self.scripts.places] {
                script.load_async(&mut connection).await?;
            }
            let shown = timeout(self.patience, self.show(line, &mut connection)).await;
            let is_quick = shown.is_ok();
            shown.unwrap_or(Ok(()))?;
            if is_quick {
                self.renew(line, &mut connection).await?;
                self.clear(line, &mut connection).await?;
            }
            RedisResult::Ok(is_quick.then_some(connection))
        };
        let connection = match timeout(PATIENCE * 2, connecting).await {
            Ok(Ok(Some(connection))) => connection,
            Ok(Ok(None)) => return Err("it answers, but not in time (REDIS_TIMEOUT)".to_owned()),
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("no answer in time".to_owned()),
        };
        // Before a request can lose it again.
        let is_news = line.steadiness().came(Instant::now());
        line.put(Link {
            connection,
            epoch: self.epochs.fetch_add(1, Ordering::Relaxed) + 1,
            breaker: Breaker::default(),
        });
        Ok(is_news)
    }

    /// Asks as a request would.
    async fn look(&self, line: &Arc<Line>, link: &Arc<Link>) {
        let mut connection = link.connection.clone();
        let ping = redis::cmd("PING");
        match timeout(self.patience, ping.exec_async(&mut connection)).await {
            Ok(Ok(())) => link.breaker.succeeded(),
            Ok(Err(error)) => self.failed(line, link, Some(error)),
            Err(_) => self.failed(line, link, None),
        }
    }

    /// A server, or all of Redis, is lost; or still is, which is no news.
    pub(super) fn tell_lost(&self, line: Option<&Line>, is_news: bool, cause: &str) {
        let redis = self.dialer.shown();
        let server = line.and_then(Line::server);
        if is_news {
            self.changes.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                redis,
                server,
                cause,
                "Redis does not answer: what it counts is counted by this relay alone until it does"
            );
        } else {
            tracing::debug!(redis, server, cause, "Redis still does not answer");
        }
    }

    fn tell_shared(&self, line: Option<&Line>) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        tracing::info!(
            redis = self.dialer.shown(),
            server = line.and_then(Line::server),
            replicas = self.replicas(),
            "limits are shared in Redis"
        );
    }
}

/// From 0 to 1.
fn dice() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness nothing is lost but the spread.
    let _ = rand::fill(&mut bytes);
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}
