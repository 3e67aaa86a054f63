//! The store: accounts in SQLite or Postgres, by one portable SQL text. Knows tables, no rules.
//!
//! Statements are constants; whatever came from outside is bound, never part of the text. Nothing
//! here is awaited by a relayed request but the look-up of a credential that no cache knows.

mod addresses;
mod adoption;
mod fault;
mod invites;
mod keys;
mod logins;
mod migrations;
mod shelf;
mod users;

use std::future::Future;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use secrecy::ExposeSecret;
use sqlx::any::AnyPoolOptions;
use sqlx::{Any, AnyConnection, AnyPool, Connection, Executor, Transaction};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;

pub use adoption::{Adoption, ForeignUser, Lack, is_yes, parse_time, read_old_users};
pub use fault::{Fault, Taken};
pub use invites::{Invite, NewInvite};
pub use keys::{Key, NewKey};
pub use logins::{BATCH, Member, NewLogin, Refresh, Rotation};
pub use shelf::Shelf;
pub use users::{Credentials, LastAdmin, NewUser, Page, Role, User, UserChange};

use self::fault::in_words;
use crate::config::DatabaseUrl;

/// How long a start waits for a server: all else is to be served meanwhile.
const START: Duration = Duration::from_secs(2);
/// The longest that is waited for what a relayed request asks, however patient all else is: how fresh a
/// standing is counts on it (`admission::standing`).
const LOOK: Duration = Duration::from_secs(5);
/// How long an adoption or a migration may take: a hundred thousand users take seconds.
const LONG_PATIENCE: Duration = Duration::from_secs(300);
/// Takes SQLite's one lock for writing at once.
const BEGIN: &str = "BEGIN IMMEDIATE";
const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 8;

/// What two on Postgres must not do at once, though they touch no row that both can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn<'a> {
    /// Taking a name, which is given as it is compared.
    Username(&'a str),
    /// Taking an address, which is given as it is compared.
    Email(&'a str),
    /// Making admins fewer.
    Admins,
}

/// Which database it is, where one statement needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Postgres,
}

/// What is known of the database's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It has not been reached since the start: nobody knows whether its tables are there.
    New,
    /// It answers.
    Up,
    /// It did not answer when it was last asked.
    Down,
}

/// A database with the relay's tables.
#[derive(Debug)]
pub struct Store {
    reader: AnyPool,
    writer: AnyPool,
    dialect: Dialect,
    /// How long a question may take altogether.
    patience: Duration,
    condition: watch::Sender<Condition>,
}

impl Store {
    /// Connects, migrates and adopts. `Err` for what only the operator can mend; a server that is
    /// not there (yet) gives a store that is [`Condition::New`], to be [probed](Store::probe).
    /// No question waits for longer than `patience`.
    pub async fn open(url: &DatabaseUrl, patience: Duration) -> Result<Store> {
        sqlx::any::install_default_drivers();
        let store = match url {
            DatabaseUrl::Sqlite(None) => Store::in_memory(patience)?,
            DatabaseUrl::Sqlite(Some(path)) => Store::in_file(path, patience)?,
            DatabaseUrl::Postgres { url, .. } => Store::on_server(url.expose_secret(), patience)?,
        };
        let context = || format!("DATABASE_URL ({})", url.shown());
        match store.started().await {
            Ok(()) => store.note(Condition::Up),
            Err(error) if store.dialect == Dialect::Postgres && is_absence(&error) => {
                // A pool only knows that it had no connection in time.
                let cause = reach(url, 2 * START).await.err().unwrap_or(error);
                tracing::warn!(
                    "the database does not answer yet ({cause:#}): accounts wait for it, all else is served"
                );
            }
            Err(error) => return Err(in_words(&error)).with_context(context),
        }
        Ok(store)
    }

    fn in_memory(patience: Duration) -> Result<Store> {
        // Every connection would be a database of its own, forgotten with it.
        let only = pool(1, Access::Write, patience)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy("sqlite::memory:")?;
        Ok(Store::new(only.clone(), only, Dialect::Sqlite, patience))
    }

    fn in_file(path: &Path, patience: Duration) -> Result<Store> {
        let path = std::path::absolute(path)?;
        create_private(&path)
            .with_context(|| format!("DATABASE_URL ({}): cannot be opened", path.display()))?;
        let mut url = url::Url::parse("sqlite:///")?;
        url.set_path(&path.to_string_lossy());
        let open = |count, access| {
            let pool = pool(count, access, patience).idle_timeout(None);
            pool.max_lifetime(None).connect_lazy(url.as_str())
        };
        let (reader, writer) = (open(SQLITE_READERS, Access::Read)?, open(1, Access::Write)?);
        Ok(Store::new(reader, writer, Dialect::Sqlite, patience))
    }

