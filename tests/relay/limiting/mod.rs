//! Limits on callers: requests, new sockets, and what runs at the same time.

mod addresses;
mod concurrent;
mod defaults;
mod layouts;
mod outage;
mod refusals;
mod shared;

use std::collections::BTreeMap;

use serde_json::json;

use crate::offer::SDP;
use crate::support::{Answer, Relay, authorization, get, post};

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
