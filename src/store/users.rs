//! `relay_users`: who there is.

use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction};

use super::{Fault, Store, Taken, Turn, invites, logins};

/// What a user may do besides using the server's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nothing.
    User,
    /// Look after other users, and see how the relay is.
    Admin,
}

impl Role {
    /// As it stands in the table and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Admin => "admin",
        }
    }

    /// The role of this name.
    pub fn named(name: &str) -> Option<Role> {
        [Role::User, Role::Admin]
            .into_iter()
            .find(|role| role.name() == name)
    }
}

/// A user, without what must not be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// A UUID, or whatever an earlier accounts API used.
    pub id: String,
    /// Unique.
    pub username: String,
    /// Unique.
    pub email: String,
    /// What it may do.
    pub role: Role,
    /// Whether it may do anything at all.
    pub is_active: bool,
    /// Milliseconds since the epoch.
    pub created_at_ms: i64,
    /// Milliseconds since the epoch.
    pub last_login_at_ms: Option<i64>,
}

impl User {
    /// Whether it can look after others.
    fn is_acting_admin(&self) -> bool {
        self.role == Role::Admin && self.is_active
    }
}

/// What is to be changed about a user; `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    /// What it may do.
    pub role: Option<Role>,
    /// Whether it may do anything at all.
    pub is_active: Option<bool>,
}

/// What becomes of the last admin who can log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastAdmin {
    /// It stays: nobody could then make another one over HTTP.
    Stays,
    /// It may go: the operator sits at the command line.
    MayGo,
}

/// A user that is about to be.
#[derive(Clone, Debug)]
pub struct NewUser<'a> {
    /// A fresh UUID.
    pub id: String,
    /// The name; no other may differ in case alone.
    pub username: &'a str,
    /// The address; no other may differ in case alone.
    pub email: &'a str,
    /// In PHC form.
    pub password_hash: &'a str,
    /// The role.
    pub role: Role,
    /// The hash of the code that lets it in, if it needs one.
    pub invite_hash: Option<&'a str>,
    /// Milliseconds since the epoch.
    pub now_ms: i64,
}

/// What a login needs to know.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Who.
    pub user: User,
    /// What the password must match.
    pub password_hash: String,
    /// Whether this user has logged in from this address before.
    pub is_known_address: bool,
}

/// A part of the list of users.
#[derive(Clone, Debug)]
pub struct Page {
    /// In the order in which they came.
    pub users: Vec<User>,
    /// How many there are in all.
    pub total: i64,
}

/// How names and addresses are compared.
pub(super) fn fold(text: &str) -> String {
    text.to_lowercase()
}

pub(super) fn user_of(row: &AnyRow) -> sqlx::Result<User> {
    Ok(User {
        id: row.try_get("id")?,
        username: row.try_get("username")?,
        email: row.try_get("email")?,
        role: Role::named(row.try_get("role")?).unwrap_or(Role::User),
        is_active: row.try_get::<i64, _>("is_active")? != 0,
        created_at_ms: row.try_get("created_at")?,
        last_login_at_ms: row.try_get("last_login_at")?,
    })
}

impl Store {
    /// Adds a user, using up its invite. `Ok(None)`: the invite is not good.
    pub async fn add_user(&self, new: &NewUser<'_>) -> Result<Option<User>, Fault> {
        let added = self.ask(async {
            let mut work = self.begin().await?;
            // Before anything is said of names: strangers without an invite learn none.
            if let Some(hash) = new.invite_hash
                && !invites::use_one(&mut work, hash, new.now_ms).await?
            {
                return Ok(Ok(None));
            }
            let (username, email) = (fold(new.username), fold(new.email));
            self.take_turn(&mut work, Turn::Username(&username)).await?;
            self.take_turn(&mut work, Turn::Email(&email)).await?;
            if let Some(taken) = taken(&mut work, &username, &email).await? {
                return Ok(Err(taken));
            }
            let sql = "INSERT INTO relay_users (id, username, username_folded, email, email_folded, password_hash, role, \
                       is_active, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8) \
                       ON CONFLICT DO NOTHING \
                       RETURNING id, username, email, role, is_active, created_at, last_login_at";
            let row = sqlx::query(sql)
                .bind(&new.id)
                .bind(new.username)
                .bind(&username)
                .bind(new.email)
                .bind(&email)
                .bind(new.password_hash)
                .bind(new.role.name())
                .bind(new.now_ms)
                .fetch_optional(&mut *work)
                .await?;
            let Some(row) = row else {
                // Somebody was quicker, a moment ago.
                let taken = taken(&mut work, &username, &email).await?;
                return Ok(Err(taken.unwrap_or(Taken::Username)));
            };
            let user = user_of(&row)?;
            work.commit().await?;
            Ok(Ok(Some(user)))
        });
        added.await?.map_err(Fault::Taken)
    }

