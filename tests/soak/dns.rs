//! P33: names that do not resolve, and addresses that do not answer, in a network of its own.

use std::net::Ipv4Addr;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fake_openai::{FakeOpenAi, Options};
use tokio::net::UdpSocket;

use crate::Row;
use crate::support::{RELAY_TOKEN, Relay, SERVER_KEY, authorization, get};

const NETWORK: &str = "openai-relay-soak";
/// An address behind an interface that swallows everything.
const SILENT: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);

fn sh(script: &str) -> bool {
    Command::new("sh")
        .args(["-c", script])
        .status()
        .is_ok_and(|status| status.success())
}

/// Makes the network, runs the row within it, and takes it away.
pub async fn fails(time: Duration) -> Row {
    let set_up = format!(
        "ip netns del {NETWORK} 2>/dev/null; ip netns add {NETWORK} && mkdir -p /etc/netns/{NETWORK} && \
         echo 'nameserver 127.0.0.53\noptions timeout:1 attempts:1' > /etc/netns/{NETWORK}/resolv.conf && \
         touch /etc/gai.conf && \
         echo 'precedence ::ffff:{SILENT}/128 100\nprecedence ::ffff:0:0/96 10' > /etc/netns/{NETWORK}/gai.conf && \
         ip -n {NETWORK} link set lo up && ip -n {NETWORK} link add silent type veth peer name nobody && \
         ip -n {NETWORK} addr add 10.9.9.1/24 dev silent && ip -n {NETWORK} link set silent up && \
         ip -n {NETWORK} link set nobody up && \
         ip -n {NETWORK} neigh add {SILENT} lladdr 02:00:00:00:00:01 dev silent"
    );
    if !sh(&set_up) {
        return Row::new(
            false,
            "a network namespace could not be made: run it as root".to_owned(),
        );
    }
    let myself = std::env::current_exe().expect("a program");
    let output = Command::new("ip")
        .args(["netns", "exec", NETWORK])
        .arg(myself)
        .args(["dns-within", &time.as_secs().to_string()])
        .output()
        .expect("ip");
    sh(&format!(
        "ip netns del {NETWORK}; rm -rf /etc/netns/{NETWORK}"
    ));
    let measured = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Row::new(output.status.success(), measured)
}

/// The part that runs within the network.
pub fn within() -> ExitCode {
    let seconds: u64 = std::env::args()
        .nth(2)
        .and_then(|text| text.parse().ok())
        .unwrap_or(600);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (passed, measured) = runtime.block_on(measure(Duration::from_secs(seconds)));
    println!("{measured}");
    ExitCode::from(u8::from(!passed))
}

/// A resolver that gives these addresses for every name, until it is told to be silent.
async fn resolver(addresses: &'static [Ipv4Addr], is_dead: Arc<AtomicBool>) {
    let socket = UdpSocket::bind("127.0.0.53:53").await.expect("port 53");
    let mut buffer = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        if !is_dead.load(Ordering::Relaxed) {
            let answer = answer(&buffer[..length], addresses);
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

/// RFC 1035 section 4: the question back, and for type A the addresses.
fn answer(query: &[u8], addresses: &[Ipv4Addr]) -> Vec<u8> {
    let end = 12
        + query[12..]
            .iter()
            .position(|byte| *byte == 0)
            .expect("a name")
        + 5;
    let is_a = query[end - 4..end - 2] == [0, 1];
    let count = if is_a { addresses.len() } else { 0 };
    let mut bytes = query[..2].to_vec();
    bytes.extend([
        0x81,
        0x80,
        0,
        1,
        0,
        u8::try_from(count).expect("few"),
        0,
        0,
        0,
        0,
    ]);
    bytes.extend(&query[12..end]);
    for address in &addresses[..count] {
        bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4]);
        bytes.extend(address.octets());
    }
    bytes
}

async fn measure(time: Duration) -> (bool, String) {
    static ADDRESSES: [Ipv4Addr; 2] = [SILENT, Ipv4Addr::LOCALHOST];
    let is_dead = Arc::new(AtomicBool::new(false));
    tokio::spawn(resolver(&ADDRESSES, Arc::clone(&is_dead)));
    let options = Options {
        server_key: SERVER_KEY.to_owned(),
        ..Options::default()
    };
    let upstream = FakeOpenAi::start(options).await.expect("an upstream");
    let base_url = format!("http://upstream.test:{}", upstream.addr().port());
    let relay = Relay::start(&[
        ("OPENAI_API_KEY", SERVER_KEY),
        ("OPENAI_BASE_URL", &base_url),
        ("RELAY_TOKEN", RELAY_TOKEN),
    ])
    .await;
    let key = authorization();
    // Each closes its connection, so that each dials anew.
    let lines = [key.as_str(), "X-Fake-Script: close"];
    let mut slowest = Duration::ZERO;
    for _ in 0..10 {
        let start = Instant::now();
        assert_eq!(get(relay.address(), "/v1/models", &lines).await.status, 200);
        slowest = slowest.max(start.elapsed());
    }
    is_dead.store(true, Ordering::Relaxed);
    let start = Instant::now();
    let (mut asked, mut failed) = (0, 0);
    while start.elapsed() < time {
        asked += 1;
        failed += u64::from(get(relay.address(), "/v1/models", &lines).await.status != 200);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let measured = format!(
        "first address dead: {} ms at the most; resolver dead for {} s: {failed} of {asked} requests failed, each on a \
         connection of its own",
        slowest.as_millis(),
        time.as_secs()
    );
    (
        slowest <= Duration::from_millis(350) && failed == 0,
        measured,
    )
}