    fn on_server(url: &str, patience: Duration) -> Result<Store> {
        let pool = AnyPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(to_connect(patience))
            .connect_lazy(url)?;
        Ok(Store::new(pool.clone(), pool, Dialect::Postgres, patience))
    }

    fn new(reader: AnyPool, writer: AnyPool, dialect: Dialect, patience: Duration) -> Store {
        Store {
            reader,
            writer,
            dialect,
            patience,
            condition: watch::Sender::new(Condition::New),
        }
    }

    /// How it was when it was last asked.
    pub fn condition(&self) -> Condition {
        *self.condition.borrow()
    }

    /// Tells when that changes.
    pub fn conditions(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    /// Asks it, whatever its condition, and notes what came of it.
    pub async fn probe(&self) -> Result<(), Fault> {
        if self.condition() == Condition::New {
            let prepared = self.prepare().await;
            prepared.map_err(|error| Fault::Unreachable(format!("{error:#}")))?;
            self.note(Condition::Up);
            return Ok(());
        }
        let question = sqlx::query("SELECT 1").fetch_one(&self.reader);
        self.timed(self.patience, question).await.map(|_| ())
    }

    /// Closes every connection; what runs is finished first.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// Prepares what can be had at once.
    async fn started(&self) -> Result<()> {
        if self.dialect == Dialect::Postgres {
            let first = tokio::time::timeout(START, self.writer.acquire()).await;
            first.map_err(|_| sqlx::Error::PoolTimedOut)??;
        }
        self.prepare().await
    }

    /// Migrates, and adopts the users of an earlier accounts API.
    async fn prepare(&self) -> Result<()> {
        let prepared = tokio::time::timeout(LONG_PATIENCE, async {
            let now_ms = now_ms();
            let mut work = self.begin().await?;
            migrations::lock(&mut work, self.dialect).await?;
            migrations::migrate(&mut work, now_ms).await?;
            adoption::adopt_old_table(&mut work, self.dialect, now_ms).await?;
            work.commit().await?;
            anyhow::Ok(())
        });
        prepared.await.context("it does not answer")?
    }

    /// A transaction that may write. Holds what lock there is from its start, so that two that
    /// read and then write take turns.
    async fn begin(&self) -> sqlx::Result<Transaction<'static, Any>> {
        if self.dialect == Dialect::Postgres {
            return self.writer.begin().await;
        }
        match self.writer.begin_with(BEGIN).await {
            // A full disk makes SQLite roll back by itself, which the driver does not notice: its
            // connection would wait for the end of that transaction for ever.
            Err(sqlx::Error::InvalidSavePointStatement) => {
                self.writer.acquire().await?.close().await?;
                self.writer.begin_with(BEGIN).await
            }
            begun => begun,
        }
    }

    /// Waits, within a transaction, until nobody else is at the same; turns are taken in the order of
    /// [`Turn`]. SQLite has one writer anyway.
    async fn take_turn(&self, work: &mut Transaction<'_, Any>, turn: Turn<'_>) -> sqlx::Result<()> {
        if self.dialect == Dialect::Sqlite {
            return Ok(());
        }
        let (class, name) = match turn {
            Turn::Username(name) => (1, name),
            Turn::Email(name) => (2, name),
            Turn::Admins => (3, ""),
        };
        let sql = "SELECT pg_advisory_xact_lock($1, hashtext($2))";
        let query = sqlx::query(sql).bind(class).bind(name);
        query.execute(&mut **work).await.map(|_| ())
    }

    /// Asks the database unless it is known to be gone, and notes whether it answered.
    async fn ask<T>(&self, work: impl Future<Output = sqlx::Result<T>>) -> Result<T, Fault> {
        self.ask_within(self.patience, work).await
    }

    /// The same for what a relayed request waits for.
    async fn look<T>(&self, work: impl Future<Output = sqlx::Result<T>>) -> Result<T, Fault> {
        self.ask_within(self.patience.min(LOOK), work).await
    }

