//! `relay_invites`: codes that let somebody register.

use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction};

use super::{Fault, Store};

/// An invite, without its code: nobody but its maker ever saw that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// A UUID.
    pub id: String,
    /// What its maker wrote beside it.
    pub note: String,
    /// How many may still register with it.
    pub uses_left: i64,
    /// Milliseconds since the epoch.
    pub created_at_ms: i64,
    /// Milliseconds since the epoch.
    pub expires_at_ms: i64,
    /// Whether it was taken back.
    pub is_revoked: bool,
}

/// An invite that is about to be.
#[derive(Clone, Debug)]
pub struct NewInvite<'a> {
    /// A fresh UUID.
    pub id: &'a str,
    /// The hash of its code.
    pub hash: &'a str,
    /// For its maker.
    pub note: &'a str,
    /// How many may register with it.
    pub uses: i64,
    /// Milliseconds since the epoch.
    pub expires_at_ms: i64,
    /// Milliseconds since the epoch.
    pub now_ms: i64,
}

impl Store {
    /// Adds an invite.
    pub async fn add_invite(&self, new: &NewInvite<'_>) -> Result<(), Fault> {
        let sql = "INSERT INTO relay_invites (id, hash, note, uses_left, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)";
        let query = sqlx::query(sql)
            .bind(new.id)
            .bind(new.hash)
            .bind(new.note)
            .bind(new.uses)
            .bind(new.now_ms)
            .bind(new.expires_at_ms);
        self.ask(query.execute(&self.writer)).await.map(|_| ())
    }

    /// All invites that are not forgotten yet, the oldest first.
    pub async fn invites(&self) -> Result<Vec<Invite>, Fault> {
        let sql = "SELECT id, note, uses_left, created_at, expires_at, revoked_at FROM relay_invites ORDER BY created_at, id";
        let listed = self.ask(async {
            let rows = sqlx::query(sql).fetch_all(&self.reader).await?;
            rows.iter().map(invite_of).collect()
        });
        listed.await
    }

    /// Takes an invite back; whether there was one to take back.
    pub async fn revoke_invite(&self, id: &str, now_ms: i64) -> Result<bool, Fault> {
        let sql = "UPDATE relay_invites SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
        let query = sqlx::query(sql).bind(id).bind(now_ms);
        let done = self.ask(query.execute(&self.writer)).await?;
        Ok(done.rows_affected() > 0)
    }
}

fn invite_of(row: &AnyRow) -> sqlx::Result<Invite> {
    Ok(Invite {
        id: row.try_get("id")?,
        note: row.try_get("note")?,
        uses_left: row.try_get("uses_left")?,
        created_at_ms: row.try_get("created_at")?,
        expires_at_ms: row.try_get("expires_at")?,
        is_revoked: row.try_get::<Option<i64>, _>("revoked_at")?.is_some(),
    })
}

/// Uses an invite once; whether it was good for that.
pub(super) async fn use_one(
    work: &mut Transaction<'_, Any>,
    hash: &str,
    now_ms: i64,
) -> sqlx::Result<bool> {
    let sql = "UPDATE relay_invites SET uses_left = uses_left - 1 \
               WHERE hash = $1 AND uses_left > 0 AND revoked_at IS NULL AND expires_at > $2";
    let query = sqlx::query(sql).bind(hash).bind(now_ms);
    Ok(query.execute(&mut **work).await?.rows_affected() > 0)
}
