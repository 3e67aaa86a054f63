//! `relay_logins` and `relay_refresh_tokens`: who is logged in, and what makes new access tokens.

use sqlx::{Any, Row, Transaction};

use super::users::{User, user_of};
use super::{Fault, Store, addresses};

/// The most logins that a user keeps; the oldest go first.
const MOST_LOGINS: i64 = 1000;
/// How many logins or keys are asked about at once: as many as [`Store::members`] has places for.
pub const BATCH: usize = 32;
/// The most unused refresh tokens that a login keeps; the oldest go first.
const MOST_TOKENS: i64 = 5;

/// A login that succeeded.
#[derive(Clone, Debug)]
pub struct NewLogin<'a> {
    /// Who.
    pub user_id: &'a str,
    /// A fresh UUID.
    pub login_id: &'a str,
    /// The hash of its first refresh token.
    pub refresh_hash: &'a str,
    /// When it ends, whatever is refreshed.
    pub expires_at_ms: i64,
    /// Where from.
    pub address_hash: &'a str,
    /// The hash that the password was found to match.
    pub password_hash: &'a str,
    /// A better one, to put in its place.
    pub better_hash: Option<&'a str>,
    /// Milliseconds since the epoch.
    pub now_ms: i64,
}

/// A user within one of its logins.
#[derive(Clone, Debug)]
pub struct Member {
    /// Who.
    pub user: User,
    /// Whether the login has been ended before its time.
    pub is_revoked: bool,
    /// When it ends, whatever is refreshed.
    pub expires_at_ms: i64,
}

/// A refresh token that is shown.
#[derive(Clone, Copy, Debug)]
pub struct Refresh<'a> {
    /// Its hash.
    pub hash: &'a str,
    /// The hash of what takes its place.
    pub successor_hash: &'a str,
    /// Where from.
    pub address_hash: &'a str,
    /// How long after its use it may be shown again.
    pub grace_ms: i64,
    /// Milliseconds since the epoch.
    pub now_ms: i64,
}

/// What became of a refresh token that was shown.
#[derive(Clone, Debug)]
pub enum Rotation {
    /// It was good, and has its successor now.
    Done {
        /// The login's id.
        login_id: String,
        /// Whose, and how long.
        member: Member,
    },
    /// It was used a moment ago: whoever lost the answer gets the same successor again.
    Repeated {
        /// The login's id.
        login_id: String,
        /// Whose, and how long.
        member: Member,
    },
    /// It was used long ago, so two parties hold it: its login is revoked.
    Stolen {
        /// The login's id.
        login_id: String,
        /// Whose.
        user_id: String,
    },
    /// It is none, or of a login that is over.
    Unknown,
}

impl Store {
    /// Opens one. `false`: there is no such user any more, or its password is another one by now.
    pub async fn add_login(&self, new: &NewLogin<'_>) -> Result<bool, Fault> {
        let signed = self.ask(async {
            let mut work = self.begin().await?;
            let sql = "UPDATE relay_users SET last_login_at = $2, password_hash = $4 \
                       WHERE id = $1 AND is_active = 1 AND password_hash = $3";
            let query = sqlx::query(sql)
                .bind(new.user_id)
                .bind(new.now_ms)
                .bind(new.password_hash)
                .bind(new.better_hash.unwrap_or(new.password_hash));
            if query.execute(&mut *work).await?.rows_affected() == 0 {
                return Ok(false);
            }
            let sql = "INSERT INTO relay_logins (id, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)";
            sqlx::query(sql)
                .bind(new.login_id)
                .bind(new.user_id)
                .bind(new.now_ms)
                .bind(new.expires_at_ms)
                .execute(&mut *work)
                .await?;
            add_token(&mut work, new.login_id, new.refresh_hash, new.now_ms).await?;
            addresses::remember(&mut work, new.user_id, new.address_hash, new.now_ms).await?;
            work.commit().await?;
            Ok(true)
        });
        signed.await
    }