    async fn ask_within<T>(
        &self,
        patience: Duration,
        work: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T, Fault> {
        if self.condition() != Condition::Up {
            let why = "the database did not answer when it was last asked";
            return Err(Fault::Unreachable(why.to_owned()));
        }
        self.timed(patience, work).await
    }

    async fn timed<T>(
        &self,
        patience: Duration,
        work: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T, Fault> {
        let fault = match tokio::time::timeout(patience, work).await {
            Ok(Ok(value)) => {
                self.note(Condition::Up);
                return Ok(value);
            }
            Ok(Err(error)) => Fault::of(&error, self.dialect),
            Err(_) => self.silent(),
        };
        if let Fault::Unreachable(why) = &fault {
            self.note_down(why);
        }
        Err(fault)
    }

    /// No answer in time: of a server the worst is supposed, of a file that somebody else writes.
    fn silent(&self) -> Fault {
        let why = "it does not answer".to_owned();
        match self.dialect {
            Dialect::Sqlite => Fault::Failed(why),
            Dialect::Postgres => Fault::Unreachable(why),
        }
    }

    fn note(&self, condition: Condition) {
        let before = self.changes_to(condition);
        if before == Some(Condition::Down) && condition == Condition::Up {
            tracing::info!("the database answers again");
        }
    }

    fn note_down(&self, why: &str) {
        if self.changes_to(Condition::Down).is_some() {
            tracing::warn!(
                cause = why,
                "the database does not answer: known accounts go on for 15 minutes, routes of accounts answer 503"
            );
        }
    }

    /// What it was before, if that was something else.
    fn changes_to(&self, condition: Condition) -> Option<Condition> {
        let mut before = None;
        self.condition.send_if_modified(|now| {
            before = (*now != condition).then_some(*now);
            *now = condition;
            before.is_some()
        });
        before
    }
}

/// Whether a database can be had, without changing anything in it, and whether there are relay keys in it.
pub async fn reach(url: &DatabaseUrl, patience: Duration) -> Result<bool> {
    let reached = try_reach(url, patience).await;
    reached.map_err(|error| in_words(&error))
}

async fn try_reach(url: &DatabaseUrl, patience: Duration) -> Result<bool> {
    sqlx::any::install_default_drivers();
    let connection = match url {
        DatabaseUrl::Sqlite(None) => return Ok(false),
        DatabaseUrl::Sqlite(Some(path)) if !path.exists() => {
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            anyhow::ensure!(folder.is_dir(), "there is no folder {}", folder.display());
            return Ok(false);
        }
        DatabaseUrl::Sqlite(Some(path)) => AnyConnection::connect(&read_only(path)?).await,
        DatabaseUrl::Postgres { url, .. } => {
            let connecting = AnyConnection::connect(url.expose_secret());
            tokio::time::timeout(patience, connecting)
                .await
                .context("it does not answer")?
        }
    };
    let mut connection = connection?;
    connection.execute("SELECT 1").await?;
    // A database from before there were keys has no table of them.
    let key = connection.fetch_optional("SELECT id FROM relay_keys LIMIT 1");
    let has_keys = key.await.is_ok_and(|row| row.is_some());
    connection.close().await.context("closing it")?;
    Ok(has_keys)
}

/// A URL by which nothing in the file is changed.
fn read_only(path: &Path) -> Result<String> {
    let mut url = url::Url::parse("sqlite:///?mode=ro")?;
    url.set_path(&std::path::absolute(path)?.to_string_lossy());
    Ok(String::from(url))
}

/// What a pool's connections are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// How much of its patience a question may spend on a connection: the rest is for the answer.
fn to_connect(patience: Duration) -> Duration {
    patience * 2 / 5
}

/// Connections to SQLite. What is acknowledged is on the disk, even if the power fails.
fn pool(connections: u32, access: Access, patience: Duration) -> sqlx::pool::PoolOptions<Any> {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(to_connect(patience))
        .test_before_acquire(false)
        .after_connect(move |connection: &mut AnyConnection, _| {
            Box::pin(async move {
                connection.execute("PRAGMA busy_timeout = 4000").await?;
                connection.execute("PRAGMA foreign_keys = ON").await?;
                if access == Access::Write {
                    connection.execute("PRAGMA journal_mode = WAL").await?;
                    connection.execute("PRAGMA synchronous = FULL").await?;
                } else {
                    connection.execute("PRAGMA query_only = ON").await?;
                }
                Ok(())
            })
        })
}

/// Nobody but this user may read the file: it holds the hashes of passwords.
fn create_private(path: &Path) -> Result<()> {
    std::fs::OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    Ok(())
}

/// Whether a server is not there, as against one that says no.
fn is_absence(error: &anyhow::Error) -> bool {
    let fault = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<sqlx::Error>());
    match fault {
        Some(sqlx::Error::Tls(_)) => false,
        Some(error) => matches!(Fault::of(error, Dialect::Postgres), Fault::Unreachable(_)),
        None => error.is::<tokio::time::error::Elapsed>(),
    }
}

/// Milliseconds since the epoch, as the tables count.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    i64::try_from(millis).unwrap_or(i64::MAX)
}

/// Milliseconds since the epoch in RFC 3339.
pub fn timestamp(millis: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000);
    let text = at.map(|at| at.format(&Rfc3339).unwrap_or_default());
    text.unwrap_or_default()
}
