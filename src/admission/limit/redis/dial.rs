//! The way to Redis: one server, the one that sentinels name, or the primaries of a cluster. Whoever
//! knows the way is asked together with all others: one that is silent keeps nobody waiting.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    Pipeline, RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, Value,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::task::JoinSet;

use super::cluster::{self, Address, Slots};
use crate::config::{Layout, Limiting, RedisUrl};

/// How long each step of dialling may take.
const CONNECT: Duration = Duration::from_secs(1);
/// How many requests may wait for a connection to take them.
const WAITING: usize = 1024;

/// Dials a Redis.
pub(super) struct Dialer {
    url: RedisUrl,
    /// PEM.
    authorities: Option<Vec<u8>>,
    /// How long an answer may take before it is given up, whoever waits for it.
    patience: Duration,
}

/// Who is spoken to: sentinels may have the server's user and password, its password alone, or none.
#[derive(Clone, Copy)]
enum Login {
    Whole,
    Password,
    None,
}

impl Dialer {
    /// A dialer, where the configuration names a Redis.
    pub(super) fn new(config: &Limiting) -> Result<Option<Dialer>> {
        let Some(url) = config.redis.clone() else {
            return Ok(None);
        };
        let authorities = match &config.redis_ca_file {
            Some(file) => Some(std::fs::read(file).context("reading REDIS_CA_FILE")?),
            None => None,
        };
        Ok(Some(Dialer {
            url,
            authorities,
            patience: config.redis_timeout.max(CONNECT),
        }))
    }

    /// Where it is, for people.
    pub(super) fn shown(&self) -> String {
        self.url.shown()
    }

    /// Some nodes of the cluster, if it is one.
    pub(super) fn nodes(&self) -> Option<&[Address]> {
        match &self.url.layout {
            Layout::Cluster(nodes) => Some(nodes),
            _ => None,
        }
    }

    /// Connects to the server that has all keys.
    pub(super) async fn dial(self: &Arc<Self>) -> RedisResult<MultiplexedConnection> {
        match &self.url.layout {
            Layout::Server(host, port) => self.node(&(host.clone(), *port)).await,
            Layout::Socket(path) => self.open(ConnectionAddr::Unix(path.clone())).await,
            Layout::Sentinel { sentinels, name } => self.main(sentinels, name).await,
            Layout::Cluster(_) => Err(unknown("no server of a cluster has all keys")),
        }
    }

    /// Connects to one server.
    pub(super) async fn node(&self, address: &Address) -> RedisResult<MultiplexedConnection> {
        self.open(self.address(address)).await
    }

    /// The primaries of a cluster, by the first of these nodes that is in touch with it.
    pub(super) async fn primaries(
        self: &Arc<Self>,
        nodes: Vec<Address>,
    ) -> RedisResult<Vec<(Address, Slots)>> {
        let mut asking = JoinSet::new();
        for node in nodes {
            let dialer = Arc::clone(self);
            asking.spawn(async move { dialer.ask_node(&node).await });
        }
        let (mut last, mut cut_off) = (unknown("no node of the cluster is known"), None);
        while let Some(asked) = asking.join_next().await {
            match asked.unwrap_or_else(|_| Err(unknown("a node was not asked to the end"))) {
                Ok((primaries, true)) => return Ok(primaries),
                Ok((primaries, false)) => cut_off = Some(primaries),
                Err(error) => last = error,
            }
        }
        cut_off.ok_or(last)
    }

    /// What a node knows of its cluster, and whether it is in touch with most of it.
    async fn ask_node(&self, node: &Address) -> RedisResult<(Vec<(Address, Slots)>, bool)> {
        let mut connection = self.node(node).await?;
        let mut questions = Pipeline::new();
        questions.cmd("CLUSTER").arg("INFO");
        questions.cmd("CLUSTER").arg("SLOTS");
        let (info, slots): (String, Value) = questions.query_async(&mut connection).await?;
        let primaries = cluster::primaries(&slots, &node.0);
        match primaries.is_empty() {
            true => Err(unknown("a node knows of no primary")),
            false => Ok((primaries, info.contains("cluster_state:ok"))),
        }
    }

