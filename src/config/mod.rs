//! The configuration: every setting typed, checked once at start, and handed out room by room.
//!
//! [`load()`] is pure given its [`Sources`]. It reports every mistake at once, and it must never print a secret.
//! One table (`table.rs`) holds the variables; the checks, `docs/configuration.md` and `.env.example` follow from it.

mod accounts;
mod address;
mod database;
mod document;
mod dotenv;
mod draft;
mod file;
mod limit;
mod limiting;
mod limits;
mod load;
mod mask;
mod realtime;
mod redis;
mod review;
mod row;
mod source;
mod spelling;
mod table;
mod tokens;
mod value;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
pub use secrecy::SecretString;
pub use tracing::Level;

pub use address::{BaseUrl, ProxyUrl, origin};
pub use database::DatabaseUrl;
pub use document::{aligned, configuration_markdown, effective_text, env_example};
pub use limit::{Bound, CallerKind, Callers, Limit, Per, What};
pub use limiting::Limiting;
pub use load::{ConfigErrors, Effective, Loaded, load};
pub use redis::{Layout, RedisUrl};
pub use source::Sources;
pub use tokens::{ClientSecrets, Tokens};

/// The whole configuration, one part per room.
#[derive(Debug, Clone)]
pub struct Config {
    /// The listener and its end.
    pub server: Server,
    /// Who may use the server's key.
    pub access: Access,
    /// The way to OpenAI.
    pub upstream: Upstream,
    /// Realtime sessions.
    pub realtime: Realtime,
    /// Limits on what callers ask for.
    pub limiting: Limiting,
    /// Accounts; `None` where they are off.
    pub accounts: Option<Accounts>,
    /// Sealed tokens.
    pub tokens: Tokens,
    /// Where accounts and relay keys are kept.
    pub database: DatabaseUrl,
    /// How long a question to it may take altogether.
    pub database_timeout: Duration,
    /// The model of chat requests that name none.
    pub default_model: String,
    /// How long an event stream may be silent before a comment line is added; zero for ever.
    pub sse_keepalive: Duration,
    /// Log output.
    pub log: Log,
    /// Development or production.
    pub environment: Environment,
}

/// Where the relay runs, which decides how strict the defaults are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// Open defaults for work on one machine.
    Development,
    /// Strict defaults.
    Production,
}

impl Environment {
    /// Whether the strict defaults apply.
    #[must_use]
    pub fn is_production(self) -> bool {
        self == Self::Production
    }
}

/// The listener and its end.
#[derive(Debug, Clone)]
pub struct Server {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 takes any free one.
    pub port: u16,
    /// How long running work may go on after the signal to stop.
    pub drain_timeout: Duration,
    /// How long `/ready` says draining before new work is refused.
    pub drain_delay: Duration,
    /// The certificate chain, if TLS is spoken.
    pub tls_cert: Option<PathBuf>,
    /// Its private key.
    pub tls_key: Option<PathBuf>,
    /// Where monitoring is answered beside `host` and `port`, if anywhere.
    pub metrics_address: Option<SocketAddr>,
    /// Whose forwarding headers are believed.
    pub trusted_proxies: TrustedProxies,
    /// What bounds a client.
    pub limits: Limits,
}

/// What bounds a client, in time, bytes and connections.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a head may take, and a new connection to send the first byte of one.
    pub header_timeout: Duration,
    /// How long a kept connection may idle.
    pub keep_alive_timeout: Duration,
    /// How long a body may make next to no progress.
    pub body_timeout: Duration,
    /// How long a client may take next to nothing of its answer.
    pub write_timeout: Duration,
    /// The largest body, in bytes.
    pub max_body_bytes: Option<u64>,
    /// The most connections; `None` for what the limit of open files allows.
    pub max_connections: Option<usize>,
    /// The most connections of one address.
    pub max_connections_per_ip: Option<usize>,
    /// The memory to stay within.
    pub memory: MemoryBudget,
}

/// The memory that the relay should stay within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryBudget {
    /// So many percent of the container's memory, or the machine's.
    Percent(u8),
    /// So many bytes.
    Bytes(u64),
    /// Whatever there is.
    Off,
}

/// The address ranges whose `X-Forwarded-For` and `Forwarded` headers are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Whether a peer at `address` is believed; an IPv4 address written as IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|range| range.contains(&address))
    }

    /// Whether no forwarding header is believed at all.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

/// Who may use the server's key.
#[derive(Debug, Clone)]
pub struct Access {
    /// The shared token that clients send.
    pub relay_token: Option<SecretString>,
    /// Whether requests without any credential are served.
    pub allow_anonymous: bool,
    /// Whether clients may bring a full OpenAI key of their own.
    pub allow_client_keys: bool,
    /// The origins of web pages that may call, with the environment's default already put in.
    pub origins: Origins,
    /// Whether `origins` is the environment's default because nobody set it.
    pub origins_defaulted: bool,
}

impl Access {
    /// Whether a page from `origin`, as the `Origin` header spells it, may call.
    #[must_use]
    pub fn origin_listed(&self, origin: &str) -> bool {
        match &self.origins {
            Origins::Any => true,
            Origins::Listed(listed) => listed.iter().any(|one| one.eq_ignore_ascii_case(origin)),
        }
    }
}

/// The origins of web pages that may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Every origin.
    Any,
    /// These only, each as `scheme://host[:port]` in lower case.
    Listed(Vec<String>),
}

