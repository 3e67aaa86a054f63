//! Shelf: a store that may not be there yet. A relay without accounts makes none; the first relay key
//! does, and may be made while the relay runs.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::{AnyConnection, Connection};

use super::{Store, read_only};
use crate::config::DatabaseUrl;

/// Where a store is, or will be.
#[derive(Debug)]
pub struct Shelf {
    url: DatabaseUrl,
    patience: Duration,
    store: OnceLock<Arc<Store>>,
    /// Held by whoever looks, so that one opens it for all.
    looking: tokio::sync::Mutex<()>,
}

impl Shelf {
    /// With a store on it.
    pub fn with(url: &DatabaseUrl, patience: Duration, store: Arc<Store>) -> Shelf {
        let shelf = Shelf::empty(url, patience);
        let _ = shelf.store.set(store);
        shelf
    }

    /// Without one so far.
    pub fn empty(url: &DatabaseUrl, patience: Duration) -> Shelf {
        Shelf {
            url: url.clone(),
            patience,
            store: OnceLock::new(),
            looking: tokio::sync::Mutex::default(),
        }
    }

    /// The store, if it is open.
    pub fn store(&self) -> Option<&Arc<Store>> {
        self.store.get()
    }

    /// The store, which is opened if it is there by now: a SQLite file with the relay's tables in
    /// it, or any server, as nobody names one without meaning it.
    ///
    /// # Errors
    /// It is there and cannot be opened.
    pub async fn look(&self) -> Result<Option<&Arc<Store>>> {
        if let Some(store) = self.store.get() {
            return Ok(Some(store));
        }
        let _turn = self.looking.lock().await;
        if self.store.get().is_none() {
            match &self.url {
                DatabaseUrl::Sqlite(None) => return Ok(None),
                DatabaseUrl::Sqlite(Some(path)) if !has_tables(path).await? => return Ok(None),
                DatabaseUrl::Sqlite(_) | DatabaseUrl::Postgres { .. } => {}
            }
            let store = Store::open(&self.url, self.patience).await?;
            let _ = self.store.set(Arc::new(store));
        }
        Ok(self.store.get())
    }
}

/// Whether a file is a database with the relay's tables in it.
async fn has_tables(path: &Path) -> Result<bool> {
    if !path.exists() {
        return Ok(false);
    }
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(&read_only(path)?)
        .await
        .with_context(|| format!("DATABASE_URL ({})", path.display()))?;
    let sql = "SELECT name FROM sqlite_master WHERE name = 'relay_migrations'";
    let found = sqlx::query(sql).fetch_optional(&mut connection).await;
    connection.close().await?;
    // A file that is no database is no concern of a relay without accounts.
    Ok(found.is_ok_and(|row| row.is_some()))
}
