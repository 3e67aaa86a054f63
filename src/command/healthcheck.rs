//! `healthcheck`: one request to a running relay on this machine; the exit code is the answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::small_runtime;
use crate::config::Config;

const TIMEOUT: Duration = Duration::from_secs(3);

pub(super) fn run(config: &Config) -> Result<ExitCode> {
    let address = SocketAddr::new(reachable(config.server.host), config.server.port);
    let runtime = small_runtime()?;
    runtime.block_on(async {
        match tokio::time::timeout(TIMEOUT, ask(address)).await {
            Ok(Ok(StatusCode::OK)) => Ok(ExitCode::SUCCESS),
            Ok(Ok(status)) => bail!("http://{address}/health answered {status}"),
            Ok(Err(error)) => Err(error.context(format!("http://{address}/health"))),
            Err(_) => bail!("http://{address}/health did not answer within 3 s"),
        }
    })
}

/// Where a relay that listens on this address is reached from its own machine.
fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

async fn ask(address: SocketAddr) -> Result<StatusCode> {
    let stream = TcpStream::connect(address)
        .await
        .context("cannot connect")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/health")
        .header(header::HOST, address.to_string())
        .body(Empty::<bytes::Bytes>::new())?;
    tokio::select! {
        answer = sender.send_request(request) => Ok(answer?.status()),
        ended = connection => {
            ended?;
            bail!("the connection closed without an answer")
        }
    }
}
