//! What a server of Redis is told while the link to it stands: that this relay lives, which places it
//! holds, and which it has left.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult};

use super::line::Line;
use super::{LEASE, Shared, micros};

/// For how long a relay counts as alive that has not shown it.
const ALIVE: Duration = Duration::from_secs(30);
/// How many commands go at once.
const BATCH: usize = 500;
/// More than any number of relays.
const ANY: u64 = 1 << 50;

impl Shared {
    /// Shows that this relay lives, and renews what is held.
    pub(super) async fn beat(
        &self,
        line: &Arc<Line>,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<()> {
        self.show(line, connection).await?;
        self.renew(line, connection).await
    }

    /// Shows that this relay lives, and learns who else does.
    pub(super) async fn show(
        &self,
        line: &Arc<Line>,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<()> {
        let map = self.map();
        let Some(relays) = map.relays_of(line) else {
            return redis::cmd("PING").exec_async(connection).await;
        };
        let mut call = self.scripts.places.key(relays);
        call.arg(ANY).arg(micros(ALIVE)).arg(&self.name);
        let (_, alive): (bool, u64) = call.invoke_async(connection).await?;
        let alive = u32::try_from(alive).unwrap_or(u32::MAX).max(1);
        line.alive.store(alive, Ordering::Relaxed);
        Ok(())
    }

    /// Renews what is held.
    pub(super) async fn renew(
        &self,
        line: &Arc<Line>,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<()> {
        let held = self.places.held(self.is_on(line));
        if held.is_empty() {
            return Ok(());
        }
        let (seconds, part): (u64, u64) = redis::cmd("TIME").query_async(connection).await?;
        let until = seconds * 1_000_000 + part + micros(LEASE);
        let mut commands = Vec::new();
        for (set, numbers) in held {
            for some in numbers.chunks(BATCH) {
                let mut add = redis::cmd("ZADD");
                add.arg(&*set);
                for number in some {
                    add.arg(until).arg(self.member(*number));
                }
                commands.push(add);
            }
            commands.push(
                redis::cmd("PEXPIRE")
                    .arg(&*set)
                    .arg(micros(LEASE) / 1000)
                    .to_owned(),
            );
        }
        send(connection, &commands).await
    }

    /// Gives back what was left.
    pub(super) async fn clear(
        &self,
        line: &Arc<Line>,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<()> {
        let left = self.places.left(self.is_on(line));
        let mut sets: HashMap<&str, Vec<String>> = HashMap::new();
        for place in left.places() {
            let set = sets.entry(&place.set).or_default();
            set.push(self.member(place.number));
        }
        let commands: Vec<Cmd> = sets
            .iter()
            .flat_map(|(set, members)| {
                let chunks = members.chunks(BATCH);
                chunks.map(|some| redis::cmd("ZREM").arg(*set).arg(some).to_owned())
            })
            .collect();
        send(connection, &commands).await?;
        left.told();
        Ok(())
    }

    /// Leaves this server as if this relay had never been.
    pub(super) async fn leave_line(&self, line: &Arc<Line>) -> RedisResult<()> {
        let Some(link) = line.link() else {
            return Ok(());
        };
        let mut connection = link.connection.clone();
        self.clear(line, &mut connection).await?;
        match self.map().relays_of(line) {
            Some(relays) => {
                let mut leave = redis::cmd("ZREM");
                leave.arg(relays).arg(&self.name);
                leave.exec_async(&mut connection).await
            }
            None => Ok(()),
        }
    }

    /// Whether a set lies on this line's server.
    fn is_on(&self, line: &Arc<Line>) -> impl Fn(&str) -> bool + use<> {
        let (map, line) = (self.map(), Arc::clone(line));
        move |set| map.line_of(set).is_some_and(|one| Arc::ptr_eq(one, &line))
    }
}

/// Sends commands whose answers do not matter.
async fn send(connection: &mut MultiplexedConnection, commands: &[Cmd]) -> RedisResult<()> {
    for some in commands.chunks(BATCH) {
        let mut pipeline = Pipeline::new();
        for command in some {
            pipeline.add_command(command.clone());
        }
        pipeline.exec_async(connection).await?;
    }
    Ok(())
}
