//! Takes over users: of an earlier accounts API, from its table `users`, or of another relay, from its
//! table `relay_users`. Both are read, never written.

use std::ops::RangeInclusive;

use anyhow::{Context, Result, bail};
use argon2::password_hash::phc::PasswordHash;
use secrecy::ExposeSecret;
use sqlx::any::AnyRow;
use sqlx::{Any, AnyConnection, Connection, Row, Transaction};
use time::{Date, Month, PrimitiveDateTime, Time};

use super::fault::in_words;
use super::users::fold;
use super::{Dialect, Fault, LONG_PATIENCE, Role, Store, Taken, read_only};
use crate::config::DatabaseUrl;

/// A table of users, by the columns that it is known by.
struct Table {
    name: &'static str,
    columns: &'static [&'static str],
    /// All of it, in the columns of [`user_of`].
    select: &'static str,
    /// What its times are: text, or else milliseconds since the epoch.
    has_dates: bool,
}

/// That of the accounts API that is replaced.
const OLD: Table = Table {
    name: "users",
    columns: &[
        "id",
        "username",
        "email",
        "hashed_password",
        "is_active",
        "created_at",
    ],
    select: "SELECT CAST(id AS TEXT) AS id, CAST(username AS TEXT) AS username, CAST(email AS TEXT) AS email, \
             CAST(hashed_password AS TEXT) AS hashed_password, CAST(is_active AS TEXT) AS is_active, \
             CAST(created_at AS TEXT) AS created_at, 'user' AS role FROM users",
    has_dates: true,
};
/// A relay's own.
const OWN: Table = Table {
    name: "relay_users",
    columns: &[
        "id",
        "username",
        "email",
        "password_hash",
        "role",
        "is_active",
        "created_at",
    ],
    select: "SELECT id, username, email, password_hash AS hashed_password, CAST(is_active AS TEXT) AS is_active, \
             CAST(created_at AS TEXT) AS created_at, role FROM relay_users",
    has_dates: false,
};
/// What a hash of bcrypt's starts with, if it can be verified here.
const BCRYPT: [&str; 3] = ["$2a$", "$2b$", "$2y$"];
/// The costs that bcrypt has.
const BCRYPT_COSTS: RangeInclusive<u32> = 4..=31;

/// A user as somebody else kept it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignUser {
    /// Its id there, which it keeps.
    pub id: String,
    /// Its name.
    pub username: String,
    /// Its address.
    pub email: String,
    /// In bcrypt's or PHC form.
    pub password_hash: String,
    /// What it may do.
    pub role: Role,
    /// Whether it may log in.
    pub is_active: bool,
    /// Milliseconds since the epoch; `None` where nobody knows.
    pub created_at_ms: Option<i64>,
    /// Where it stands, in a file of lines.
    pub line: Option<u64>,
}

/// What became of a foreign user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// It is taken over.
    Added,
    /// It was taken over before.
    Known,
    /// Its name or address belongs to another user.
    Taken(Taken),
    /// It lacks something that every user has here.
    Unusable(Lack),
}

/// What a foreign user lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// An id.
    Id,
    /// A name.
    Username,
    /// An address.
    Email,
    /// A hash that a password can be verified by here.
    Hash,
}

impl ForeignUser {
    fn lack(&self) -> Option<Lack> {
        let lacks = [
            (self.id.is_empty(), Lack::Id),
            (self.username.is_empty(), Lack::Username),
            (self.email.is_empty(), Lack::Email),
            (!is_verifiable(&self.password_hash), Lack::Hash),
        ];
        let lack = lacks.into_iter().find(|(lacks, _)| *lacks);
        lack.map(|(_, what)| what)
    }
}

