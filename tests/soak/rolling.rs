//! P37: three relays behind haproxy, one Postgres, restarted one after the other under load.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fake_openai::FakeOpenAi;
use serde_json::json;
use tokio::task::JoinSet;

use crate::Row;
use crate::support::ws::Socket;
use crate::support::{
    Connection, PASSWORD, Postgres, Relay, SERVER_KEY, get, post, request, upstream,
};

const RELAYS: usize = 3;
const EACH: usize = 20;
/// Between two requests: a hundred a second.
const PACE: Duration = Duration::from_millis(10);
/// How long a stream or a socket lasts: it fits the drain.
const LASTS: Duration = Duration::from_secs(3);
/// haproxy asks every second, and believes the second answer.
const NOTICED: Duration = Duration::from_secs(3);

/// What became of exchanges of one kind.
#[derive(Default)]
struct Tally {
    whole: AtomicUsize,
    lost: AtomicUsize,
}

impl Tally {
    fn count(&self, is_whole: bool) {
        let counter = if is_whole { &self.whole } else { &self.lost };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn lost(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }

    fn whole(&self) -> usize {
        self.whole.load(Ordering::Relaxed)
    }
}

/// What the load knows.
struct Load {
    front: SocketAddr,
    /// An account's access token, as a header.
    authorization: String,
    is_over: AtomicBool,
    requests: Tally,
    streams: Tally,
    sockets: Tally,
}

pub async fn restarts() -> Row {
    let (upstream, postgres) = (upstream().await, Postgres::start());
    let database = postgres.database();
    let ports: Vec<u16> = (0..=RELAYS).map(|_| free_port()).collect();
    let mut relays = Vec::new();
    for port in &ports[1..] {
        relays.push(start(&upstream, &database, *port).await);
    }
    let front = SocketAddr::from((Ipv4Addr::LOCALHOST, ports[0]));
    let haproxy = Haproxy::start(ports[0], &ports[1..]);
    tokio::time::sleep(NOTICED).await;
    let load = Arc::new(Load {
        front,
        authorization: log_in(front).await,
        is_over: AtomicBool::new(false),
        requests: Tally::default(),
        streams: Tally::default(),
        sockets: Tally::default(),
    });
    let mut running = JoinSet::new();
    running.spawn(requests(Arc::clone(&load)));
    for _ in 0..EACH {
        running.spawn(streams(Arc::clone(&load)));
        running.spawn(sockets(Arc::clone(&load)));
    }
    tokio::time::sleep(LASTS).await;
    let mut codes = Vec::new();
    for (at, port) in ports[1..].iter().enumerate() {
        relays[at].signal("TERM");
        codes.push(relays[at].exit_code().await);
        relays[at] = start(&upstream, &database, *port).await;
        tokio::time::sleep(NOTICED).await;
    }
    load.is_over.store(true, Ordering::Relaxed);
    running.join_all().await;
    drop(haproxy);
    let lost = load.requests.lost() + load.streams.lost() + load.sockets.lost();
    let enough =
        load.requests.whole() > 1000 && load.streams.whole() > EACH && load.sockets.whole() > EACH;
    let measured = format!(
        "{RELAYS} relays restarted one by one behind haproxy: {} requests, {} streams and {} sockets whole, {} + {} + {} lost, \
         exit codes {codes:?}",
        load.requests.whole(),
        load.streams.whole(),
        load.sockets.whole(),
        load.requests.lost(),
        load.streams.lost(),
        load.sockets.lost(),
    );
    Row::new(lost == 0 && enough && codes == [Some(0); RELAYS], measured)
}

fn free_port() -> u16 {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    free.local_addr().expect("its address").port()
}

async fn start(upstream: &FakeOpenAi, database: &str, port: u16) -> Relay {
    Relay::start(&[
        ("OPENAI_API_KEY", SERVER_KEY),
        ("OPENAI_BASE_URL", upstream.base_url().as_str()),
        ("SECRET_KEY", "0123456789abcdef0123456789abcdef"),
        ("DATABASE_URL", database),
        ("REGISTRATION", "open"),
        ("PORT", port.to_string().as_str()),
        // As deploy/haproxy/haproxy.cfg asks for.
        ("DRAIN_DELAY", "4s"),
        ("DRAIN_TIMEOUT", "18s"),
    ])
    .await
}

async fn log_in(front: SocketAddr) -> String {
    let json = "Content-Type: application/json";
    let new = json!({ "username": "alice", "email": "alice@example.com", "password": PASSWORD });
    let made = post(front, "/api/v1/auth/register", &[json], &new.to_string()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let who = json!({ "username": "alice", "password": PASSWORD });
    let answer = post(front, "/api/v1/auth/login", &[json], &who.to_string()).await;
    let token = answer.json()["access_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    format!("Authorization: Bearer {token}")
}

async fn requests(load: Arc<Load>) {
    let mut running = JoinSet::new();
    while !load.is_over.load(Ordering::Relaxed) {
        let one = Arc::clone(&load);
        running.spawn(async move {
            let answer = get(one.front, "/v1/models", &[&one.authorization]).await;
            one.requests
                .count(answer.status == 200 && answer.is_complete);
        });
        tokio::time::sleep(PACE).await;
    }
    running.join_all().await;
}

/// One stream after the other, each in twelve pieces over `LASTS`.
async fn streams(load: Arc<Load>) {
    let script = format!("X-Fake-Script: chunk-delay={}", LASTS.as_millis() / 12);
    let ask = request(
        "GET",
        "/v1/_fake/bytes?n=1200&chunked=1&chunk=100",
        &[&load.authorization, &script],
        b"",
    );
    while !load.is_over.load(Ordering::Relaxed) {
        let mut connection = Connection::open(load.front).await;
        connection.write(&ask).await;
        let is_good = connection
            .head()
            .await
            .is_some_and(|head| head.status == 200);
        let mut text = Vec::new();
        while !text.ends_with(b"0\r\n\r\n") {
            let Some(bytes) = connection.more().await else {
                break;
            };
            text.extend(bytes);
        }
        load.streams.count(is_good && text.ends_with(b"0\r\n\r\n"));
    }
}

/// One socket after the other, each saying something and hearing it again until `LASTS` is over.
async fn sockets(load: Arc<Load>) {
    let headers = [load.authorization.as_str(), "X-Fake-Script: echo"];
    while !load.is_over.load(Ordering::Relaxed) {
        let Ok(mut socket) = Socket::open(load.front, "/v1/realtime?model=m", &headers).await
        else {
            load.sockets.count(false);
            continue;
        };
        let start = Instant::now();
        let mut is_whole = true;
        while is_whole && start.elapsed() < LASTS {
            socket.say("a message").await;
            is_whole = socket.message().await.text() == "a message";
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        load.sockets.count(is_whole);
    }
}

/// haproxy with the file that users copy, but for addresses.
struct Haproxy {
    child: Child,
    config: PathBuf,
}

impl Haproxy {
    fn start(port: u16, relays: &[u16]) -> Haproxy {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/haproxy/haproxy.cfg");
        let mut text = std::fs::read_to_string(file).expect("the file");
        let mut change = |old: &str, new: String| {
            assert!(text.contains(old), "{old} is not in the file any more");
            text = text.replace(old, &new);
        };
        change("bind :8080", format!("bind 127.0.0.1:{port}"));
        for (number, relay) in relays.iter().enumerate() {
            let place = format!("10.0.0.1{}:8080", number + 1);
            change(&place, format!("127.0.0.1:{relay}"));
        }
        let name = format!("openai-relay-haproxy-{}.cfg", uuid::Uuid::new_v4().simple());
        let config = std::env::temp_dir().join(name);
        std::fs::write(&config, text).expect("a file");
        let path = format!(
            "{}:/usr/sbin:/usr/local/sbin",
            std::env::var("PATH").unwrap_or_default()
        );
        let child = Command::new("haproxy")
            .env("PATH", path)
            .args(["-db", "-f"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("haproxy: scripts/test deploy installs it");
        Haproxy { child, config }
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.config);
    }
}
