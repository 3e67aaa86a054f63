//! A real Postgres: one for all tests of a process, and more where a test stops one.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

/// A server; it ends with this, or with the process.
pub struct Postgres {
    port: u16,
    /// Its end ends the server.
    input: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _child: Child,
}

impl Postgres {
    /// The one that tests share.
    pub fn shared() -> &'static Postgres {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Postgres::start)
    }

    /// One of a test's own.
    pub fn start() -> Postgres {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("its address").port();
        drop(free);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/lib/postgres");
        let mut child = Command::new(script)
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/lib/postgres");
        let input = child.stdin.take().expect("piped");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        assert_eq!(line.trim(), "ready", "Postgres did not start: see above");
        Postgres {
            port,
            input: Mutex::new((input, output)),
            _child: child,
        }
    }

    /// Tells the script `stop`, `start`, `pause` or `continue`, and waits until it is done.
    pub fn tell(&self, command: &str) {
        let mut input = self.input.lock().unwrap();
        writeln!(input.0, "{command}").expect("it listens");
        let mut line = String::new();
        input.1.read_line(&mut line).expect("a line");
        assert_eq!(line.trim(), "done", "{command}");
    }

    /// The URL of a fresh database.
    pub fn database(&self) -> String {
        let name = format!("relay_{}", uuid::Uuid::new_v4().simple());
        self.tell(&format!("database {name}"));
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }
}