/// Whether a password can be verified by this hash: one that is cut off, or of another kind, would
/// let nobody in, ever.
fn is_verifiable(hash: &str) -> bool {
    if hash.starts_with("$argon2id$") {
        return PasswordHash::new(hash)
            .is_ok_and(|parts| parts.salt.is_some() && parts.hash.is_some());
    }
    BCRYPT.iter().any(|start| hash.starts_with(start))
        && hash
            .parse::<bcrypt::HashParts>()
            .is_ok_and(|parts| BCRYPT_COSTS.contains(&parts.get_cost()))
}

impl Store {
    /// Takes these users over, all or none, and says what became of each.
    pub async fn adopt(&self, users: &[ForeignUser], now_ms: i64) -> Result<Vec<Adoption>, Fault> {
        let work = async {
            let mut work = self.begin().await?;
            let adopted = adopt(&mut work, users, now_ms).await?;
            work.commit().await?;
            Ok(adopted)
        };
        self.timed(LONG_PATIENCE, work).await
    }
}

/// The users of another relay's database, or in the table `users` of any other, which is left as it
/// is.
pub async fn read_old_users(url: &DatabaseUrl) -> Result<Vec<ForeignUser>> {
    sqlx::any::install_default_drivers();
    let (url, dialect) = match url {
        DatabaseUrl::Sqlite(None) => bail!("there is nothing in a database in memory"),
        DatabaseUrl::Sqlite(Some(path)) => (read_only(path)?, Dialect::Sqlite),
        DatabaseUrl::Postgres { url, .. } => (url.expose_secret().to_owned(), Dialect::Postgres),
    };
    let connecting = AnyConnection::connect(&url).await;
    let mut connection = connecting.map_err(|error| in_words(&error.into()))?;
    let users = users_in(&mut connection, dialect).await;
    let users = users.map_err(|error| in_words(&error))?;
    connection.close().await?;
    Ok(users)
}

async fn users_in(connection: &mut AnyConnection, dialect: Dialect) -> Result<Vec<ForeignUser>> {
    // A relay's own first: what is left of an earlier API beside it was taken over, or deleted.
    let table = if has(connection, dialect, &OWN).await? {
        OWN
    } else if has(connection, dialect, &OLD).await? {
        OLD
    } else {
        bail!(
            "it has neither a relay's table `relay_users` nor a table `users` with the columns {}",
            OLD.columns.join(", ")
        );
    };
    let rows = sqlx::query(table.select).fetch_all(connection).await?;
    let users = rows.iter().map(|row| user_of(row, &table));
    let users = users.collect::<sqlx::Result<_>>();
    users.with_context(|| format!("reading the table `{}`", table.name))
}

/// Takes over what is new in a table `users` beside the relay's own tables.
pub(super) async fn adopt_old_table(
    work: &mut Transaction<'_, Any>,
    dialect: Dialect,
    now_ms: i64,
) -> sqlx::Result<()> {
    if !has(work, dialect, &OLD).await? {
        return Ok(());
    }
    let sql = "SELECT CAST(u.id AS TEXT) AS id, CAST(u.username AS TEXT) AS username, CAST(u.email AS TEXT) AS email, \
               CAST(u.hashed_password AS TEXT) AS hashed_password, CAST(u.is_active AS TEXT) AS is_active, \
               CAST(u.created_at AS TEXT) AS created_at, 'user' AS role FROM users u \
               WHERE NOT EXISTS (SELECT 1 FROM relay_adopted a WHERE a.source_id = CAST(u.id AS TEXT))";
    let rows = sqlx::query(sql).fetch_all(&mut **work).await?;
    let users = rows.iter().map(|row| user_of(row, &OLD));
    let users: Vec<_> = users.collect::<sqlx::Result<_>>()?;
    if users.is_empty() {
        return Ok(());
    }
    let adopted = adopt(work, &users, now_ms).await?;
    let count = |is: fn(&Adoption) -> bool| adopted.iter().filter(|one| is(one)).count();
    tracing::info!(
        added = count(|one| *one == Adoption::Added),
        taken = count(|one| matches!(one, Adoption::Taken(_))),
        unusable = count(|one| matches!(one, Adoption::Unusable(_))),
        "users of the table `users` were taken over"
    );
    Ok(())
}

