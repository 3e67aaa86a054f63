//! What a stand-in remembers: requests, scripts, minted credentials, stored objects.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Options;
use crate::realtime::Shared;
use crate::record::Received;
use crate::script::Script;
use crate::ws::Registry;

/// Shared by all connections.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) server_key: String,
    pub(crate) chunk_delay: Duration,
    pub(crate) ping_interval: Duration,
    pub(crate) session_length: Duration,
    pub(crate) turn_length: Duration,
    pub(crate) stop: CancellationToken,
    tasks: TaskTracker,
    pub(crate) sockets: Registry,
    pub(crate) accepted: AtomicUsize,
    pub(crate) resumed: AtomicUsize,
    pub(crate) open: AtomicUsize,
    records: Mutex<Vec<Received>>,
    scripts: Mutex<VecDeque<Script>>,
    script_uses: Mutex<HashMap<String, u64>>,
    secrets: Mutex<HashMap<String, Secret>>,
    objects: Mutex<BTreeMap<String, Object>>,
    calls: Mutex<HashMap<String, Call>>,
    lives: Mutex<HashMap<String, Shared>>,
    counter: AtomicU64,
}

/// A minted ephemeral credential.
#[derive(Clone, Debug)]
pub(crate) struct Secret {
    pub(crate) value: String,
    pub(crate) expires_at: u64,
    pub(crate) session: Value,
    deadline: Instant,
}

/// A call whose media is elsewhere.
#[derive(Debug)]
struct Call {
    session: Value,
    /// Its session, once a sideband asked for it; `None` inside when the call was ended.
    shared: Option<Shared>,
    is_over: bool,
}

/// Something that was stored: a file, an upload or its part, a response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object {
    pub(crate) json: Value,
    pub(crate) bytes: Vec<u8>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds since the epoch.
pub(crate) fn now() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map(|elapsed| elapsed.as_secs()).unwrap_or_default()
}

impl State {
    /// `stop`: ends everything that serves with this state.
    pub(crate) fn new(options: &Options, stop: CancellationToken) -> State {
        State {
            server_key: options.server_key.clone(),
            chunk_delay: options.chunk_delay,
            ping_interval: options.ping_interval,
            session_length: options.session_length,
            turn_length: options.turn_length,
            stop,
            tasks: TaskTracker::new(),
            sockets: Registry::default(),
            accepted: AtomicUsize::new(0),
            resumed: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            records: Mutex::default(),
            scripts: Mutex::default(),
            script_uses: Mutex::default(),
            secrets: Mutex::default(),
            objects: Mutex::default(),
            calls: Mutex::default(),
            lives: Mutex::default(),
            counter: AtomicU64::new(1),
        }
    }

    /// An id that looks like OpenAI's: a prefix and 32 hexadecimal digits, unique in this process.
    pub(crate) fn id(&self, prefix: &str) -> String {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let mixed = count.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995_1234_5678;
        format!("{prefix}{mixed:016x}{count:016x}")
    }

    pub(crate) fn records(&self) -> MutexGuard<'_, Vec<Received>> {
        locked(&self.records)
    }

    pub(crate) fn take_records(&self) -> Vec<Received> {
        std::mem::take(&mut *locked(&self.records))
    }

    pub(crate) fn push_script(&self, script: Script) {
        locked(&self.scripts).push_back(script);
    }

    pub(crate) fn next_script(&self) -> Option<Script> {
        locked(&self.scripts).pop_front()
    }

    /// Counts a use of a script; tells whether it is among the first `times`.
    pub(crate) fn script_applies(&self, key: &str, times: u64) -> bool {
        let mut uses = locked(&self.script_uses);
        let used = uses.entry(key.to_owned()).or_default();
        *used += 1;
        *used <= times
    }

    pub(crate) fn mint(&self, seconds: u64, session: Value) -> Secret {
        let secret = Secret {
            value: self.id("ek_"),
            expires_at: now() + seconds,
            session,
            deadline: Instant::now() + Duration::from_secs(seconds),
        };
        locked(&self.secrets).insert(secret.value.clone(), secret.clone());
        secret
    }

    /// A minted secret that has not expired.
    pub(crate) fn secret(&self, value: &str) -> Option<Secret> {
        let secret = locked(&self.secrets).get(value).cloned()?;
        (Instant::now() < secret.deadline).then_some(secret)
    }

    pub(crate) fn store(&self, id: &str, object: Object) {
        locked(&self.objects).insert(id.to_owned(), object);
    }

    pub(crate) fn object(&self, id: &str) -> Option<Object> {
        locked(&self.objects).get(id).cloned()
    }

    pub(crate) fn remove(&self, id: &str) -> Option<Object> {
        locked(&self.objects).remove(id)
    }

    /// The descriptions of what is stored under ids with this prefix.
    pub(crate) fn list(&self, prefix: &str) -> Vec<Value> {
        locked(&self.objects)
            .iter()
            .filter(|(id, _)| id.starts_with(prefix))
            .map(|(_, object)| object.json.clone())
            .collect()
    }

    /// Remembers a call with the configuration of its session.
    pub(crate) fn add_call(&self, id: &str, session: Value) {
        let call = Call {
            session,
            shared: None,
            is_over: false,
        };
        locked(&self.calls).insert(id.to_owned(), call);
    }

    pub(crate) fn has_call(&self, id: &str) -> bool {
        locked(&self.calls).contains_key(id)
    }

    /// Ends a call's session, if there is one.
    pub(crate) fn hang_up(&self, id: &str) {
        if let Some(call) = locked(&self.calls).get_mut(id) {
            call.is_over = true;
            if let Some(shared) = call.shared.take() {
                shared.end();
            }
        }
    }

    /// The session of a call that goes on, begun if nobody asked for it before.
    pub(crate) fn call_session(
        &self,
        id: &str,
        begin: impl FnOnce(&Value) -> Shared,
    ) -> Option<Shared> {
        let mut calls = locked(&self.calls);
        let call = calls.get_mut(id).filter(|call| !call.is_over)?;
        let shared = call.shared.get_or_insert_with(|| begin(&call.session));
        Some(shared.clone())
    }

    /// A Live session that sidebands may attach to.
    pub(crate) fn add_live(&self, id: &str, session: Shared) {
        locked(&self.lives).insert(id.to_owned(), session);
    }

    pub(crate) fn live_session(&self, id: &str) -> Option<Shared> {
        locked(&self.lives).get(id).cloned()
    }

    pub(crate) fn remove_live(&self, id: &str) {
        locked(&self.lives).remove(id);
    }

    /// Runs a task that ends with the server.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
        });
    }

    pub(crate) fn reset(&self) {
        locked(&self.records).clear();
        self.sockets.take();
        locked(&self.scripts).clear();
        locked(&self.script_uses).clear();
    }
}
