//! Ten thousand exchanges with faults on both sides: each has one ending, which is logged and
//! counted once, agrees with what both sides saw, and leaves nothing behind.

use std::collections::HashMap;
use std::net::SocketAddr;

use serde_json::Value;

use crate::support::{Connection, Dice, authorization, eventually, get, pair_with, trust};

const WORKERS: u64 = 40;
const EACH: usize = 250;

/// What a client did and saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// A whole answer of the upstream's.
    Whole,
    /// A head, and less than the body.
    Cut,
    /// An error that the relay made for a fault of the upstream's.
    Faulted,
    /// An error that the relay made for a fault of the client's.
    Refused,
    /// The client left.
    Left,
}

impl Seen {
    fn outcome(self) -> &'static str {
        match self {
            Seen::Whole => "completed",
            Seen::Cut | Seen::Faulted => "upstream_failed",
            Seen::Refused => "refused",
            Seen::Left => "client_gone",
        }
    }
}

/// Script, and what a client that stays sees of it.
const SCRIPTS: [(&str, Seen); 14] = [
    ("times=1", Seen::Whole),
    ("times=1", Seen::Whole),
    ("times=1", Seen::Whole),
    ("close", Seen::Whole),
    ("status=500", Seen::Whole),
    ("status=429 retry-after=1", Seen::Whole),
    ("chunk-delay=1", Seen::Whole),
    ("delay=5", Seen::Whole),
    ("cut-at=100", Seen::Cut),
    ("reset-at=40000", Seen::Cut),
    ("reset-head=0", Seen::Faulted),
    ("cut-head=30", Seen::Faulted),
    ("garbage", Seen::Faulted),
    ("half-close", Seen::Faulted),
];

struct Client {
    address: SocketAddr,
    dice: Dice,
    connection: Option<Connection>,
}

impl Client {
    /// One exchange under this tag.
    async fn exchange(&mut self, tag: &str) -> Seen {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.address).await,
        };
        let key = authorization();
        let target = format!("/v1/_fake/bytes?n=50000&chunked=1&tag={tag}");
        let path = format!("/v1/_fake/echo/{tag}");
        match self.dice.roll(10) {
            0 => self.leaves(connection, &key, &path).await,
            1 => self.breaks_its_upload(connection, &key, &path).await,
            2 => {
                let text = format!(
                    "POST {path} HTTP/1.1\r\nHost: a\r\n{key}\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"
                );
                connection.write(text.as_bytes()).await;
                let answer = connection.answer(false).await.expect("an answer");
                assert_eq!(answer.status, 400, "{tag}");
                Seen::Refused
            }
            _ => {
                let (script, seen) = SCRIPTS[self.dice.roll(SCRIPTS.len())];
                // Half of them with bodies in both directions.
                let (method, target, body) = match seen {
                    Seen::Cut => (
                        "GET",
                        target.replace("/bytes?", &format!("/bytes/{tag}?")),
                        "",
                    ),
                    _ if self.dice.is_one_in(2) => ("POST", path, "5\r\nhello\r\n0\r\n\r\n"),
                    _ => ("GET", path, ""),
                };
                let framing = if body.is_empty() {
                    ""
                } else {
                    "Transfer-Encoding: chunked\r\n"
                };
                let text = format!(
                    "{method} {target} HTTP/1.1\r\nHost: a\r\n{key}\r\nX-Fake-Script: {script}\r\n{framing}\r\n{body}"
                );
                connection.write(text.as_bytes()).await;
                let answer = connection.answer(false).await.expect("an answer");
                let is_relays = answer.status >= 502 && answer.text().contains("relay_error");
                let got = match (answer.is_complete, is_relays) {
                    (true, false) => Seen::Whole,
                    (true, true) => Seen::Faulted,
                    (false, _) => Seen::Cut,
                };
                assert_eq!(
                    got,
                    seen,
                    "{tag}: {script}: {} {}",
                    answer.status,
                    answer.text().len()
                );
                let is_kept = answer.is_complete && answer.header("connection") != Some("close");
                self.connection = is_kept.then_some(connection);
                got
            }
        }
    }

    /// Goes while the upstream is silent, before the head or within the body.
    async fn leaves(&mut self, mut connection: Connection, key: &str, path: &str) -> Seen {
        let is_early = self.dice.is_one_in(2);
        let script = if is_early { "hang=head" } else { "hang=body" };
        let text =
            format!("GET {path} HTTP/1.1\r\nHost: a\r\n{key}\r\nX-Fake-Script: {script}\r\n\r\n");
        connection.write(text.as_bytes()).await;
        if is_early {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        } else {
            connection.head().await.expect("a head");
        }
        Seen::Left
    }

    async fn breaks_its_upload(
        &mut self,
        mut connection: Connection,
        key: &str,
        path: &str,
    ) -> Seen {
        let framing = if self.dice.is_one_in(2) {
            "Content-Length: 100000\r\n\r\nhello"
        } else {
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        };
        let text = format!("POST {path} HTTP/1.1\r\nHost: a\r\n{key}\r\n{framing}");
        connection.write(text.as_bytes()).await;
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        Seen::Left
    }
}