async fn has(
    connection: &mut AnyConnection,
    dialect: Dialect,
    table: &Table,
) -> sqlx::Result<bool> {
    let sql = match dialect {
        Dialect::Sqlite => "SELECT name FROM pragma_table_info($1)",
        Dialect::Postgres => {
            "SELECT CAST(column_name AS TEXT) FROM information_schema.columns \
             WHERE table_name = $1 AND table_schema = ANY (current_schemas(false))"
        }
    };
    let query = sqlx::query_scalar(sql).bind(table.name);
    let names: Vec<String> = query.fetch_all(connection).await?;
    let mut columns = table.columns.iter();
    Ok(columns.all(|column| names.iter().any(|name| name == column)))
}

async fn adopt(
    work: &mut Transaction<'_, Any>,
    users: &[ForeignUser],
    now_ms: i64,
) -> sqlx::Result<Vec<Adoption>> {
    let mut adopted = Vec::with_capacity(users.len());
    for user in users {
        adopted.push(match user.lack() {
            Some(lack) => Adoption::Unusable(lack),
            None => adopt_one(work, user, now_ms).await?,
        });
    }
    Ok(adopted)
}

async fn adopt_one(
    work: &mut Transaction<'_, Any>,
    user: &ForeignUser,
    now_ms: i64,
) -> sqlx::Result<Adoption> {
    let mark =
        "INSERT INTO relay_adopted (source_id, adopted_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let add = "INSERT INTO relay_users (id, username, username_folded, email, email_folded, password_hash, role, \
               is_active, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
               ON CONFLICT DO NOTHING";
    let query = sqlx::query(mark).bind(&user.id).bind(now_ms);
    if query.execute(&mut **work).await?.rows_affected() == 0 {
        return rival(work, user).await;
    }
    let query = sqlx::query(add)
        .bind(&user.id)
        .bind(&user.username)
        .bind(fold(&user.username))
        .bind(&user.email)
        .bind(fold(&user.email))
        .bind(&user.password_hash)
        .bind(user.role.name())
        .bind(i64::from(user.is_active))
        .bind(user.created_at_ms.unwrap_or(now_ms))
        .bind(now_ms);
    match query.execute(&mut **work).await?.rows_affected() {
        0 => rival(work, user).await,
        _ => Ok(Adoption::Added),
    }
}

/// What keeps out a user who was not added: another one, unless it is there itself, or was and is
/// deleted.
async fn rival(work: &mut Transaction<'_, Any>, user: &ForeignUser) -> sqlx::Result<Adoption> {
    let sql = "SELECT id, username FROM relay_users WHERE id = $1 OR username = $2 OR email = $3";
    let rows = sqlx::query(sql)
        .bind(&user.id)
        .bind(&user.username)
        .bind(&user.email)
        .fetch_all(&mut **work)
        .await?;
    let mut adoption = Adoption::Known;
    for row in rows {
        let (id, username): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        if id == user.id {
            return Ok(Adoption::Known);
        }
        if username == user.username {
            adoption = Adoption::Taken(Taken::Username);
        } else if adoption == Adoption::Known {
            adoption = Adoption::Taken(Taken::Email);
        }
    }
    Ok(adoption)
}

fn user_of(row: &AnyRow, table: &Table) -> sqlx::Result<ForeignUser> {
    let text = |name: &str| row.try_get::<Option<String>, _>(name);
    let (role, is_active) = (text("role")?, text("is_active")?);
    let read_time: fn(&str) -> Option<i64> = match table.has_dates {
        true => parse_time,
        false => |text| text.parse().ok(),
    };
    Ok(ForeignUser {
        id: text("id")?.unwrap_or_default(),
        username: text("username")?.unwrap_or_default(),
        email: text("email")?.unwrap_or_default(),
        password_hash: text("hashed_password")?.unwrap_or_default(),
        role: role
            .and_then(|name| Role::named(&name))
            .unwrap_or(Role::User),
        is_active: is_active.is_none_or(|text| is_yes(&text)),
        created_at_ms: text("created_at")?.and_then(|text| read_time(&text)),
        line: None,
    })
}

/// A flag, as databases and people write it.
pub fn is_yes(text: &str) -> bool {
    ["1", "true", "t", "yes", "y"]
        .iter()
        .any(|yes| text.trim().eq_ignore_ascii_case(yes))
}

/// ISO 8601 with or without a fraction and an offset; without one it is UTC. In milliseconds since
/// the epoch.
pub fn parse_time(text: &str) -> Option<i64> {
    let (date, clock) = text.trim().split_once(['T', ' '])?;
    let mut parts = date.splitn(3, '-');
    let year = parts.next()?.parse().ok()?;
    let month = Month::try_from(parts.next()?.parse::<u8>().ok()?).ok()?;
    let date = Date::from_calendar_date(year, month, parts.next()?.parse().ok()?).ok()?;
    let split = clock.find(['+', '-', 'Z']).unwrap_or(clock.len());
    let (clock, offset) = clock.split_at(split);
    let mut parts = clock.splitn(3, ':');
    let (hour, minute) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let seconds: f64 = parts.next().unwrap_or("0").parse().ok()?;
    if !(0.0..60.0).contains(&seconds) {
        return None;
    }
    let clock = Time::from_hms(hour, minute, 0).ok()?;
    let start = PrimitiveDateTime::new(date, clock)
        .assume_utc()
        .unix_timestamp();
    // The range was checked above, so nothing is lost.
    #[allow(clippy::cast_possible_truncation)]
    let millis = (seconds * 1000.0) as i64;
    Some((start - offset_s(offset)?) * 1000 + millis)
}

fn offset_s(text: &str) -> Option<i64> {
    let Some(sign) = text.chars().next().filter(|c| *c != 'Z') else {
        return Some(0);
    };
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = digits.get(2..4).map_or(Some(0), |text| text.parse().ok())?;
    let seconds = (hours * 60 + minutes) * 60;
    Some(if sign == '-' { -seconds } else { seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_that_no_password_can_match_is_not_taken_for_one() {
        let bcrypt = "$2b$04$.cWLVFbPxZzSx0fH5xXRM.nggg5aRXGL264A6cYTHxjd7oNQo24AW";
        let argon2id = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for whole in [bcrypt, &bcrypt.replace("2b", "2y"), argon2id] {
            assert!(is_verifiable(whole), "{whole}");
        }
        for broken in [
            "",
            "plain",
            "$2b$04$abc",
            &bcrypt[..59],
            &format!("{bcrypt}x"),
            &bcrypt.replace("$04$", "$99$"),
            &bcrypt.replace("$04$", "$03$"),
            &bcrypt.replace("2b", "2x"),
            &bcrypt.replace("nggg", "n=gg"),
            "$argon2id$",
            &argon2id[..54],
            &argon2id.replace("argon2id", "argon2i"),
            "$pbkdf2-sha256$i=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA",
        ] {
            assert!(!is_verifiable(broken), "{broken}");
        }
    }

    #[test]
    fn times_are_read_as_sqlite_postgres_and_python_write_them() {
        for text in [
            "2024-01-02 03:04:05.678901",
            "2024-01-02T03:04:05.678901",
            "2024-01-02T03:04:05.678Z",
            "2024-01-02 03:04:05.678+00",
            "2024-01-02T05:34:05.678+02:30",
            "2024-01-01 22:04:05.678-0500",
        ] {
            assert_eq!(parse_time(text), Some(1_704_164_645_678), "{text}");
        }
        assert_eq!(parse_time("2024-01-02 03:04"), Some(1_704_164_640_000));
        for text in [
            "",
            "yesterday",
            "2024-13-01 00:00:00",
            "2024-01-02 25:00:00",
            "2024-01-02 03:04:99",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
