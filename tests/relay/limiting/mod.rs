//! Limits on callers: requests, new sockets, and what runs at the same time.

mod accounts;
mod addresses;
mod concurrent;
mod defaults;
mod layouts;
mod outage;
mod refusals;
mod shared;
mod slow;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use crate::offer::SDP;
use crate::support::relay::SOON;
use crate::support::{Answer, Connection, Relay, authorization, eventually, get, post, stream};

/// What a relay says when it has found its Redis, and when it has lost it.
const SHARED: &str = "limits are shared in Redis";
const ALONE: &str = "Redis does not answer";
/// So that a busy machine decides nothing: no answer of a Redis that lives takes this long.
const PATIENT: (&str, &str) = ("REDIS_TIMEOUT", "20s");

/// One request of a holder of the token, from this address, as a proxy tells of it.
async fn from(relay: &Relay, address: &str, path: &str) -> Answer {
    let forwarded = format!("X-Forwarded-For: {address}");
    get(relay.address(), path, &[&authorization(), &forwarded]).await
}

/// One request of a holder of the token.
async fn models(relay: &Relay) -> Answer {
    get(relay.address(), "/v1/models", &[&authorization()]).await
}

/// One offer.
async fn offer(relay: &Relay, lines: &[&str]) -> Answer {
    let body = json!({ "sdp": SDP }).to_string();
    post(relay.address(), "/offer", lines, &body).await
}

/// How many answers had which status.
fn statuses(answers: &[Answer]) -> BTreeMap<u16, usize> {
    let mut found = BTreeMap::new();
    for answer in answers {
        *found.entry(answer.status).or_default() += 1;
    }
    found
}

/// The wait that an answer asks for, in seconds.
fn retry_after(answer: &Answer) -> u64 {
    let wait = answer.header("retry-after").expect("a wait");
    wait.parse().expect("seconds")
}

/// Waits until the log has said something so many times.
async fn told(relay: &Relay, what: &str, times: usize) {
    eventually(what, || relay.log_text().matches(what).count() == times).await;
}

/// Asks for a stream until there is a place for it again.
async fn free_again(relay: &Relay) -> Connection {
    let asking = async {
        loop {
            if let Ok(connection) = stream(relay, &[]).await {
                return connection;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, asking).await.expect("a place")
}