/// The outcome in the log for each tag, and how many lines each has.
fn logged(lines: &[Value]) -> HashMap<String, Vec<String>> {
    let mut found: HashMap<String, Vec<String>> = HashMap::new();
    for line in lines {
        let path = line["path"].as_str().unwrap_or_default();
        let tag = path.rsplit('/').next().unwrap_or_default().to_owned();
        let outcome = line["outcome"].as_str().unwrap_or_default().to_owned();
        found.entry(tag).or_default().push(outcome);
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_exchanges_end_once_each_as_both_sides_saw() {
    let (upstream, relay) = pair_with(&[]).await;
    assert_eq!(
        get(relay.address(), "/v1/models", &[&authorization()])
            .await
            .status,
        200
    );
    let descriptors = relay.descriptors();
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..WORKERS {
        let address = relay.address();
        workers.spawn(async move {
            let mut client = Client {
                address,
                dice: Dice::new(worker),
                connection: None,
            };
            let mut seen = Vec::new();
            for number in 0..EACH {
                let tag = format!("t{worker}-{number}");
                let what = client.exchange(&tag).await;
                seen.push((tag, what));
            }
            seen
        });
    }
    let seen: Vec<(String, Seen)> = workers.join_all().await.into_iter().flatten().collect();
    assert_eq!(seen.len(), 10_000);
    eventually("every exchange is logged", || {
        relay.exchanges().len() > 10_000
    })
    .await;
    let logged = logged(&relay.exchanges());
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for (tag, what) in &seen {
        let outcomes = logged.get(tag).cloned().unwrap_or_default();
        assert_eq!(outcomes, [what.outcome()], "{tag}: {what:?}");
        *counts.entry(what.outcome()).or_default() += 1;
    }
    let stats = get(relay.address(), "/stats", &[]).await.json();
    let counted = &stats["exchanges"];
    // One more for the request before.
    assert_eq!(counted["completed"], counts["completed"] + 1, "{counted}");
    assert_eq!(counted["clientGone"], counts["client_gone"], "{counted}");
    assert_eq!(counted["failed"], counts["upstream_failed"], "{counted}");
    assert_eq!(counted["refused"], counts["refused"], "{counted}");
    assert_eq!(
        (&counted["active"], &counted["total"]),
        (&0.into(), &10_001.into())
    );
    let idle = upstream.open_connections();
    eventually("descriptors are back", || {
        relay.descriptors() <= descriptors + idle + 8
    })
    .await;
    trust::record(
        "P32",
        &format!(
            "51 rows of faults as listed; 10,000 POSTs over dying connections, each once; 10,000 mixed exchanges: {} \
             completed, {} left by the client, {} failed upstream, {} refused, one log line each",
            counts["completed"],
            counts["client_gone"],
            counts["upstream_failed"],
            counts["refused"]
        ),
    );
}
