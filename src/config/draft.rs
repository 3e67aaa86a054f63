//! The configuration while it is being read, with the setters that look at more than one value.
//!
//! It starts neutral: a default must never stand here, only in the table.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use tracing::Level;

use super::accounts::AccountsDraft;
use super::limiting::{Limiting, LimitingDraft};
use super::{
    Access, BaseUrl, Beta, Config, DatabaseUrl, Environment, Limits, Log, LogFormat, MemoryBudget,
    Origins, Proxy, Realtime, Server, Tokens, TrustedProxies, Upstream, value,
};

/// The configuration while it is being read.
pub(super) struct Draft {
    pub(super) config: Config,
    /// The rows that were set by somebody.
    pub(super) given: BTreeSet<&'static str>,
    /// The origins, once set.
    pub(super) origins: Option<Origins>,
    /// What is said of accounts, until it is settled.
    pub(super) accounts: AccountsDraft,
    /// What is said of limits, until it is settled.
    pub(super) limiting: LimitingDraft,
    pub(super) notes: Vec<String>,
}

impl Draft {
    /// Neutral values only: every one is overwritten by a row's value or default.
    pub(super) fn blank() -> Self {
        let config = Config {
            server: blank_server(),
            access: Access {
                relay_token: None,
                allow_anonymous: false,
                allow_client_keys: false,
                origins: Origins::Listed(Vec::new()),
                origins_defaulted: true,
            },
            upstream: blank_upstream(),
            realtime: blank_realtime(),
            limiting: Limiting::none(),
            accounts: None,
            tokens: Tokens {
                keys: Vec::new(),
                client_secrets: None,
            },
            database: DatabaseUrl::Sqlite(None),
            database_timeout: Duration::ZERO,
            default_model: String::new(),
            sse_keepalive: Duration::ZERO,
            log: Log {
                level: Level::INFO,
                format: LogFormat::Auto,
                file: None,
            },
            environment: Environment::Production,
        };
        Self {
            config,
            given: BTreeSet::new(),
            origins: None,
            accounts: AccountsDraft::default(),
            limiting: LimitingDraft::default(),
            notes: Vec::new(),
        }
    }

    /// Other programs give `NODE_ENV` values of their own, so none is an error.
    pub(super) fn set_node_env(&mut self, text: &str) -> Result<(), String> {
        let environment = value::environment(text);
        if environment.is_err() && !self.given.contains("RELAY_ENV") {
            self.notes.push("`NODE_ENV` is neither production nor development and counts as development, with its open defaults".to_owned());
        }
        self.config.environment = environment.unwrap_or(Environment::Development);
        Ok(())
    }

    /// Other programs give `DEBUG` patterns of their own, so none is an error.
    pub(super) fn set_debug(&mut self, text: &str) -> Result<(), String> {
        match value::boolean(text) {
            Ok(true) if !self.given.contains("LOG_LEVEL") => self.config.log.level = Level::DEBUG,
            Ok(_) => {}
            Err(_) => self.notes.push(
                "`DEBUG` is neither yes nor no and is passed over; LOG_LEVEL=debug shows more"
                    .to_owned(),
            ),
        }
        Ok(())
    }

    /// Adds one file of authorities; the same path counts once.
    pub(super) fn add_ca_file(&mut self, path: PathBuf) {
        let files = &mut self.config.upstream.ca_files;
        if !files.contains(&path) {
            files.push(path);
        }
    }
}

fn blank_server() -> Server {
    Server {
        host: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 0,
        drain_timeout: Duration::ZERO,
        drain_delay: Duration::ZERO,
        tls_cert: None,
        tls_key: None,
        metrics_address: None,
        trusted_proxies: TrustedProxies(Vec::new()),
        limits: Limits {
            header_timeout: Duration::ZERO,
            keep_alive_timeout: Duration::ZERO,
            body_timeout: Duration::ZERO,
            write_timeout: Duration::ZERO,
            max_body_bytes: None,
            max_connections: None,
            max_connections_per_ip: None,
            memory: MemoryBudget::Off,
        },
    }
}

fn blank_realtime() -> Realtime {
    Realtime {
        model: String::new(),
        beta: Beta::Refuse,
        aliases: Vec::new(),
        compression: false,
        max_sessions: 0,
        heartbeat: Duration::ZERO,
        inactivity: Duration::ZERO,
        session: Duration::ZERO,
        max_message_bytes: 0,
    }
}

fn blank_upstream() -> Upstream {
    Upstream {
        api_key: None,
        base: BaseUrl::blank(),
        realtime_base: None,
        connect_timeout: Duration::ZERO,
        read_timeout: Duration::ZERO,
        write_timeout: Duration::ZERO,
        pool_timeout: Duration::ZERO,
        ca_files: Vec::new(),
        proxy: Proxy {
            https: None,
            all: None,
            no: None,
        },
    }
}

/// Puts a value that could be read where it belongs.
pub(super) fn put<T>(place: &mut T, read: Result<T, String>) -> Result<(), String> {
    *place = read?;
    Ok(())
}