    /// A user within a login; `None` where either is missing.
    pub async fn member(&self, login_id: &str, user_id: &str) -> Result<Option<Member>, Fault> {
        let sql = "SELECT u.id, u.username, u.email, u.role, u.is_active, u.created_at, u.last_login_at, \
                   s.revoked_at, s.expires_at \
                   FROM relay_logins s JOIN relay_users u ON u.id = s.user_id WHERE s.id = $1 AND u.id = $2";
        let found = self.look(async {
            let row = sqlx::query(sql)
                .bind(login_id)
                .bind(user_id)
                .fetch_optional(&self.reader)
                .await?;
            row.as_ref().map(member_of).transpose()
        });
        found.await
    }

    /// The users within these logins, at most [`BATCH`], each with the login's id; those that are
    /// missing are left out.
    pub async fn members(&self, login_ids: &[&str]) -> Result<Vec<(String, Member)>, Fault> {
        let sql = "SELECT u.id, u.username, u.email, u.role, u.is_active, u.created_at, u.last_login_at, \
                   s.revoked_at, s.expires_at, s.id AS login_id \
                   FROM relay_logins s JOIN relay_users u ON u.id = s.user_id WHERE s.id IN \
                   ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
                   $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32)";
        let places = (0..BATCH).map(|place| login_ids.get(place).copied().unwrap_or_default());
        let query = places.fold(sqlx::query(sql), |query, id| query.bind(id));
        let found = self.look(async {
            let rows = query.fetch_all(&self.reader).await?;
            let members = rows
                .iter()
                .map(|row| Ok((row.try_get("login_id")?, member_of(row)?)));
            members.collect()
        });
        found.await
    }

    /// Uses a refresh token up and puts its successor in its place. One that was used within the
    /// grace may be shown again; one that was used before that ends its login.
    pub async fn rotate(&self, shown: &Refresh<'_>) -> Result<Rotation, Fault> {
        let Refresh {
            hash,
            successor_hash,
            now_ms,
            ..
        } = *shown;
        let rotated = self.ask(async {
            let mut work = self.begin().await?;
            let sql = "UPDATE relay_refresh_tokens SET used_at = $2 WHERE hash = $1 AND used_at IS NULL";
            let query = sqlx::query(sql).bind(hash).bind(now_ms);
            let is_first = query.execute(&mut *work).await?.rows_affected() > 0;
            let sql = "SELECT u.id, u.username, u.email, u.role, u.is_active, u.created_at, u.last_login_at, \
                       s.revoked_at, s.expires_at, t.used_at, s.id AS login_id \
                       FROM relay_refresh_tokens t JOIN relay_logins s ON s.id = t.login_id \
                       JOIN relay_users u ON u.id = s.user_id WHERE t.hash = $1";
            let row = sqlx::query(sql).bind(hash).fetch_optional(&mut *work).await?;
            let Some(row) = row else {
                return Ok(Rotation::Unknown);
            };
            let member = member_of(&row)?;
            let login_id: String = row.try_get("login_id")?;
            if member.is_revoked || !member.user.is_active || member.expires_at_ms <= now_ms {
                return Ok(Rotation::Unknown);
            }
            if is_first {
                add_token(&mut work, &login_id, successor_hash, now_ms).await?;
                addresses::remember(&mut work, &member.user.id, shown.address_hash, now_ms).await?;
                work.commit().await?;
                return Ok(Rotation::Done { login_id, member });
            }
            let used_at: Option<i64> = row.try_get("used_at")?;
            if used_at.is_some_and(|used_at| now_ms - used_at <= shown.grace_ms)
                && exists(&mut work, successor_hash).await?
            {
                return Ok(Rotation::Repeated { login_id, member });
            }
            revoke(&mut work, &login_id, "reuse", now_ms).await?;
            work.commit().await?;
            Ok(Rotation::Stolen { login_id, user_id: member.user.id })
        });
        rotated.await
    }

    /// Adds a refresh token to a login. Of those that were never used it keeps a few.
    pub async fn add_refresh_token(
        &self,
        login_id: &str,
        hash: &str,
        now_ms: i64,
    ) -> Result<(), Fault> {
        let added = self.ask(async {
            let mut work = self.begin().await?;
            add_token(&mut work, login_id, hash, now_ms).await?;
            let sql = "DELETE FROM relay_refresh_tokens WHERE login_id = $1 AND used_at IS NULL AND hash NOT IN \
                       (SELECT hash FROM relay_refresh_tokens WHERE login_id = $1 AND used_at IS NULL \
                       ORDER BY created_at DESC, hash LIMIT $2)";
            let query = sqlx::query(sql).bind(login_id).bind(MOST_TOKENS);
            query.execute(&mut *work).await?;
            work.commit().await
        });
        added.await
    }

    /// The login that a refresh token belongs to.
    pub async fn login_of(&self, hash: &str) -> Result<Option<String>, Fault> {
        let sql = "SELECT login_id FROM relay_refresh_tokens WHERE hash = $1";
        let query = sqlx::query_scalar(sql).bind(hash);
        self.ask(query.fetch_optional(&self.reader)).await
    }

    /// Ends a login.
    pub async fn revoke_login(
        &self,
        login_id: &str,
        because: &str,
        now_ms: i64,
    ) -> Result<(), Fault> {
        let revoked = self.ask(async {
            let mut work = self.begin().await?;
            revoke(&mut work, login_id, because, now_ms).await?;
            work.commit().await
        });
        revoked.await
    }

    /// Forgets logins and invites that are over since `before_ms`, and logins past the most.
    pub async fn purge(&self, before_ms: i64) -> Result<(), Fault> {
        let purged = self.ask(async {
            for sql in [
                "DELETE FROM relay_logins WHERE expires_at < $1",
                "DELETE FROM relay_invites WHERE expires_at < $1",
            ] {
                sqlx::query(sql).bind(before_ms).execute(&self.writer).await?;
            }
            let sql = "DELETE FROM relay_logins WHERE id IN (SELECT id FROM (SELECT id, ROW_NUMBER() OVER \
                       (PARTITION BY user_id ORDER BY created_at DESC, id) AS place FROM relay_logins) AS ranked \
                       WHERE place > $1)";
            let query = sqlx::query(sql).bind(MOST_LOGINS);
            query.execute(&self.writer).await.map(|_| ())
        });
        purged.await
    }
}

