//! Builds every room once, from its own slice of the configuration, and runs what must run beside
//! the server.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::accounts::Accounts;
use crate::admission::keys::RelayKeys;
use crate::admission::{Calls, Drain, Gate, Limiter, Pressure, Sealing, Sessions, Terms};
use crate::config::{Config, DatabaseUrl};
use crate::control::{Control, Service};
use crate::edge::Edge;
use crate::error::Refusal;
use crate::relay::{Patience, Relay, Rules};
use crate::server::{Monitoring, Server};
use crate::store::{Shelf, Store};
use crate::telemetry::Counters;
use crate::upstream::Upstream;

/// A relay that listens, ready to run.
pub struct App {
    server: Server,
    monitoring: Option<Monitoring>,
    accounts: Option<Arc<Accounts>>,
    keys: Arc<RelayKeys>,
    gate: Arc<Gate>,
    limiter: Arc<Limiter>,
}

impl App {
    /// Builds it. Must be called inside the runtime.
    pub async fn build(config: &Config) -> Result<App> {
        let drain = Arc::new(Drain::new());
        let pressure = Arc::new(Pressure::default());
        let counters = Arc::new(Counters::new());
        let sessions = Arc::new(Sessions::new(config.realtime.max_sessions));
        let upstream = Arc::new(Upstream::new(&config.upstream, &counters)?);
        let (keys, accounts, store) = people(config).await?;
        let sealing = Arc::new(Sealing::new(&config.tokens, &config.access));
        let limiter = Arc::new(Limiter::new(&config.limiting)?);
        limiter.begin().await;
        let calls = Arc::new(Calls::new(Arc::clone(&limiter)));
        let terms = Terms {
            access: config.access.clone(),
            accounts: accounts.clone(),
            keys: Arc::clone(&keys),
            calls: Arc::clone(&calls),
            sealing: Arc::clone(&sealing),
            environment: config.environment,
            has_server_key: upstream.has_server_key(),
        };
        let gate = Arc::new(Gate::new(
            terms,
            Arc::clone(&drain),
            Arc::clone(&pressure),
            Arc::clone(&sessions),
            Arc::clone(&limiter),
            Arc::clone(&counters),
        ));
        let control = Control::new(
            Arc::clone(&drain),
            sessions,
            counters,
            Arc::clone(&gate),
            services(&upstream, store, &limiter, config.limiting.redis.is_some()),
            folder(config),
        );
        let monitoring = monitoring(config, &control)?;
        let relay = Relay::new(
            upstream,
            &config.realtime,
            config.default_model.clone(),
            config.sse_keepalive,
            rules(config, Arc::clone(&pressure)),
            sealing,
            calls,
        );
        let proxies = config.server.trusted_proxies.clone();
        let edge = Edge::new(Arc::clone(&gate), relay, control.router(), proxies);
        let edge = Arc::new(edge);
        let server = Server::bind(&config.server, edge, drain, pressure)?;
        Ok(App {
            server,
            monitoring,
            accounts,
            keys,
            gate,
            limiter,
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.server.local_addr()
    }

    /// Where it answers monitoring besides, if anywhere.
    pub fn monitoring_addr(&self) -> Result<Option<SocketAddr>> {
        let monitoring = self.monitoring.as_ref();
        monitoring.map(Monitoring::local_addr).transpose()
    }

    /// The accounts, where there are any.
    pub fn accounts(&self) -> Option<&Arc<Accounts>> {
        self.accounts.as_ref()
    }

    /// The relay keys.
    pub fn keys(&self) -> &RelayKeys {
        &self.keys
    }

    /// A sealed token that the holder of a relay key makes.
    pub async fn seal(&self, key: &str, life_s: i64) -> Result<String, Refusal> {
        self.gate.seal(key, life_s).await
    }

    /// Serves until `stop` ends and what then still runs has ended or run out of time.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (beside, end) = (TaskTracker::new(), CancellationToken::new());
        if let Some(accounts) = self.accounts {
            let end = end.clone();
            beside.spawn(async move { accounts.watch(end).await });
        }
        let (keys, stopped) = (self.keys, end.clone());
        beside.spawn(async move { keys.watch(stopped).await });
        let (limiter, stopped) = (self.limiter, end.clone());
        beside.spawn(async move { limiter.watch(stopped).await });
        if let Some(monitoring) = self.monitoring {
            beside.spawn(monitoring.run(end.clone()));
        }
        self.server.run(stop).await;
        end.cancel();
        beside.close();
        beside.wait().await;
    }
}

/// What answers monitoring besides, if anything.
fn monitoring(config: &Config, control: &Control) -> Result<Option<Monitoring>> {
    let address = config.server.metrics_address;
    address
        .map(|address| Monitoring::bind(address, control.clone().monitoring()))
        .transpose()
}

/// Who has a credential of its own, and where that is kept.
async fn people(
    config: &Config,
) -> Result<(Arc<RelayKeys>, Option<Arc<Accounts>>, Option<Arc<Store>>)> {
    let (url, patience) = (&config.database, config.database_timeout);
    let shelf = match &config.accounts {
        Some(_) => Shelf::with(url, patience, Arc::new(Store::open(url, patience).await?)),
        None => Shelf::empty(url, patience),
    };
    let shelf = Arc::new(shelf);
    let keys = Arc::new(RelayKeys::new(Arc::clone(&shelf)));
    keys.begin().await?;
    let store = shelf.store().cloned();
    let accounts = config.accounts.as_ref().zip(store.clone());
    let accounts = accounts.map(|(config, store)| {
        let accounts = Accounts::new(config, store, Arc::clone(&keys));
        Arc::new(accounts)
    });
    Ok((keys, accounts, store))
}

/// What the detailed health looks at.
fn services(
    upstream: &Arc<Upstream>,
    store: Option<Arc<Store>>,
    limiter: &Arc<Limiter>,
    has_redis: bool,
) -> Vec<Service> {
    let upstream = Arc::clone(upstream);
    let openai = Service::new("openai", move || {
        let upstream = Arc::clone(&upstream);
        async move { upstream.reach().await.map_err(|fault| fault.to_string()) }
    });
    let database = match store {
        Some(store) => Service::new("database", move || {
            let store = Arc::clone(&store);
            async move { store.probe().await.map_err(|fault| fault.to_string()) }
        }),
        None => Service::off("database"),
    };
    let redis = if has_redis {
        let limiter = Arc::clone(limiter);
        Service::dispensable("redis", move || {
            let limiter = Arc::clone(&limiter);
            async move { limiter.probe().await }
        })
    } else {
        Service::off("redis")
    };
    vec![openai, database, redis]
}

/// Where on the disk the relay keeps things.
fn folder(config: &Config) -> PathBuf {
    let file = match (&config.accounts, &config.database) {
        (Some(_), DatabaseUrl::Sqlite(file)) => file.as_deref(),
        _ => None,
    };
    let folder = file.and_then(|file| file.parent());
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or_else(|| PathBuf::from("."), PathBuf::from)
}

fn rules(config: &Config, pressure: Arc<Pressure>) -> Rules {
    let realtime = &config.realtime;
    let unless_zero = |limit: Duration| (!limit.is_zero()).then_some(limit);
    let conversation = Patience {
        heartbeat: unless_zero(realtime.heartbeat),
        inactivity: unless_zero(realtime.inactivity),
        session: unless_zero(realtime.session),
    };
    let other = Patience {
        inactivity: None,
        ..conversation
    };
    Rules {
        conversation: Arc::new(conversation),
        other: Arc::new(other),
        beta: realtime.beta,
        compression: realtime.compression,
        max_message: realtime.max_message_bytes,
        client_stall: config.server.limits.write_timeout,
        upstream_stall: config.upstream.write_timeout,
        pressure,
    }
}
