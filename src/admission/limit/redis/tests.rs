//! Redis decides as memory does: generated schedules, the same clock, a real server.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, RedisError};
use uuid::Uuid;

use super::script::Scripts;
use super::{Reach, Shared};
use crate::admission::limit::bucket::{Quota, Wait};
use crate::admission::limit::key::{Keys, Subject};
use crate::admission::limit::memory::Buckets;
use crate::config::{Sources, load};

// The support file serves other tests too.
#[allow(dead_code, clippy::disallowed_methods)]
#[path = "../../../../tests/relay/support/redis.rs"]
mod server;

use server::RedisServer;

/// The time is the last argument.
const GIVEN_CLOCK: &str = "local now = tonumber(ARGV[4])\n";
/// Times are multiples of this many microseconds: more than a minute, so that no key runs out by
/// Redis' own clock while a batch runs, and odd, so that no digit is lost unseen.
const UNIT: u64 = 100_000_007;
/// So that a busy machine decides nothing.
const PATIENCE: Duration = Duration::from_secs(60);
/// A moment in 2026, in microseconds since the epoch.
const START: u64 = 1_790_000_000_000_000;
/// Schedules that go to Redis at once.
const BATCH: usize = 100;

#[derive(Clone, Copy, Debug)]
enum Act {
    Charge,
    GiveBack,
    /// After a connection was lost: the relay remembers so much of what is owed.
    ChargeKnowing(u64),
}

/// A bucket, and what is done to it after so many units each.
#[derive(Clone, Debug)]
struct Schedule {
    limit: u32,
    interval: u64,
    steps: Vec<(u64, Act)>,
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let act = prop_oneof![
        8 => Just(Act::Charge),
        2 => Just(Act::GiveBack),
        1 => (0_u64..400).prop_map(Act::ChargeKnowing),
    ];
    // Often at once, often on the edge of an interval, sometimes long after.
    let step = prop_oneof![3 => Just(0_u64), 4 => 0_u64..30, 1 => 0_u64..5000];
    let steps = prop::collection::vec((step, act), 1..14);
    (1_u32..7, 1_u64..40, steps).prop_map(|(limit, interval, steps)| Schedule {
        limit,
        interval,
        steps,
    })
}

impl Schedule {
    fn quota(&self) -> Quota {
        let window = Duration::from_micros(self.interval * UNIT * u64::from(self.limit));
        Quota::new(self.limit, window)
    }

    /// What memory says: whether the change was made, and the debt.
    fn in_memory(&self) -> Vec<(bool, u64)> {
        let (quota, buckets) = (self.quota(), Buckets::new());
        let key = Keys::new().of(0, Subject::Name("somebody"));
        let debt = |now| buckets.unknown_debt(key, u32::MAX, now);
        let mut now = START;
        let steps = self.steps.iter().map(|(step, act)| {
            now += step * UNIT;
            match act {
                Act::Charge => {}
                Act::GiveBack => {
                    buckets.give_back(key, quota, now);
                    return (true, debt(now));
                }
                Act::ChargeKnowing(known) => {
                    let owed = debt(now).max(known * UNIT).min(quota.burst());
                    buckets.note(key, owed, 1, now);
                }
            }
            let charged = buckets.charge(key, quota, now);
            if let Err(Wait(wait)) = charged {
                assert_eq!(wait, debt(now) + quota.interval() - quota.burst());
            }
            (charged.is_ok(), debt(now))
        });
        steps.collect()
    }

    /// The same as commands for Redis.
    fn commands(&self, script: &redis::Script, key: &str) -> Vec<Cmd> {
        let quota = self.quota();
        let mut now = START;
        let commands = self.steps.iter().map(|(step, act)| {
            now += step * UNIT;
            let (sign, known) = match act {
                Act::Charge => ("", 0),
                Act::GiveBack => ("-", 0),
                Act::ChargeKnowing(known) => ("", known * UNIT),
            };
            let change = format!("{sign}{}", quota.interval());
            let mut call = redis::cmd("EVALSHA");
            call.arg(script.get_hash()).arg(1).arg(key);
            call.arg(change).arg(quota.burst()).arg(known).arg(now);
            call
        });
        commands.collect()
    }
}

async fn link(server: &RedisServer) -> MultiplexedConnection {
    let client = redis::Client::open(server.url()).expect("a URL");
    let settings = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let linking = client.get_multiplexed_async_connection_with_config(&settings);
    linking.await.expect("a link")
}