    /// Connects to the server that a sentinel names, and that says the same of itself.
    async fn main(
        self: &Arc<Self>,
        sentinels: &[Address],
        name: &str,
    ) -> RedisResult<MultiplexedConnection> {
        let mut asking = JoinSet::new();
        for sentinel in sentinels {
            let (dialer, sentinel, name) = (Arc::clone(self), sentinel.clone(), name.to_owned());
            asking.spawn(async move { dialer.main_by(&sentinel, &name).await });
        }
        let mut last = unknown("no sentinel is known");
        while let Some(asked) = asking.join_next().await {
            match asked.unwrap_or_else(|_| Err(unknown("a sentinel was not asked to the end"))) {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn main_by(&self, sentinel: &Address, name: &str) -> RedisResult<MultiplexedConnection> {
        let address = self.ask_sentinel(sentinel, name).await?;
        let address = address.ok_or_else(|| unknown("a sentinel knows no server of that name"))?;
        let mut connection = self.node(&address).await?;
        let role: Value = redis::cmd("ROLE").query_async(&mut connection).await?;
        let is_main = matches!(&role, Value::Array(role)
            if matches!(role.first(), Some(Value::BulkString(role)) if role == b"master"));
        match is_main {
            true => Ok(connection),
            false => Err(unknown("the server that a sentinel names is a replica")),
        }
    }

    async fn ask_sentinel(&self, sentinel: &Address, name: &str) -> RedisResult<Option<Address>> {
        let logins: &[Login] = match (&self.url.username, &self.url.password) {
            (Some(_), Some(_)) => &[Login::Whole, Login::Password, Login::None],
            (None, Some(_)) => &[Login::Password, Login::None],
            _ => &[Login::None],
        };
        let mut last = unknown("no sentinel is known");
        for login in logins {
            let asked = async {
                let info = self.info(self.address(sentinel), *login, 0)?;
                let mut connection = self.connect(info).await?;
                let mut question = redis::cmd("SENTINEL");
                question.arg("get-master-addr-by-name").arg(name);
                question.query_async(&mut connection).await
            };
            match asked.await {
                Ok(address) => return Ok(address),
                // Nobody is there to log in to.
                Err(error) if error.is_io_error() => return Err(error),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn open(&self, address: ConnectionAddr) -> RedisResult<MultiplexedConnection> {
        let info = self.info(address, Login::Whole, self.url.database)?;
        self.connect(info).await
    }

    async fn connect(&self, info: ConnectionInfo) -> RedisResult<MultiplexedConnection> {
        let client = match self.certificates() {
            Some(certificates) => Client::build_with_tls(info, certificates)?,
            None => Client::open(info)?,
        };
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(self.patience))
            .set_pipeline_buffer_size(WAITING);
        let connecting = client.get_multiplexed_async_connection_with_config(&settings);
        connecting.await
    }

    fn address(&self, (host, port): &Address) -> ConnectionAddr {
        let (host, port) = (host.clone(), *port);
        match self.url.is_tls {
            true => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            },
            false => ConnectionAddr::Tcp(host, port),
        }
    }

    fn info(
        &self,
        address: ConnectionAddr,
        login: Login,
        database: i64,
    ) -> RedisResult<ConnectionInfo> {
        let mut settings = RedisConnectionInfo::default().set_db(database);
        if let (Login::Whole, Some(username)) = (login, &self.url.username) {
            settings = settings.set_username(username);
        }
        if let (Login::Whole | Login::Password, Some(password)) = (login, self.password()) {
            settings = settings.set_password(password);
        }
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = address.into_connection_info()?;
        Ok(info.set_redis_settings(settings).set_tcp_settings(tcp))
    }

    fn password(&self) -> Option<&str> {
        self.url.password.as_ref().map(SecretString::expose_secret)
    }

    fn certificates(&self) -> Option<TlsCertificates> {
        let root_cert = self.authorities.clone().filter(|_| self.url.is_tls)?;
        Some(TlsCertificates {
            client_tls: None,
            root_cert: Some(root_cert),
        })
    }
}

fn unknown(what: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Client, what))
}
