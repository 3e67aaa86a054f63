//! `relay_keys`: relay keys, by hash, with their rules.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::{BATCH, Fault, Store, User};

/// A relay key, without the key itself: nobody but its maker ever saw that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// A UUID.
    pub id: String,
    /// The first characters of the key.
    pub hint: String,
    /// What its maker calls it.
    pub name: String,
    /// Whose it is; `None` for the operator's.
    pub user_id: Option<String>,
    /// The owner's name.
    pub username: Option<String>,
    /// Whether the owner may do anything at all.
    pub is_owner_active: bool,
    /// JSON.
    pub rules: String,
    /// How often it was rotated.
    pub version: i64,
    /// Milliseconds since the epoch.
    pub created_at_ms: i64,
    /// Milliseconds since the epoch.
    pub expires_at_ms: Option<i64>,
    /// Whether it was revoked.
    pub is_revoked: bool,
}

/// A key that is about to be.
#[derive(Clone, Debug)]
pub struct NewKey<'a> {
    /// A fresh UUID.
    pub id: &'a str,
    /// The hash of the key.
    pub hash: &'a str,
    /// The first characters of the key.
    pub hint: &'a str,
    /// For its maker.
    pub name: &'a str,
    /// Whose it is; `None` for the operator's.
    pub owner: Option<&'a User>,
    /// JSON.
    pub rules: &'a str,
    /// Milliseconds since the epoch.
    pub expires_at_ms: Option<i64>,
    /// Milliseconds since the epoch.
    pub now_ms: i64,
}

impl Store {
    /// Adds a key: what is known of it from now on.
    pub async fn add_key(&self, new: &NewKey<'_>) -> Result<Key, Fault> {
        let sql = "INSERT INTO relay_keys (id, hash, hint, name, user_id, rules, version, created_at, expires_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8)";
        let query = sqlx::query(sql)
            .bind(new.id)
            .bind(new.hash)
            .bind(new.hint)
            .bind(new.name)
            .bind(new.owner.map(|owner| owner.id.as_str()))
            .bind(new.rules)
            .bind(new.now_ms)
            .bind(new.expires_at_ms);
        self.ask(query.execute(&self.writer)).await?;
        // Not read again: were that to fail, nobody would ever see the key that was made.
        Ok(Key {
            id: new.id.to_owned(),
            hint: new.hint.to_owned(),
            name: new.name.to_owned(),
            user_id: new.owner.map(|owner| owner.id.clone()),
            username: new.owner.map(|owner| owner.username.clone()),
            is_owner_active: new.owner.is_none_or(|owner| owner.is_active),
            rules: new.rules.to_owned(),
            version: 0,
            created_at_ms: new.now_ms,
            expires_at_ms: new.expires_at_ms,
            is_revoked: false,
        })
    }

    /// The key with this hash.
    pub async fn key_by_hash(&self, hash: &str) -> Result<Option<Key>, Fault> {
        let sql = "SELECT k.id, k.hint, k.name, k.user_id, k.rules, k.version, k.created_at, k.expires_at, k.revoked_at, \
                   u.username, u.is_active FROM relay_keys k LEFT JOIN relay_users u ON u.id = k.user_id WHERE k.hash = $1";
        self.one_key(sql, hash).await
    }

    /// The key with this id.
    pub async fn key(&self, id: &str) -> Result<Option<Key>, Fault> {
        let sql = "SELECT k.id, k.hint, k.name, k.user_id, k.rules, k.version, k.created_at, k.expires_at, k.revoked_at, \
                   u.username, u.is_active FROM relay_keys k LEFT JOIN relay_users u ON u.id = k.user_id WHERE k.id = $1";
        self.one_key(sql, id).await
    }