    /// What a login under this name needs; one query whether or not there is such a user.
    pub async fn credentials(
        &self,
        username: &str,
        address_hash: &str,
    ) -> Result<Option<Credentials>, Fault> {
        let sql = "SELECT u.id, u.username, u.email, u.role, u.is_active, u.created_at, u.last_login_at, u.password_hash, \
                   CAST(CASE WHEN a.user_id IS NULL THEN 0 ELSE 1 END AS BIGINT) AS is_known \
                   FROM relay_users u LEFT JOIN relay_login_addresses a ON a.user_id = u.id AND a.address_hash = $2 \
                   WHERE u.username = $1";
        let found = self.ask(async {
            let row = sqlx::query(sql)
                .bind(username)
                .bind(address_hash)
                .fetch_optional(&self.reader)
                .await?;
            row.map(|row| {
                Ok(Credentials {
                    user: user_of(&row)?,
                    password_hash: row.try_get("password_hash")?,
                    is_known_address: row.try_get::<i64, _>("is_known")? != 0,
                })
            })
            .transpose()
        });
        found.await
    }

    /// What a user's password must match.
    pub async fn password_hash(&self, id: &str) -> Result<Option<String>, Fault> {
        let sql = "SELECT password_hash FROM relay_users WHERE id = $1";
        let query = sqlx::query_scalar(sql).bind(id);
        self.ask(query.fetch_optional(&self.reader)).await
    }

    /// A user by id, or by name.
    pub async fn user(&self, id_or_name: &str) -> Result<Option<User>, Fault> {
        let sql = "SELECT id, username, email, role, is_active, created_at, last_login_at FROM relay_users \
                   WHERE id = $1 OR username = $1 ORDER BY CASE WHEN id = $1 THEN 0 ELSE 1 END LIMIT 1";
        let found = self.ask(async {
            let row = sqlx::query(sql)
                .bind(id_or_name)
                .fetch_optional(&self.reader)
                .await?;
            row.as_ref().map(user_of).transpose()
        });
        found.await
    }

    /// The users whose name or address contains `search`, the oldest first.
    pub async fn users(&self, search: &str, limit: i64, offset: i64) -> Result<Page, Fault> {
        let pattern = contains(search);
        let list = "SELECT id, username, email, role, is_active, created_at, last_login_at FROM relay_users \
                    WHERE username_folded LIKE $1 ESCAPE '\\' OR email_folded LIKE $1 ESCAPE '\\' \
                    ORDER BY created_at, id LIMIT $2 OFFSET $3";
        let count = "SELECT CAST(COUNT(*) AS BIGINT) FROM relay_users \
                     WHERE username_folded LIKE $1 ESCAPE '\\' OR email_folded LIKE $1 ESCAPE '\\'";
        let found = self.ask(async {
            let rows = sqlx::query(list)
                .bind(&pattern)
                .bind(limit)
                .bind(offset)
                .fetch_all(&self.reader)
                .await?;
            let total = sqlx::query_scalar(count).bind(&pattern);
            Ok(Page {
                users: rows.iter().map(user_of).collect::<sqlx::Result<_>>()?,
                total: total.fetch_one(&self.reader).await?,
            })
        });
        found.await
    }

    /// How many passwords are hashed by bcrypt, and how many there are.
    pub async fn old_hashes(&self) -> Result<(i64, i64), Fault> {
        let sql = "SELECT CAST(COALESCE(SUM(CASE WHEN password_hash LIKE '$2%' THEN 1 ELSE 0 END), 0) AS BIGINT) AS old, \
                   CAST(COUNT(*) AS BIGINT) AS total FROM relay_users";
        let counted = self.ask(async {
            let row = sqlx::query(sql).fetch_one(&self.reader).await?;
            Ok((row.try_get("old")?, row.try_get("total")?))
        });
        counted.await
    }

