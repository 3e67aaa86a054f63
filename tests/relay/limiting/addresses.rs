//! P10: whose bucket it is, for clients that come directly and for those behind a proxy.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use tokio::net::TcpSocket;

use super::statuses;
use crate::support::{Answer, Connection, authorization, pair_with, request, trust};

/// One request from this address of the machine.
async fn direct(relay: SocketAddr, source: IpAddr, lines: &[&str]) -> Answer {
    let socket = match source {
        IpAddr::V4(_) => TcpSocket::new_v4(),
        IpAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.expect("a socket");
    socket.bind(SocketAddr::new(source, 0)).expect("an address");
    let stream = socket.connect(relay).await.expect("a connection");
    let key = authorization();
    let lines: Vec<&str> = std::iter::once(key.as_str())
        .chain(lines.iter().copied())
        .collect();
    let mut connection = Connection::over(stream);
    connection
        .write(&request("GET", "/v1/models", &lines, b""))
        .await;
    connection.answer(false).await.expect("an answer")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Forgeries, a proxy and direct clients, at addresses of which `proxy` alone is trusted.
async fn told_apart(relay: SocketAddr, proxy: IpAddr, clients: [IpAddr; 2]) {
    let [liar, honest] = clients;
    let mut answers = Vec::new();
    for forged in 0..1000_u32 {
        let claimed = std::net::Ipv4Addr::from(0xcb00_7100 + forged);
        let lines = [
            format!("X-Forwarded-For: {claimed}"),
            format!("Forwarded: for={claimed}"),
            format!("X-Real-IP: {claimed}"),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        answers.push(direct(relay, liar, &lines).await);
    }
    assert_eq!(
        statuses(&answers),
        [(200, 5), (429, 995)].into(),
        "one bucket"
    );
    // Somebody else, and somebody else behind the proxy, who also claims to be others.
    assert_eq!(direct(relay, honest, &[]).await.status, 200);
    let liars = format!("X-Forwarded-For: {liar}");
    assert_eq!(
        direct(relay, proxy, &[&liars]).await.status,
        429,
        "the same client by another way"
    );
    let mut answers = Vec::new();
    for forged in 0..20 {
        let chain = format!("X-Forwarded-For: 198.51.100.{forged}, 192.0.2.7");
        answers.push(direct(relay, proxy, &[&chain]).await);
    }
    assert_eq!(
        statuses(&answers),
        [(200, 5), (429, 15)].into(),
        "the client that the proxy saw"
    );
    assert_eq!(
        direct(relay, proxy, &["X-Forwarded-For: 192.0.2.8"])
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn forgeries_share_a_bucket_and_proxied_clients_have_their_own() {
    let variables = [
        ("RATE_LIMITS", "all=5/1h per ip"),
        ("TRUSTED_PROXIES", "127.0.0.9"),
    ];
    let (_upstream, relay) = pair_with(&variables).await;
    let clients = [ip("127.0.0.2"), ip("127.0.0.3")];
    told_apart(relay.address(), ip("127.0.0.9"), clients).await;
    trust::record_part(
        "P10",
        "forgeries",
        "1,000 forgeries of a direct client share one bucket; clients behind a trusted proxy have one each",
    );
}

/// The name under which this test runs itself within a network of its own.
const WITHIN: &str = "OPENAI_RELAY_TEST_WITHIN_NETWORK";

/// With addresses of the internet and the list of proxies as it is by default: only a network
/// namespace has such clients on one machine.
#[tokio::test]
async fn a_network_of_public_clients_and_a_private_proxy_is_told_apart() {
    const NAME: &str =
        "limiting::addresses::a_network_of_public_clients_and_a_private_proxy_is_told_apart";
    if std::env::var_os(WITHIN).is_none() {
        let script = "ip link set lo up && ip addr add 10.0.0.9/32 dev lo && ip addr add 203.0.113.200/32 dev lo && \
                      ip addr add 203.0.113.201/32 dev lo && exec \"$0\" --exact \"$1\" --nocapture";
        let myself = std::env::current_exe().expect("a program");
        let output = Command::new("unshare")
            .args(["--map-root-user", "--net", "sh", "-c", script])
            .arg(myself)
            .arg(NAME)
            .env(WITHIN, "yes")
            .output()
            .expect("unshare");
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}"
        );
        return;
    }
    let (_upstream, relay) =
        pair_with(&[("RATE_LIMITS", "all=5/1h per ip"), ("HOST", "0.0.0.0")]).await;
    let address = SocketAddr::new(ip("10.0.0.9"), relay.address().port());
    let clients = [ip("203.0.113.200"), ip("203.0.113.201")];
    told_apart(address, ip("10.0.0.9"), clients).await;
    // The /64 network of an IPv6 client is one.
    let proxied = |client: &str| format!("X-Forwarded-For: {client}");
    let mut answers = Vec::new();
    for host in 0..8 {
        let line = proxied(&format!("2001:db8:7:7::{host}"));
        answers.push(direct(address, ip("10.0.0.9"), &[&line]).await);
    }
    assert_eq!(statuses(&answers), [(200, 5), (429, 3)].into());
    let line = proxied("2001:db8:7:8::1");
    assert_eq!(direct(address, ip("10.0.0.9"), &[&line]).await.status, 200);
}