    /// The keys with these hashes, at most [`BATCH`], each with its hash; those that are missing are
    /// left out.
    pub async fn keys_by_hash(&self, hashes: &[&str]) -> Result<Vec<(String, Key)>, Fault> {
        let sql = "SELECT k.id, k.hint, k.name, k.user_id, k.rules, k.version, k.created_at, k.expires_at, k.revoked_at, \
                   k.hash, u.username, u.is_active FROM relay_keys k LEFT JOIN relay_users u ON u.id = k.user_id \
                   WHERE k.hash IN \
                   ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
                   $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32)";
        self.some_keys(sql, hashes, |row| Ok((row.try_get("hash")?, key_of(row)?)))
            .await
    }

    /// The keys with these ids, at most [`BATCH`]; those that are missing are left out.
    pub async fn keys_by_id(&self, ids: &[&str]) -> Result<Vec<Key>, Fault> {
        let sql = "SELECT k.id, k.hint, k.name, k.user_id, k.rules, k.version, k.created_at, k.expires_at, k.revoked_at, \
                   u.username, u.is_active FROM relay_keys k LEFT JOIN relay_users u ON u.id = k.user_id \
                   WHERE k.id IN \
                   ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
                   $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32)";
        self.some_keys(sql, ids, key_of).await
    }

    /// Asks nothing where nothing is asked about.
    async fn some_keys<T>(
        &self,
        sql: &'static str,
        of: &[&str],
        read: impl Fn(&AnyRow) -> sqlx::Result<T> + Send,
    ) -> Result<Vec<T>, Fault> {
        if of.is_empty() {
            return Ok(Vec::new());
        }
        let places = (0..BATCH).map(|place| of.get(place).copied().unwrap_or_default());
        let query = places.fold(sqlx::query(sql), |query, value| query.bind(value));
        let found = self.look(async {
            let rows = query.fetch_all(&self.reader).await?;
            rows.iter().map(read).collect()
        });
        found.await
    }

    async fn one_key(&self, sql: &'static str, of: &str) -> Result<Option<Key>, Fault> {
        let found = self.look(async {
            let query = sqlx::query(sql).bind(of);
            let row = query.fetch_optional(&self.reader).await?;
            row.as_ref().map(key_of).transpose()
        });
        found.await
    }

    /// A part of all keys, the oldest first.
    pub async fn keys(&self, limit: i64, offset: i64) -> Result<Vec<Key>, Fault> {
        let sql = "SELECT k.id, k.hint, k.name, k.user_id, k.rules, k.version, k.created_at, k.expires_at, k.revoked_at, \
                   u.username, u.is_active FROM relay_keys k LEFT JOIN relay_users u ON u.id = k.user_id \
                   ORDER BY k.created_at, k.id LIMIT $1 OFFSET $2";
        let listed = self.ask(async {
            let query = sqlx::query(sql).bind(limit).bind(offset);
            let rows = query.fetch_all(&self.reader).await?;
            rows.iter().map(key_of).collect()
        });
        listed.await
    }

    /// A part of a user's keys, the oldest first.
    pub async fn keys_of(&self, user_id: &str, limit: i64, offset: i64) -> Result<Vec<Key>, Fault> {
        let sql = "SELECT k.id, k.hint, k.name, k.user_id, k.rules, k.version, k.created_at, k.expires_at, k.revoked_at, \
                   u.username, u.is_active FROM relay_keys k JOIN relay_users u ON u.id = k.user_id WHERE k.user_id = $1 \
                   ORDER BY k.created_at, k.id LIMIT $2 OFFSET $3";
        let listed = self.ask(async {
            let query = sqlx::query(sql).bind(user_id).bind(limit).bind(offset);
            let rows = query.fetch_all(&self.reader).await?;
            rows.iter().map(key_of).collect()
        });
        listed.await
    }

    /// How many keys a user has that were not revoked.
    pub async fn count_keys_of(&self, user_id: &str) -> Result<i64, Fault> {
        let sql = "SELECT CAST(COUNT(*) AS BIGINT) FROM relay_keys WHERE user_id = $1 AND revoked_at IS NULL";
        let query = sqlx::query_scalar(sql).bind(user_id);
        self.ask(query.fetch_one(&self.reader)).await
    }

    /// Whether any key was ever made here.
    pub async fn has_keys(&self) -> Result<bool, Fault> {
        let query = sqlx::query("SELECT id FROM relay_keys LIMIT 1");
        let row = self.look(query.fetch_optional(&self.reader)).await?;
        Ok(row.is_some())
    }

    /// Puts another key in the place of one that was not revoked; whether there was one.
    pub async fn rotate_key(&self, id: &str, hash: &str, hint: &str) -> Result<bool, Fault> {
        let sql = "UPDATE relay_keys SET hash = $2, hint = $3, version = version + 1 WHERE id = $1 AND revoked_at IS NULL";
        let query = sqlx::query(sql).bind(id).bind(hash).bind(hint);
        let done = self.ask(query.execute(&self.writer)).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Revokes a key; whether there was one to revoke.
    pub async fn revoke_key(&self, id: &str, now_ms: i64) -> Result<bool, Fault> {
        let sql = "UPDATE relay_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
        let query = sqlx::query(sql).bind(id).bind(now_ms);
        let done = self.ask(query.execute(&self.writer)).await?;
        Ok(done.rows_affected() > 0)
    }
}

fn key_of(row: &AnyRow) -> sqlx::Result<Key> {
    let user_id: Option<String> = row.try_get("user_id")?;
    let is_active: Option<i64> = row.try_get("is_active")?;
    Ok(Key {
        id: row.try_get("id")?,
        hint: row.try_get("hint")?,
        name: row.try_get("name")?,
        is_owner_active: user_id.is_none() || is_active == Some(1),
        user_id,
        username: row.try_get("username")?,
        rules: row.try_get("rules")?,
        version: row.try_get("version")?,
        created_at_ms: row.try_get("created_at")?,
        expires_at_ms: row.try_get("expires_at")?,
        is_revoked: row.try_get::<Option<i64>, _>("revoked_at")?.is_some(),
    })
}