fn member_of(row: &sqlx::any::AnyRow) -> sqlx::Result<Member> {
    Ok(Member {
        user: user_of(row)?,
        is_revoked: row.try_get::<Option<i64>, _>("revoked_at")?.is_some(),
        expires_at_ms: row.try_get("expires_at")?,
    })
}

async fn add_token(
    work: &mut Transaction<'_, Any>,
    login_id: &str,
    hash: &str,
    now_ms: i64,
) -> sqlx::Result<()> {
    let sql = "INSERT INTO relay_refresh_tokens (hash, login_id, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    let query = sqlx::query(sql).bind(hash).bind(login_id).bind(now_ms);
    query.execute(&mut **work).await.map(|_| ())
}

async fn exists(work: &mut Transaction<'_, Any>, hash: &str) -> sqlx::Result<bool> {
    let sql = "SELECT hash FROM relay_refresh_tokens WHERE hash = $1";
    let row = sqlx::query(sql).bind(hash).fetch_optional(&mut **work);
    Ok(row.await?.is_some())
}

async fn revoke(
    work: &mut Transaction<'_, Any>,
    login_id: &str,
    because: &str,
    now_ms: i64,
) -> sqlx::Result<()> {
    let sql = "UPDATE relay_logins SET revoked_at = $2, revoked_because = $3 WHERE id = $1 AND revoked_at IS NULL";
    let query = sqlx::query(sql).bind(login_id).bind(now_ms).bind(because);
    query.execute(&mut **work).await.map(|_| ())
}

/// Ends every login of a user.
pub(super) async fn revoke_all(
    work: &mut Transaction<'_, Any>,
    user_id: &str,
    because: &str,
    now_ms: i64,
) -> sqlx::Result<()> {
    let sql = "UPDATE relay_logins SET revoked_at = $2, revoked_because = $3 WHERE user_id = $1 AND revoked_at IS NULL";
    let query = sqlx::query(sql).bind(user_id).bind(now_ms).bind(because);
    query.execute(&mut **work).await.map(|_| ())
}