#[test]
fn a_hundred_thousand_schedules_are_decided_alike_in_memory_and_in_redis() {
    let server = RedisServer::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let scripts = Scripts::with(GIVEN_CLOCK);
    let link = runtime.block_on(async {
        let mut link = link(&server).await;
        let loaded = scripts.bucket.prepare_invoke().load_async(&mut link).await;
        loaded.expect("a script");
        link
    });
    let config = Config {
        cases: 1000,
        max_shrink_iters: 2000,
        failure_persistence: None,
        ..Config::default()
    };
    let many = prop::collection::vec(schedule(), BATCH);
    let decided = TestRunner::new(config).run(&many, |schedules| {
        let run = Uuid::new_v4().simple().to_string();
        let mut pipeline = Pipeline::new();
        for (number, schedule) in schedules.iter().enumerate() {
            for command in schedule.commands(&scripts.bucket, &format!("{run}:{number}")) {
                pipeline.add_command(command);
            }
        }
        let said: Vec<(bool, u64)> = runtime
            .block_on(pipeline.query_async(&mut link.clone()))
            .expect("answers");
        let mut said = said.into_iter();
        for schedule in &schedules {
            let by_redis: Vec<_> = said.by_ref().take(schedule.steps.len()).collect();
            prop_assert_eq!(by_redis, schedule.in_memory(), "{:?}", schedule);
        }
        Ok(())
    });
    decided.expect("the same decisions");
}

#[test]
fn places_in_redis_run_out_by_its_clock_and_are_never_more_than_there_are() {
    let server = RedisServer::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let scripts = Scripts::with(GIVEN_CLOCK);
    let link = runtime.block_on(link(&server));
    let config = Config {
        cases: 500,
        failure_persistence: None,
        ..Config::default()
    };
    // Who asks, how long after the one before, and whether it leaves instead.
    let steps = prop::collection::vec((0_u8..8, 0_u64..20, prop::bool::weighted(0.3)), 1..40);
    let decided = TestRunner::new(config).run(&(1_u64..5, steps), |(most, steps)| {
        let mut link = link.clone();
        let set = Uuid::new_v4().simple().to_string();
        let life = 45 * UNIT;
        let mut now = START;
        let mut model: HashMap<u8, u64> = HashMap::new();
        for (who, step, is_leaving) in steps {
            now += step * UNIT;
            model.retain(|_, until| *until > now);
            if is_leaving {
                let left: u64 = runtime
                    .block_on(redis::cmd("ZREM").arg(&set).arg(who).query_async(&mut link))
                    .expect("an answer");
                // One that ran out may still be written there, until somebody asks.
                prop_assert!(left == 1 || !model.contains_key(&who));
                model.remove(&who);
                continue;
            }
            let is_granted = model.contains_key(&who) || (model.len() as u64) < most;
            if is_granted {
                model.insert(who, now + life);
            }
            let mut call = scripts.places.key(&set);
            call.arg(most).arg(life).arg(who).arg(now);
            let said: (bool, u64) = runtime
                .block_on(call.invoke_async(&mut link))
                .expect("an answer");
            prop_assert_eq!(said, (is_granted, model.len() as u64));
        }
        Ok(())
    });
    decided.expect("the same decisions");
}

#[test]
fn keys_are_gone_when_what_they_say_is_over() {
    let server = RedisServer::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (is_made, debt): (bool, u64) = runtime
        .block_on(async {
            let mut link = link(&server).await;
            let scripts = Scripts::new();
            let mut call = scripts.bucket.key("bucket");
            call.arg(90_000_000).arg(180_000_000).arg(0);
            call.invoke_async(&mut link).await
        })
        .expect("an answer");
    assert_eq!((is_made, debt), (true, 90_000_000));
    let left_ms = server.say("PTTL bucket");
    let left_ms: u64 = left_ms
        .trim()
        .trim_start_matches(':')
        .parse()
        .expect("a number");
    assert!((1..=90_000).contains(&left_ms), "{left_ms}");
}

#[test]
fn a_late_fault_of_an_earlier_link_leaves_the_new_one_alone() {
    let server = RedisServer::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (url, patience) = (server.url(), "60s".to_owned());
    let sources = Sources::from_map([("REDIS_URL", url), ("REDIS_TIMEOUT", patience)]);
    let config = load(&sources).expect("a configuration").config;
    let lost = || Some(RedisError::from(io::Error::from(io::ErrorKind::BrokenPipe)));
    runtime.block_on(async {
        let shared = Shared::new(&config.limiting).expect("no file to read");
        let shared = Arc::new(shared.expect("a Redis"));
        shared.begin().await.expect("a link");
        let early = shared.reach("key").expect("a link");
        shared.failed(&early.line, &early.link, lost());
        assert_eq!(shared.state().reach, Reach::None);
        shared.connect(&early.line).await.expect("another link");
        for _ in 0..10 {
            shared.failed(&early.line, &early.link, lost());
        }
        let late = shared.reach("key").expect("it is still there");
        assert!(late.epoch() > early.epoch());
        shared.failed(&late.line, &late.link, lost());
        assert_eq!(shared.state().reach, Reach::None);
    });
}
