//! Where the database is: the spellings that SQLAlchemy, libpq and plain URLs have for it.
//!
//! Nothing is opened here, and a password is never part of an error.

use std::path::PathBuf;

use secrecy::SecretString;
use url::Url;

/// A database that can be opened.
#[derive(Debug, Clone)]
pub enum DatabaseUrl {
    /// A file, or none: then everything is forgotten at the end.
    Sqlite(Option<PathBuf>),
    /// A Postgres server, as a URL for its driver.
    Postgres {
        /// With user and password.
        url: SecretString,
        /// Host, port and name, for people.
        shown: String,
    },
}

/// What SQLAlchemy's drivers call themselves behind the `+`.
const SQLITE_DRIVERS: [&str; 3] = ["", "aiosqlite", "pysqlite"];
const POSTGRES_DRIVERS: [&str; 7] = [
    "",
    "asyncpg",
    "psycopg",
    "psycopg_async",
    "psycopg2",
    "psycopg2cffi",
    "pg8000",
];

/// Parameters that the driver understands.
const KEPT: [&str; 16] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "application_name",
    "options",
];
/// Parameters with the credentials, which go into the URL as they are.
const CREDENTIALS: [&str; 2] = ["user", "password"];
/// `sslmode`'s values (libpq, table 34.1), which asyncpg also takes as `ssl`.
const SSL_MODES: [&str; 6] = [
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
];

impl DatabaseUrl {
    /// Reads one; the second part names parameters that mean nothing here.
    pub(super) fn parse(text: &str) -> Result<(DatabaseUrl, Vec<String>), String> {
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err("is not a URL".to_owned());
        };
        let scheme = scheme.to_ascii_lowercase();
        let (kind, driver) = scheme.split_once('+').unwrap_or((&scheme, ""));
        match kind {
            "sqlite" if SQLITE_DRIVERS.contains(&driver) => {
                sqlite(rest).map(|one| (one, Vec::new()))
            }
            "postgres" | "postgresql" if POSTGRES_DRIVERS.contains(&driver) => postgres(rest),
            "sqlite" | "postgres" | "postgresql" => {
                Err("names a driver that is not known".to_owned())
            }
            _ => Err("is neither a SQLite nor a Postgres URL".to_owned()),
        }
    }

    /// Reads one that somebody typed; `Err` is the end of a sentence that starts with it.
    pub fn read(text: &str) -> Result<DatabaseUrl, String> {
        DatabaseUrl::parse(text).map(|(url, _)| url)
    }

    /// Where it is, for people, without credentials.
    pub fn shown(&self) -> String {
        match self {
            DatabaseUrl::Sqlite(Some(path)) => path.display().to_string(),
            DatabaseUrl::Sqlite(None) => "memory".to_owned(),
            DatabaseUrl::Postgres { shown, .. } => shown.clone(),
        }
    }

    /// Whether everything in it is forgotten when the process ends.
    pub fn is_memory(&self) -> bool {
        matches!(self, DatabaseUrl::Sqlite(None))
    }
}

/// Three slashes and a path, relative to the working directory (SQLAlchemy); fewer mean the same.
fn sqlite(rest: &str) -> Result<DatabaseUrl, String> {
    let path = rest.split('?').next().unwrap_or_default();
    let path = path
        .strip_prefix("///")
        .or_else(|| path.strip_prefix("//"))
        .unwrap_or(path);
    if path.starts_with("file:") {
        return Err("holds a file: URI; write the path alone".to_owned());
    }
    if path.contains('\0') {
        return Err("holds a NUL".to_owned());
    }
    match path {
        "" | ":memory:" => Ok(DatabaseUrl::Sqlite(None)),
        path if path.ends_with('/') => Err("names a folder".to_owned()),
        path => Ok(DatabaseUrl::Sqlite(Some(PathBuf::from(path)))),
    }
}

fn postgres(rest: &str) -> Result<(DatabaseUrl, Vec<String>), String> {
    let malformed = || {
        "is not a URL; characters such as @ : / # ? in a password are written as %40 %3A %2F %23 %3F"
            .to_owned()
    };
    if !rest.starts_with("//") {
        return Err(malformed());
    }
    let given = Url::parse(&format!("postgres:{rest}")).map_err(|_| malformed())?;
    // A password with a bare slash, which the parser takes for the end of the host.
    if given.path().contains('@') || given.fragment().is_some() {
        return Err(malformed());
    }
    let mut url = given.clone();
    url.set_query(None);
    let mut passed_over = Vec::new();
    let mut kept: Vec<(String, String)> = Vec::new();
    for (name, value) in given.query_pairs() {
        match parameter(&name, &value)? {
            Some(pair) => kept.push(pair),
            None => passed_over.push(name.into_owned()),
        }
    }
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(&kept);
    }
    let named = |name: &str| kept.iter().rev().find(|(kept, _)| kept == name);
    let host = named("host").map(|(_, host)| host.as_str());
    let host = host.or(given.host_str()).unwrap_or("localhost");
    let port = given.port().unwrap_or(5432);
    let database = named("dbname").map_or(given.path().trim_start_matches('/'), |(_, name)| name);
    let shown = format!("{host}:{port}/{database}");
    let url = SecretString::from(String::from(url));
    Ok((DatabaseUrl::Postgres { url, shown }, passed_over))
}

