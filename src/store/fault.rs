//! Fault: why the database did not do what it was asked, in the terms that its callers branch on.

use std::fmt::{self, Display, Formatter};

use sqlx::error::DatabaseError;

use super::Dialect;

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It cannot be reached, or does not answer in time.
    Unreachable(String),
    /// It answers, but cannot do this now: its disk is full, somebody holds a lock for too long.
    Failed(String),
    /// Another user has this name or address.
    Taken(Taken),
    /// The last admin would go.
    LastAdmin,
}

/// What of a user belongs to another one already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The user name.
    Username,
    /// The address.
    Email,
}

impl Fault {
    /// What an error of the driver's means. Its text holds no values, only what is said of them.
    pub(super) fn of(error: &sqlx::Error, dialect: Dialect) -> Fault {
        match error {
            // A file does not go away: somebody writes to it, and the others wait for too long.
            sqlx::Error::PoolTimedOut if dialect == Dialect::Sqlite => {
                Fault::Failed("somebody else writes to it for too long".to_owned())
            }
            sqlx::Error::Database(error) if is_going_down(error.as_ref()) => {
                Fault::Unreachable(error.message().to_owned())
            }
            sqlx::Error::Database(error) => Fault::Failed(error.message().to_owned()),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Fault::Unreachable(error.to_string()),
            _ => Fault::Failed(error.to_string()),
        }
    }
}

/// An error of the driver's for the operator: said once, with what helps.
pub(super) fn in_words(error: &anyhow::Error) -> anyhow::Error {
    let mut words = Vec::new();
    for cause in error.chain() {
        let Some(driver) = cause.downcast_ref::<sqlx::Error>() else {
            words.push(cause.to_string());
            continue;
        };
        // What is behind it repeats its words.
        words.push(match driver {
            sqlx::Error::Database(error) => advised(error.as_ref()),
            sqlx::Error::Io(error) => error.to_string(),
            other => other.to_string(),
        });
        break;
    }
    anyhow::anyhow!(words.join(": "))
}

/// By the codes of Postgres' appendix A, and SQLite's result codes.
fn advised(error: &dyn DatabaseError) -> String {
    let message = error.message();
    match error.code().as_deref() {
        Some("28P01" | "28000") => format!(
            "{message}. Check user and password in the URL; there a password's @ is %40, / is %2F, : is %3A"
        ),
        Some("3D000") => format!("{message}. Make it with `createdb`, or check the URL's path"),
        // SQLITE_CANTOPEN, also where the files of its WAL cannot be.
        Some("14") => format!(
            "{message}. This user must be able to read it, and to write to its folder if a relay has used it: a relay's newest entries are in the file that ends with -wal, which belongs beside it"
        ),
        _ => message.to_owned(),
    }
}

/// Postgres shuts down, starts up, or has no connection left (classes 08, 53 and 57 of its
/// appendix A).
fn is_going_down(error: &dyn DatabaseError) -> bool {
    let code = error.code().unwrap_or_default();
    code.starts_with("08") || code.starts_with("57P0") || code == "53300"
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unreachable(why) | Fault::Failed(why) => f.write_str(why),
            Fault::Taken(Taken::Username) => f.write_str("this user name is taken"),
            Fault::Taken(Taken::Email) => f.write_str("this address is taken"),
            Fault::LastAdmin => f.write_str("this is the last admin"),
        }
    }
}

impl std::error::Error for Fault {}
