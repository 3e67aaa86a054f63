//! Migrations: brings a database to the shape that this version knows, under a lock, so that any
//! number of relays may start at once. One transaction: all of it, or nothing.

use anyhow::{Context, Result, bail};
use sqlx::AnyConnection;

use super::Dialect;

/// Each once, in this order; one that was released never changes.
const MIGRATIONS: [(i64, &str); 2] = [
    (1, include_str!("../../migrations/0001_accounts.sql")),
    (2, include_str!("../../migrations/0002_keys.sql")),
];

/// The key of Postgres' advisory lock: "relay" in ASCII.
const LOCK: &str = "SELECT pg_advisory_xact_lock(491261059449)";

/// Waits until no other relay is at it. Must be the first statement of a transaction, and ends
/// with it. With SQLite the transaction itself is the lock.
pub(super) async fn lock(connection: &mut AnyConnection, dialect: Dialect) -> sqlx::Result<()> {
    if dialect == Dialect::Postgres {
        sqlx::query(LOCK).execute(connection).await?;
    }
    Ok(())
}

/// Applies what is missing, within the caller's transaction.
pub(super) async fn migrate(connection: &mut AnyConnection, now_ms: i64) -> Result<()> {
    let table = "CREATE TABLE IF NOT EXISTS relay_migrations (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL)";
    sqlx::query(table).execute(&mut *connection).await?;
    let newest = "SELECT CAST(COALESCE(MAX(version), 0) AS BIGINT) FROM relay_migrations";
    let applied: i64 = sqlx::query_scalar(newest)
        .fetch_one(&mut *connection)
        .await?;
    let known = MIGRATIONS.last().map_or(0, |(version, _)| *version);
    if applied > known {
        bail!(
            "the database was last used by a newer version of this program (schema {applied}, this one knows {known})"
        );
    }
    for (version, sql) in MIGRATIONS {
        if version <= applied {
            continue;
        }
        sqlx::raw_sql(sql)
            .execute(&mut *connection)
            .await
            .with_context(|| format!("migration {version}"))?;
        sqlx::query("INSERT INTO relay_migrations (version, applied_at) VALUES ($1, $2)")
            .bind(version)
            .bind(now_ms)
            .execute(&mut *connection)
            .await?;
        tracing::info!(version, "the database was migrated");
    }
    Ok(())
}
