//! Who is compared, and how each is set up: as its own documents advise for long-lived streams.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::process::{Process, free_port};

/// What clients send as their credential.
pub const TOKEN: &str = "bench-0123456789abcdef0123456789abcdef";
const KEY: &str = "sk-bench0123456789abcdef0123456789abcdef";
/// Connections that each may have.
const CONNECTIONS: usize = 8_000;

/// Something between the load and the upstream, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Nothing.
    Direct,
    /// Bytes, copied.
    Copy,
    Nginx,
    Haproxy,
    /// openai-relay: credential, sanitising, counters, limits, log in JSON.
    Relay,
    /// Another build of it, to compare with.
    Beside,
    /// Node's `http` and `ws`.
    Node,
    /// FastAPI and httpx.
    FastApi,
    /// LiteLLM's proxy.
    Litellm,
}

impl Peer {
    /// All of them, in the order of the tables.
    pub const ALL: [Peer; 9] = [
        Peer::Direct,
        Peer::Copy,
        Peer::Nginx,
        Peer::Haproxy,
        Peer::Relay,
        Peer::Beside,
        Peer::Node,
        Peer::FastApi,
        Peer::Litellm,
    ];

    /// As the tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Direct => "direct (no relay)",
            Peer::Copy => "L4 byte copy (floor)",
            Peer::Nginx => "nginx",
            Peer::Haproxy => "haproxy",
            Peer::Relay => "openai-relay",
            Peer::Beside => "the build beside it",
            Peer::Node => "Node, http and ws",
            Peer::FastApi => "FastAPI, httpx, uvicorn",
            Peer::Litellm => "LiteLLM's proxy",
        }
    }
}

/// Where the project's own lie.
pub struct Programs {
    pub relay: PathBuf,
    /// Another build of it.
    pub beside: Option<PathBuf>,
    /// Relays in other languages, with their packages.
    pub gateways: PathBuf,
}

/// What all of them share.
pub struct Site {
    folder: PathBuf,
    programs: Programs,
    /// Who is compared, where it is not whom a scenario names.
    only: Option<Vec<Peer>>,
    core: usize,
    upstreams: [SocketAddr; 2],
    client: Arc<ClientConfig>,
}

/// Certificates of a run.
pub struct Certificates {
    authority: String,
    /// What the upstream speaks TLS with.
    pub server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Certificates {
    /// An authority, and a certificate for this machine.
    pub fn new() -> Result<Certificates> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A leaf of the same name would count as signed by itself.
        params
            .distinguished_name
            .push(DnType::CommonName, "bench authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let leaf = CertificateParams::new(names)?.signed_by(&key, &authority)?;
        let secret = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes())?;
        let server = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], secret)?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes())?)?;
        let client = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Certificates {
            authority: authority.pem(),
            server: Arc::new(server),
            client: Arc::new(client),
        })
    }
}

impl Site {
    /// `upstreams`: plain, and with TLS. `core`: where relays run. `only`: who is compared, where it
    /// is not whom a scenario names.
    pub fn new(
        folder: &Path,
        programs: Programs,
        only: Option<Vec<Peer>>,
        core: usize,
        upstreams: [SocketAddr; 2],
        certificates: &Certificates,
    ) -> Result<Site> {
        fs::write(folder.join("authority.pem"), &certificates.authority)
            .context("a certificate")?;
        Ok(Site {
            folder: folder.to_owned(),
            programs,
            only,
            core,
            upstreams,
            client: Arc::clone(&certificates.client),
        })
    }

    /// Who is compared in a scenario that names these.
    pub fn peers<'a>(&'a self, named: &'a [Peer]) -> &'a [Peer] {
        self.only.as_deref().unwrap_or(named)
    }

    /// The core that relays run on.
    pub fn core(&self) -> usize {
        self.core
    }

    /// The upstream's address.
    pub fn upstream(&self, tls: bool) -> SocketAddr {
        self.upstreams[usize::from(tls)]
    }

    /// What a client without a relay speaks TLS with.
    pub fn client_tls(&self) -> &Arc<ClientConfig> {
        &self.client
    }

    /// Starts one, in front of the plain upstream or the one with TLS. `None`: there is nothing to
    /// start.
    pub fn start(&self, peer: Peer, tls: bool) -> Result<Option<Process>> {
        let port = free_port()?;
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        let (command, probe) = match peer {
            Peer::Direct => return Ok(None),
            Peer::Copy => (self.copy(at, tls)?, String::new()),
            Peer::Nginx => (self.nginx(port, tls)?, own("/up")),
            Peer::Haproxy => (self.haproxy(port, tls)?, own("/up")),
            Peer::Relay => (self.relay(&self.programs.relay, port, tls), own("/health")),
            Peer::Beside => {
                let Some(beside) = &self.programs.beside else {
                    return Ok(None);
                };
                (self.relay(beside, port, tls), own("/health"))
            }
            Peer::Node => (self.node(port, tls), own("/health")),
            Peer::FastApi => (self.fastapi(port, tls), own("/health")),
            Peer::Litellm => (self.litellm(port, tls), own("/health/liveliness")),
        };
        let started = Process::start(&command, self.core, at, &probe);
        started.context(peer.name()).map(Some)
    }

