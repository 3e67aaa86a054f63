//! The way to Redis: one server, the one that sentinels name, or a cluster.

use std::time::Duration;

use anyhow::{Context, Result};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    Pipeline, RedisConnectionInfo, RedisFuture, RedisResult, TlsCertificates, TlsMode, Value,
};
use secrecy::{ExposeSecret, SecretString};

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

/// A connection that any number of requests share.
#[derive(Clone)]
pub(super) enum Link {
    /// To one server.
    Server(MultiplexedConnection),
    /// To all nodes of a cluster.
    Cluster(ClusterConnection),
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

    /// Makes a new connection.
    pub(super) async fn dial(&self) -> RedisResult<Link> {
        match &self.url.layout {
            Layout::Server(host, port) => self.server(self.address(host, *port)).await,
            Layout::Socket(path) => self.server(ConnectionAddr::Unix(path.clone())).await,
            Layout::Sentinel { sentinels, name } => self.sentinel(sentinels, name).await,
            Layout::Cluster(nodes) => self.cluster(nodes).await,
        }
    }

    async fn server(&self, address: ConnectionAddr) -> RedisResult<Link> {
        let info = self.info(address)?;
        let client = match self.certificates() {
            Some(certificates) => Client::build_with_tls(info, certificates)?,
            None => Client::open(info)?,
        };
        let settings = self.settings();
        let connecting = client.get_multiplexed_async_connection_with_config(&settings);
        connecting.await.map(Link::Server)
    }

    /// Sentinels may have the server's password or none.
    async fn sentinel(&self, sentinels: &[(String, u16)], name: &str) -> RedisResult<Link> {
        let password = self.password();
        let asked = self.ask_sentinels(sentinels, name, password).await;
        match (asked, password) {
            (Err(_), Some(_)) => self.ask_sentinels(sentinels, name, None).await,
            (asked, _) => asked,
        }
    }

    async fn ask_sentinels(
        &self,
        sentinels: &[(String, u16)],
        name: &str,
        sentinels_password: Option<&str>,
    ) -> RedisResult<Link> {
        let addresses = sentinels
            .iter()
            .map(|(host, port)| self.address(host, *port));
        let kind = SentinelServerType::Master;
        let mut builder = SentinelClientBuilder::new(addresses, name, kind)?
            .set_client_to_redis_db(self.url.database)
            .set_client_to_redis_tcp_settings(tcp())
            .set_client_to_sentinel_tcp_settings(tcp());
        if let Some(username) = &self.url.username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = self.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(password) = sentinels_password {
            builder = builder.set_client_to_sentinel_password(password);
        }
        if self.url.is_tls {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
        if let Some(certificates) = self.certificates() {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates);
        }
        let mut client = builder.build()?;
        let settings = self.settings();
        let connecting = client.get_async_connection_with_config(&settings);
        connecting.await.map(Link::Server)
    }

    async fn cluster(&self, nodes: &[(String, u16)]) -> RedisResult<Link> {
        let nodes = nodes
            .iter()
            .map(|(host, port)| self.info(self.address(host, *port)));
        let nodes = nodes.collect::<RedisResult<Vec<_>>>()?;
        let mut builder: ClusterClientBuilder = ClusterClient::builder(nodes)
            .connection_timeout(CONNECT)
            .response_timeout(self.patience)
            // Requests do not wait for a second try, and the next one finds the new nodes.
            .retries(1)
            .tcp_settings(tcp());
        if let Some(certificates) = self.certificates() {
            builder = builder.certs(certificates);
        }
        let connecting = builder.build()?;
        connecting.get_async_connection().await.map(Link::Cluster)
    }

    fn address(&self, host: &str, port: u16) -> ConnectionAddr {
        let host = host.to_owned();
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

    fn info(&self, address: ConnectionAddr) -> RedisResult<ConnectionInfo> {
        let mut settings = RedisConnectionInfo::default().set_db(self.url.database);
        if let Some(username) = &self.url.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = self.password() {
            settings = settings.set_password(password);
        }
        let info = address.into_connection_info()?;
        Ok(info.set_redis_settings(settings).set_tcp_settings(tcp()))
    }

    fn settings(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(self.patience))
            .set_pipeline_buffer_size(WAITING)
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

fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Link::Server(link) => link.req_packed_command(command),
            Link::Cluster(link) => link.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Link::Server(link) => link.req_packed_commands(pipeline, offset, count),
            Link::Cluster(link) => link.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Link::Server(link) => link.get_db(),
            Link::Cluster(link) => link.get_db(),
        }
    }
}
