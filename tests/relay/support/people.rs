//! A relay with accounts, on either database, and what people do with it.

use std::path::PathBuf;
use std::process::Output;

use fake_openai::FakeOpenAi;
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Connection};
use tokio::io::AsyncWriteExt;

use super::postgres::Postgres;
use super::raw::{Answer, request, send};
use super::relay::{Relay, command};
use super::{SERVER_KEY, upstream};

/// The key that turns accounts on in tests.
pub const SECRET_KEY: &str = "secret-key-for-tests-0123456789abcdef";
/// Everybody's password in tests.
pub const PASSWORD: &str = "correct horse battery";

/// So that a busy machine decides nothing.
pub const PATIENT: (&str, &str) = ("DATABASE_TIMEOUT", "60");

/// Where accounts are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    Sqlite,
    Postgres,
}

/// A database that goes away with this.
pub struct Database {
    pub url: String,
    folder: PathBuf,
}

impl Database {
    pub async fn new(home: Home) -> Database {
        let name = format!("openai-relay-people-{}", uuid::Uuid::new_v4().simple());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let url = match home {
            Home::Sqlite => format!("sqlite:///{}", folder.join("app.db").display()),
            Home::Postgres => Postgres::shared().database(),
        };
        Database { url, folder }
    }

    /// A database that somebody else looks after.
    pub fn at(url: String) -> Database {
        let folder = std::env::temp_dir().join(format!("openai-relay-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).expect("a folder");
        Database { url, folder }
    }

    /// A connection beside the relay's.
    pub async fn connect(&self) -> AnyConnection {
        sqlx::any::install_default_drivers();
        let url = self.url.replace("sqlite:////", "sqlite:///");
        let url = match url.starts_with("sqlite:") {
            true => format!("{url}?mode=rwc"),
            false => url,
        };
        AnyConnection::connect(&url).await.expect("the database")
    }

    /// Changes something behind the relay's back; how many rows.
    pub async fn change(&self, sql: &'static str) -> u64 {
        let mut connection = self.connect().await;
        let done = sqlx::query(sql).execute(&mut connection).await;
        done.expect(sql).rows_affected()
    }

    /// Looks at something.
    pub async fn rows(&self, sql: &'static str) -> Vec<AnyRow> {
        let mut connection = self.connect().await;
        let rows = sqlx::query(sql).fetch_all(&mut connection).await;
        rows.expect(sql)
    }

    /// A count.
    pub async fn count(&self, sql: &'static str) -> i64 {
        let mut connection = self.connect().await;
        let count = sqlx::query_scalar(sql).fetch_one(&mut connection).await;
        count.expect(sql)
    }

    /// From now on a refresh token that is used was used an hour later than the relay says: a slow
    /// machine makes nobody a thief who shows it again.
    pub async fn stretch_grace(&self) {
        let statements: &[&'static str] = match self.url.starts_with("sqlite:") {
            true => &[
                "CREATE TRIGGER stretch_grace AFTER UPDATE OF used_at ON relay_refresh_tokens \
                 BEGIN UPDATE relay_refresh_tokens SET used_at = used_at + 3600000 WHERE hash = NEW.hash; END",
            ],
            false => &[
                "CREATE FUNCTION stretch_grace() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN NEW.used_at := NEW.used_at + 3600000; RETURN NEW; END $$",
                "CREATE TRIGGER stretch_grace BEFORE UPDATE OF used_at ON relay_refresh_tokens \
                 FOR EACH ROW EXECUTE FUNCTION stretch_grace()",
            ],
        };
        for sql in statements {
            self.change(sql).await;
        }
    }

    /// Runs a command of the command line on it.
    pub async fn command(&self, arguments: &[&str], input: &str) -> Output {
        let variables = [
            ("DATABASE_URL", self.url.as_str()),
            ("SECRET_KEY", SECRET_KEY),
            PATIENT,
        ];
        let mut command = command(&self.folder, &variables);
        command.args(arguments);
        command.stdin(std::process::Stdio::piped());
        command.stdout(std::process::Stdio::piped());
        command.stderr(std::process::Stdio::piped());
        let mut child = command.spawn().expect("the binary");
        let mut stdin = child.stdin.take().expect("piped");
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        child.wait_with_output().await.expect("it ends")
    }

    /// The same, for one that succeeds with JSON.
    pub async fn json(&self, arguments: &[&str], input: &str) -> Value {
        let output = self.command(arguments, input).await;
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{arguments:?}: {out}{err}");
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{arguments:?}: {out}{err}"))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What a login gave.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
}

impl Tokens {
    pub fn of(answer: &Answer) -> Tokens {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let json = answer.json();
        let text = |name: &str| json[name].as_str().expect(name).to_owned();
        Tokens {
            access: text("access_token"),
            refresh: text("refresh_token"),
        }
    }

    /// The header that carries the access token.
    pub fn bearer(&self) -> String {
        format!("Authorization: Bearer {}", self.access)
    }
}

/// A relay with accounts in front of a stand-in upstream.
pub struct People {
    pub upstream: FakeOpenAi,
    pub relay: Relay,
    pub database: Database,
}

impl People {
    pub async fn start(home: Home) -> People {
        People::start_with(home, &[]).await
    }

    /// With further variables; a later value wins, an empty one unsets.
    pub async fn start_with(home: Home, extra: &[(&str, &str)]) -> People {
        People::start_on(Database::new(home).await, extra).await
    }

    pub async fn start_on(database: Database, extra: &[(&str, &str)]) -> People {
        let upstream = upstream().await;
        let relay = start_relay(&upstream, &database, extra).await;
        People {
            upstream,
            relay,
            database,
        }
    }

    /// Another relay on the same database.
    pub async fn replica(&self, extra: &[(&str, &str)]) -> Relay {
        start_relay(&self.upstream, &self.database, extra).await
    }

    /// One request with a body of JSON, if any.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Answer {
        let lines = token.map(|token| format!("Authorization: Bearer {token}"));
        let lines: Vec<&str> = lines.as_deref().into_iter().collect();
        call(&self.relay, method, path, &lines, body).await
    }

    /// The same without a token.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, None, Some(body)).await
    }

    /// Registers a user with everybody's password.
    pub async fn register(&self, name: &str) -> Value {
        let body = json!({
            "username": name,
            "email": format!("{}@example.com", name.replace(' ', "")),
            "password": PASSWORD,
        });
        let answer = self.post("/api/v1/auth/register", &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    /// Logs in with everybody's password.
    pub async fn log_in(&self, name: &str) -> Tokens {
        Tokens::of(&self.try_log_in(name, PASSWORD).await)
    }

    /// Tries to log in.
    pub async fn try_log_in(&self, name: &str, password: &str) -> Answer {
        let body = json!({ "username": name, "password": password });
        self.post("/api/v1/auth/login", &body).await
    }

    /// Registers and logs in.
    pub async fn join(&self, name: &str) -> Tokens {
        self.register(name).await;
        self.log_in(name).await
    }

    /// An admin who is logged in, made on the command line.
    pub async fn admin(&self) -> Tokens {
        let add = [
            "user",
            "add",
            "root-admin",
            "root@example.com",
            "--admin",
            "--json",
        ];
        self.database.json(&add, &format!("{PASSWORD}\n")).await;
        self.log_in("root-admin").await
    }

    /// Whether an access token opens the relay.
    pub async fn opens(&self, tokens: &Tokens) -> bool {
        let answer = self
            .call("GET", "/v1/models", Some(&tokens.access), None)
            .await;
        assert!(matches!(answer.status, 200 | 401), "{}", answer.text());
        answer.status == 200
    }
}

async fn start_relay(upstream: &FakeOpenAi, database: &Database, extra: &[(&str, &str)]) -> Relay {
    let base_url = upstream.base_url();
    let mut variables = vec![
        ("OPENAI_API_KEY", SERVER_KEY),
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("SECRET_KEY", SECRET_KEY),
        ("DATABASE_URL", database.url.as_str()),
        // Tests ask more of the accounts API than people do.
        ("RATE_LIMIT_REQUESTS", "off"),
        PATIENT,
    ];
    variables.extend_from_slice(extra);
    Relay::start(&variables).await
}

/// One request with a body of JSON, if any, to any relay.
pub async fn call(
    relay: &Relay,
    method: &str,
    path: &str,
    lines: &[&str],
    body: Option<&Value>,
) -> Answer {
    let mut lines = lines.to_vec();
    let body = body.map(Value::to_string);
    if body.is_some() {
        lines.push("Content-Type: application/json");
    }
    let bytes = request(method, path, &lines, body.unwrap_or_default().as_bytes());
    let answer = send(relay.address(), bytes).await;
    answer.unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

/// Makes two tests of one, which must hold on both databases.
#[allow(unused_macros, reason = "for the tests alone")]
macro_rules! on_both {
    ($(#[$attribute:meta])* async fn $name:ident($home:ident: Home) $body:block) => {
        mod $name {
            use super::*;

            async fn holds($home: Home) $body

            $(#[$attribute])*
            #[tokio::test]
            async fn on_sqlite() {
                holds(Home::Sqlite).await;
            }

            $(#[$attribute])*
            #[tokio::test]
            async fn on_postgres() {
                holds(Home::Postgres).await;
            }
        }
    };
}
pub(crate) use on_both;
