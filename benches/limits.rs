//! P48: what three limits cost an admitted request in processor time, counted in memory: in the
//! limiter itself, and for a whole relay beside one without limits. Eleven interleaved pairs each.
//!
//! `cargo bench --bench limits`. The verdict is by the limiter's own figure: beside a whole relayed
//! request it is smaller than what two runs of the same relay differ by.

// A run may stop at once, and its tasks end with it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

#[path = "../tests/relay/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::Duration;

use openai_relay::admission::{Asking, Limiter, Right};
use openai_relay::config::{Bound, CallerKind, Callers, Limit, Limiting, Per, What};
use openai_relay::family::Family;
use support::{Connection, Relay, authorization, pair_with, trust};

/// What three limits may cost.
const MOST_US: f64 = 1.0;
const PAIRS: usize = 11;
/// Admissions of one measurement.
const ADMISSIONS: u32 = 1_000_000;
/// Users who take turns, each from an address of its own.
const USERS: u32 = 1000;
/// Requests of one measurement of a relay.
const REQUESTS: u32 = 10_000;
const MANY: u32 = 1_000_000_000;
const LIMITS: &str =
    "all=1000000000/1h per user; models=1000000000/1h per ip; concurrent all=1000000000 per user";

fn limiter(limits: Vec<Limit>) -> Limiter {
    let limiter = Limiter::new(&Limiting {
        limits,
        redis: None,
        redis_ca_file: None,
        redis_timeout: Duration::ZERO,
        replicas: None,
    });
    limiter.expect("no file to read")
}

/// The same as `LIMITS`.
fn three() -> Vec<Limit> {
    let window = Duration::from_secs(3600);
    let rate = Bound::Rate {
        count: MANY,
        window,
    };
    let models = What::Family(Family::Models);
    let rows = [
        (What::All, rate, Per::User),
        (models, rate, Per::Address),
        (What::All, Bound::Concurrent(MANY), Per::User),
    ];
    let limits = rows.map(|(what, bound, per)| Limit {
        what,
        bound,
        per,
        callers: Callers::EVERYONE,
    });
    limits.to_vec()
}

/// This thread's processor time.
fn own_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = text.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanos.expect("nanoseconds"))
}

/// Microseconds for one admission and its end.
async fn admission(limiter: &Limiter, users: &[(String, IpAddr)]) -> f64 {
    let before = own_cpu();
    for number in 0..ADMISSIONS {
        let (name, client) = &users[(number % USERS) as usize];
        let asking = Asking {
            kind: CallerKind::User,
            name: Some(name),
            client: *client,
            right: Right::Api,
            family: Some(Family::Models),
            is_upgrade: false,
            own: [None, None],
        };
        let taken = limiter.take(black_box(&asking)).await;
        drop(black_box(taken.expect("within the limits")));
    }
    (own_cpu() - before).as_secs_f64() * 1e6 / f64::from(ADMISSIONS)
}

/// The relay's processor time for one request, in microseconds.
async fn relayed(relay: &Relay) -> f64 {
    let text = format!(
        "GET /v1/models HTTP/1.1\r\nHost: a\r\n{}\r\nX-Fake-Script: no-rate-limits\r\n\r\n",
        authorization()
    );
    let mut connection = Connection::open(relay.address()).await;
    let before = relay.cpu();
    for _ in 0..REQUESTS {
        connection.write(text.as_bytes()).await;
        let answer = connection.answer(false).await.expect("an answer");
        assert_eq!(answer.status, 200);
    }
    (relay.cpu() - before).as_secs_f64() * 1e6 / f64::from(REQUESTS)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn run() -> bool {
    let users = (0..USERS).map(|number| {
        let client = IpAddr::V4(Ipv4Addr::from(0xcb00_7100 + number));
        (format!("user:{number:032x}"), client)
    });
    let users: Vec<_> = users.collect();
    let (limited, free) = (limiter(three()), limiter(Vec::new()));
    let (_one, limited_relay) = pair_with(&[("RATE_LIMITS", LIMITS)]).await;
    let (_other, free_relay) = pair_with(&[]).await;
    let (mut inside, mut with, mut without) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..=PAIRS {
        let more = admission(&limited, &users).await - admission(&free, &users).await;
        let (some, none) = (relayed(&limited_relay).await, relayed(&free_relay).await);
        // The first pair warms up.
        if pair > 0 {
            inside.push(more);
            with.push(some);
            without.push(none);
        }
    }
    let more = median(inside);
    let differences = with.iter().zip(&without).map(|(some, none)| some - none);
    let measured = format!(
        "three limits in memory cost an admitted request {more:.2} µs of processor (medians of {PAIRS} interleaved pairs of \
         {ADMISSIONS} admissions); a relayed request takes {:.1} µs with them, {:.1} µs without, {:.1} µs apart ({PAIRS} pairs of \
         {REQUESTS})",
        median(with.clone()),
        median(without.clone()),
        median(differences.collect()),
    );
    let passed = more <= MOST_US;
    let verdict = if passed { "pass" } else { "FAIL" };
    println!("P48  {verdict}  {measured}");
    let command = "cargo bench --bench limits";
    trust::record_by("P48", &format!("{measured}: {verdict}"), command);
    passed
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    ExitCode::from(u8::from(!runtime.block_on(run())))
}