    /// Changes a user and, if it is kept out, ends its logins: all of it, or nothing. Returns what it
    /// is then; `None` where there is none.
    pub async fn change_user(
        &self,
        id: &str,
        change: UserChange,
        last_admin: LastAdmin,
        now_ms: i64,
    ) -> Result<Option<User>, Fault> {
        let sql = "UPDATE relay_users SET role = $2, is_active = $3, updated_at = $4 WHERE id = $1";
        let changed = self.ask(async {
            let mut work = self.begin().await?;
            self.take_turn(&mut work, Turn::Admins).await?;
            let Some(mut user) = user_by_id(&mut work, id).await? else {
                return Ok(Ok(None));
            };
            let was_admin = user.is_acting_admin();
            user.role = change.role.unwrap_or(user.role);
            user.is_active = change.is_active.unwrap_or(user.is_active);
            if was_admin && !user.is_acting_admin() && !last_admin.may_go(&mut work).await? {
                return Ok(Err(Fault::LastAdmin));
            }
            sqlx::query(sql)
                .bind(id)
                .bind(user.role.name())
                .bind(i64::from(user.is_active))
                .bind(now_ms)
                .execute(&mut *work)
                .await?;
            if !user.is_active {
                logins::revoke_all(&mut work, id, "disabled", now_ms).await?;
            }
            work.commit().await?;
            Ok(Ok(Some(user)))
        });
        changed.await?
    }

    /// Gives a user this password and ends its logins, but for one; whether there is such a user.
    pub async fn set_password(
        &self,
        id: &str,
        hash: &str,
        kept_login: Option<&str>,
        now_ms: i64,
    ) -> Result<bool, Fault> {
        let update = "UPDATE relay_users SET password_hash = $2, updated_at = $3 WHERE id = $1";
        let revoke = "UPDATE relay_logins SET revoked_at = $3, revoked_because = 'password' \
                      WHERE user_id = $1 AND id <> $2 AND revoked_at IS NULL";
        let set = self.ask(async {
            let mut work = self.begin().await?;
            let query = sqlx::query(update).bind(id).bind(hash).bind(now_ms);
            let done = query.execute(&mut *work).await?;
            let query = sqlx::query(revoke).bind(id);
            let query = query.bind(kept_login.unwrap_or_default()).bind(now_ms);
            query.execute(&mut *work).await?;
            work.commit().await?;
            Ok(done.rows_affected() > 0)
        });
        set.await
    }

    /// Whether an admin can log in.
    pub async fn has_admin(&self) -> Result<bool, Fault> {
        let query = sqlx::query_scalar::<_, i64>(COUNT_ADMINS);
        let count = self.ask(query.fetch_one(&self.reader)).await?;
        Ok(count > 0)
    }

    /// Deletes a user with all that belongs to it; whether there was one.
    pub async fn delete_user(&self, id: &str, last_admin: LastAdmin) -> Result<bool, Fault> {
        let deleted = self.ask(async {
            let mut work = self.begin().await?;
            self.take_turn(&mut work, Turn::Admins).await?;
            let Some(user) = user_by_id(&mut work, id).await? else {
                return Ok(Ok(false));
            };
            if user.is_acting_admin() && !last_admin.may_go(&mut work).await? {
                return Ok(Err(Fault::LastAdmin));
            }
            let query = sqlx::query("DELETE FROM relay_users WHERE id = $1").bind(id);
            query.execute(&mut *work).await?;
            work.commit().await?;
            Ok(Ok(true))
        });
        deleted.await?
    }
}

/// Those who can log in.
const COUNT_ADMINS: &str =
    "SELECT CAST(COUNT(*) AS BIGINT) FROM relay_users WHERE role = 'admin' AND is_active = 1";

impl LastAdmin {
    /// Whether one more admin than there must be is there.
    async fn may_go(self, work: &mut Transaction<'_, Any>) -> sqlx::Result<bool> {
        if self == LastAdmin::MayGo {
            return Ok(true);
        }
        let count: i64 = sqlx::query_scalar(COUNT_ADMINS)
            .fetch_one(&mut **work)
            .await?;
        Ok(count > 1)
    }
}

async fn user_by_id(work: &mut Transaction<'_, Any>, id: &str) -> sqlx::Result<Option<User>> {
    let sql = "SELECT id, username, email, role, is_active, created_at, last_login_at FROM relay_users WHERE id = $1";
    let row = sqlx::query(sql)
        .bind(id)
        .fetch_optional(&mut **work)
        .await?;
    row.as_ref().map(user_of).transpose()
}

/// What of a new user another one has, in any case of letters.
async fn taken(
    work: &mut Transaction<'_, Any>,
    username: &str,
    email: &str,
) -> sqlx::Result<Option<Taken>> {
    let sql =
        "SELECT username_folded FROM relay_users WHERE username_folded = $1 OR email_folded = $2";
    let rows = sqlx::query(sql)
        .bind(username)
        .bind(email)
        .fetch_all(&mut **work)
        .await?;
    let mut taken = None;
    for row in rows {
        let name: String = row.try_get(0)?;
        if name == username {
            return Ok(Some(Taken::Username));
        }
        taken = Some(Taken::Email);
    }
    Ok(taken)
}

/// A pattern for LIKE that matches what contains this text.
fn contains(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in fold(text).chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