/// A parameter as the driver spells it; `None` where it means nothing to it.
fn parameter(name: &str, value: &str) -> Result<Option<(String, String)>, String> {
    let pair = |name: &str, value: &str| Ok(Some((name.to_owned(), value.to_owned())));
    match name {
        "ssl" | "sslmode" | "ssl-mode" => match value.to_ascii_lowercase().as_str() {
            "true" | "1" | "on" => pair("sslmode", "require"),
            "false" | "0" | "off" => pair("sslmode", "disable"),
            mode if SSL_MODES.contains(&mode) => pair("sslmode", mode),
            _ => Err(format!("has a fault: `{name}` is no way to use TLS")),
        },
        // Poolers that mix up prepared statements between clients.
        "prepared_statement_cache_size" | "statement_cache_size" if value == "0" => {
            pair("statement-cache-capacity", "0")
        }
        "pgbouncer" if value == "true" => pair("statement-cache-capacity", "0"),
        "port" if value.parse::<u16>().is_err() => Err("has a fault: `port` is none".to_owned()),
        "statement-cache-capacity" if value.parse::<usize>().is_err() => {
            Err(format!("has a fault: `{name}` is no number"))
        }
        "hostaddr" if value.parse::<std::net::IpAddr>().is_err() => {
            Err(format!("has a fault: `{name}` is no address"))
        }
        _ if KEPT.contains(&name) || CREDENTIALS.contains(&name) => pair(name, value),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn sqlite_path(text: &str) -> Option<String> {
        match DatabaseUrl::parse(text) {
            Ok((DatabaseUrl::Sqlite(path), _)) => path.map(|path| path.display().to_string()),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn sqlite_is_spelled_as_sqlalchemy_and_others_spell_it() {
        for (text, path) in [
            ("sqlite:///./app.db", "./app.db"),
            ("sqlite:///app.db", "app.db"),
            ("sqlite+aiosqlite:///./app.db", "./app.db"),
            ("sqlite+pysqlite:///data/app.db", "data/app.db"),
            ("sqlite:////var/lib/relay/app.db", "/var/lib/relay/app.db"),
            ("sqlite:///app.db?check_same_thread=false", "app.db"),
            ("sqlite://app.db", "app.db"),
            ("sqlite:app.db", "app.db"),
            ("SQLite:///app.db", "app.db"),
        ] {
            assert_eq!(sqlite_path(text).as_deref(), Some(path), "{text}");
        }
        for text in ["sqlite://", "sqlite:///:memory:", "sqlite::memory:"] {
            assert_eq!(sqlite_path(text), None, "{text}");
        }
    }

    fn driver_url(text: &str) -> String {
        match DatabaseUrl::parse(text) {
            Ok((DatabaseUrl::Postgres { url, .. }, _)) => url.expose_secret().to_owned(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn postgres_is_spelled_as_sqlalchemy_libpq_and_plain_urls_spell_it() {
        for scheme in [
            "postgres",
            "postgresql",
            "postgresql+asyncpg",
            "postgresql+psycopg",
            "postgresql+psycopg2",
        ] {
            let url = driver_url(&format!("{scheme}://u:p%40ss@db.example:6543/relay"));
            assert_eq!(url, "postgres://u:p%40ss@db.example:6543/relay", "{scheme}");
        }
        for (query, kept) in [
            ("ssl=require", "?sslmode=require"),
            ("ssl=true", "?sslmode=require"),
            ("sslmode=verify-full", "?sslmode=verify-full"),
            ("host=/run/postgresql", "?host=%2Frun%2Fpostgresql"),
            (
                "prepared_statement_cache_size=0",
                "?statement-cache-capacity=0",
            ),
            ("channel_binding=require&connect_timeout=10", ""),
        ] {
            let url = driver_url(&format!("postgresql://u@h/d?{query}"));
            assert_eq!(url, format!("postgres://u@h/d{kept}"), "{query}");
        }
    }

    #[test]
    fn what_is_shown_holds_no_credentials() {
        let (url, passed_over) =
            DatabaseUrl::parse("postgres://u:planted@h/d?password=planted&x=planted")
                .expect("a URL");
        assert_eq!(url.shown(), "h:5432/d");
        assert_eq!(passed_over, ["x"]);
        assert!(!format!("{url:?}").contains("planted"));
    }

    #[test]
    fn what_is_no_database_is_refused_without_its_password() {
        for text in [
            "app.db",
            "mysql://u:planted@h/d",
            "postgres:planted",
            "postgresql+odbc://h/d",
            "sqlite+planted:///x",
            "sqlite:///data/",
            "sqlite:///file:app.db?mode=ro&uri=true",
            "postgres://u:planted@h:port/d",
            "postgres://u:pl/anted@h/d",
            "postgres://u:pl#anted@h/d",
            "postgres://h/d?ssl=planted",
            "postgres://h/d?port=planted",
        ] {
            let fault = DatabaseUrl::parse(text).expect_err(text);
            assert!(!fault.contains("planted"), "{fault}");
        }
    }
}