/// The way to OpenAI.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// The server's key.
    pub api_key: Option<SecretString>,
    /// Where the upstream's `/v1` is.
    pub base: BaseUrl,
    /// Where realtime sockets go, if elsewhere.
    pub realtime_base: Option<BaseUrl>,
    /// Longest wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// Longest silence between bytes from the upstream.
    pub read_timeout: Duration,
    /// Longest wait for the upstream to take more bytes.
    pub write_timeout: Duration,
    /// Longest wait for a free connection.
    pub pool_timeout: Duration,
    /// PEM files of further authorities to trust; not opened here.
    pub ca_files: Vec<PathBuf>,
    /// Outbound proxies.
    pub proxy: Proxy,
}

/// Outbound proxies.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// For `https` upstreams.
    pub https: Option<ProxyUrl>,
    /// For every upstream that has no proxy of its own.
    pub all: Option<ProxyUrl>,
    /// Hosts that are dialled directly, comma-separated.
    pub no: Option<String>,
}

/// Realtime sessions.
#[derive(Debug, Clone)]
pub struct Realtime {
    /// The model where the client names none.
    pub model: String,
    /// What becomes of clients of the retired beta.
    pub beta: Beta,
    /// Models that are replaced, beside the retired ones.
    pub aliases: Vec<(String, String)>,
    /// Whether the client's leg is compressed where it offers that.
    pub compression: bool,
    /// The most sessions at once.
    pub max_sessions: usize,
    /// Silence of a side before it is pinged, and again before it is given up; zero for any.
    pub heartbeat: Duration,
    /// Silence of a conversation before it is closed; zero for any.
    pub inactivity: Duration,
    /// The longest session; zero for any.
    pub session: Duration,
    /// The largest message, in bytes.
    pub max_message_bytes: u64,
}

/// What becomes of clients that speak the retired Realtime beta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beta {
    /// Their sessions are translated.
    Translate,
    /// The marker is taken away, and nothing else.
    Ga,
    /// They are refused.
    Refuse,
}

/// Accounts, once they are on.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// What every key of theirs is derived from.
    pub secret_key: SecretString,
    /// Who may register.
    pub registration: Registration,
    /// How long an access token is good.
    pub access_token_life: Duration,
}

/// Who may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Anyone.
    Open,
    /// Who has a code of the operator's.
    Invite,
    /// Nobody.
    Closed,
}

/// Log output.
#[derive(Debug, Clone)]
pub struct Log {
    /// The least level that is written.
    pub level: Level,
    /// The shape of a line.
    pub format: LogFormat,
    /// The file to write to, if any.
    pub file: Option<PathBuf>,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(pairs: &[(&str, &str)]) -> Loaded {
        load(&Sources::from_map(pairs.iter().copied())).expect("a valid configuration")
    }

    #[test]
    fn without_any_variable_the_documented_defaults_hold() {
        let config = loaded(&[]).config;
        assert_eq!(config.server.host.to_string(), "0.0.0.0");
        assert_eq!(config.server.port, 8080);
        assert_eq!(config.server.drain_timeout, Duration::from_secs(30));
        assert_eq!(config.server.drain_delay, Duration::ZERO);
        assert_eq!(
            config.upstream.base.to_string(),
            "https://api.openai.com/v1"
        );
        assert_eq!(config.upstream.connect_timeout, Duration::from_secs(10));
        assert_eq!(config.upstream.read_timeout, Duration::from_secs(600));
        assert_eq!(config.upstream.write_timeout, Duration::from_secs(300));
        assert_eq!(config.upstream.pool_timeout, Duration::from_secs(10));
        assert_eq!(config.realtime.model, "gpt-realtime-2.1-mini");
        assert_eq!(config.log.level, Level::INFO);
        assert_eq!(config.environment, Environment::Development);
        assert_eq!(config.access.origins, Origins::Any);
        assert!(config.access.origins_defaulted);
    }

    #[test]
    fn in_production_no_origin_is_listed_until_one_is_set() {
        let config = loaded(&[("RELAY_ENV", "production")]).config;
        assert!(!config.access.origin_listed("https://app.example.com"));
        let config = loaded(&[
            ("RELAY_ENV", "production"),
            ("ALLOWED_ORIGINS", "https://app.example.com/"),
        ])
        .config;
        assert!(config.access.origin_listed("https://app.example.com"));
        assert!(
            !config
                .access
                .origin_listed("https://app.example.com.evil.test")
        );
        assert!(!config.access.origin_listed("http://app.example.com"));
    }

    #[test]
    fn a_mapped_ipv4_peer_is_found_in_an_ipv4_range() {
        let trusted = loaded(&[]).config.server.trusted_proxies;
        assert!(trusted.contains("::ffff:10.1.2.3".parse().expect("an address")));
        assert!(trusted.contains("::1".parse().expect("an address")));
        assert!(!trusted.contains("203.0.113.9".parse().expect("an address")));
        assert!(
            loaded(&[("TRUSTED_PROXIES", "none")])
                .config
                .server
                .trusted_proxies
                .is_none()
        );
    }

    #[test]
    fn every_error_is_reported_at_once() {
        let pairs = [("PORT", "80a"), ("HOST", "nowhere"), ("LOG_LEVEL", "loud")];
        let errors = load(&Sources::from_map(pairs)).expect_err("three mistakes");
        assert_eq!(errors.messages().len(), 3);
        assert!(errors.to_string().contains(
            "PORT: \"80a\" is not a port; accepts a number from 0 to 65535 (0 takes any free port) (from the environment)"
        ));
    }

    #[test]
    fn debug_output_of_the_configuration_shows_no_secret() {
        let config = loaded(&[
            ("OPENAI_API_KEY", "sk-planted-0123456789"),
            ("RELAY_TOKEN", "planted-relay-token-0123"),
            ("HTTPS_PROXY", "http://user:planted@proxy.example.com:3128"),
        ])
        .config;
        assert!(!format!("{config:?}").contains("planted"));
    }
}