    fn copy(&self, at: SocketAddr, tls: bool) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe().context("this program")?);
        command.args(["copy", &at.to_string(), &self.upstream(tls).to_string()]);
        if tls {
            command.arg(self.folder.join("authority.pem"));
        }
        Ok(command)
    }

    fn nginx(&self, port: u16, tls: bool) -> Result<Command> {
        let upstream = self.upstream(tls);
        let scheme = if tls { "https" } else { "http" };
        let folder = self.folder.display();
        let config = format!(
            "daemon off;\nworker_processes 1;\npid {folder}/nginx-{port}.pid;\nerror_log {folder}/nginx.log crit;\n\
             events {{ worker_connections {CONNECTIONS}; }}\n\
             http {{\n  access_log off;\n  tcp_nodelay on;\n  keepalive_requests 1000000000;\n\
             \x20 client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n\
             \x20 fastcgi_temp_path {folder}/f;\n  uwsgi_temp_path {folder}/u;\n  scgi_temp_path {folder}/s;\n\
             \x20 map $http_upgrade $wanted {{ default upgrade; '' ''; }}\n\
             \x20 upstream openai {{ server {upstream}; keepalive 512; keepalive_requests 1000000000; }}\n\
             \x20 server {{\n    listen 127.0.0.1:{port} backlog=4096;\n\
             \x20   location = /up {{ return 200; }}\n\
             \x20   location / {{\n      proxy_pass {scheme}://openai;\n      proxy_http_version 1.1;\n      proxy_buffering off;\n\
             \x20     proxy_read_timeout 3600s;\n      proxy_set_header Host $host;\n      proxy_set_header Upgrade $http_upgrade;\n\
             \x20     proxy_set_header Connection $wanted;\n      proxy_set_header Authorization 'Bearer {KEY}';\n    }}\n  }}\n}}\n",
        );
        let path = self.folder.join(format!("nginx-{port}.conf"));
        fs::write(&path, config).context("nginx's configuration")?;
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(&self.folder).arg("-c").arg(path);
        Ok(command)
    }

    fn haproxy(&self, port: u16, tls: bool) -> Result<Command> {
        let upstream = self.upstream(tls);
        let ca = self.folder.join("authority.pem");
        let tls = if tls {
            format!(" ssl verify required ca-file {}", ca.display())
        } else {
            String::new()
        };
        let config = format!(
            "global\n  nbthread 1\n  maxconn {CONNECTIONS}\n\
             defaults\n  mode http\n  option http-no-delay\n  http-reuse always\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n  timeout tunnel 1h\n\
             frontend in\n  bind 127.0.0.1:{port} backlog 4096\n  http-request return status 200 if {{ path /up }}\n\
             \x20 http-request set-header Authorization 'Bearer {KEY}'\n  default_backend openai\n\
             backend openai\n  server one {upstream}{tls}\n",
        );
        let path = self.folder.join(format!("haproxy-{port}.cfg"));
        fs::write(&path, config).context("haproxy's configuration")?;
        let mut command = Command::new("/usr/sbin/haproxy");
        command.arg("-f").arg(path);
        Ok(command)
    }

    fn relay(&self, program: &Path, port: u16, tls: bool) -> Command {
        let mut command = self.keeper_of_the_key(program, port, tls);
        command
            .env("HOST", "127.0.0.1")
            .env("OPENAI_CA_FILE", self.folder.join("authority.pem"))
            .env("MAX_CONNECTIONS", CONNECTIONS.to_string())
            .env("MAX_CLIENT_CONNECTIONS", CONNECTIONS.to_string())
            .env("LOG_FORMAT", "json")
            .env("LOG_FILE", self.folder.join("relay.log"));
        command
    }

    fn node(&self, port: u16, tls: bool) -> Command {
        let mut command = self.keeper_of_the_key(Path::new("node"), port, tls);
        command.arg(self.programs.gateways.join("node/relay.mjs"));
        command
    }

    fn fastapi(&self, port: u16, tls: bool) -> Command {
        let mut command =
            self.keeper_of_the_key(&self.programs.gateways.join("venv/bin/uvicorn"), port, tls);
        command
            .arg("--app-dir")
            .arg(self.programs.gateways.join("fastapi"))
            .args(["relay:app", "--no-access-log", "--port", &port.to_string()]);
        command
    }

    fn litellm(&self, port: u16, tls: bool) -> Command {
        let mut command =
            self.keeper_of_the_key(&self.programs.gateways.join("venv/bin/litellm"), port, tls);
        command
            // Else it asks for prices on the network first.
            .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
            .arg("--config")
            .arg(self.programs.gateways.join("litellm/config.yaml"))
            .args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command
    }

    /// A program that is told the upstream, the key and the token as the origins are.
    fn keeper_of_the_key(&self, program: &Path, port: u16, tls: bool) -> Command {
        let scheme = if tls { "https" } else { "http" };
        let base = format!("{scheme}://{}/v1", self.upstream(tls));
        let mut command = Command::new(program);
        command
            .current_dir(&self.folder)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.folder)
            .env("PORT", port.to_string())
            .env("OPENAI_BASE_URL", base)
            .env("OPENAI_API_KEY", KEY)
            .env("RELAY_TOKEN", TOKEN);
        command
    }
}

/// A request that a peer answers by itself.
fn own(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

/// What a byte copy trusts.
pub fn client_config(authority: &Path) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).context("the authority")?)?;
    Ok(Arc::new(
        ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth(),
    ))
}
