//! A Redis server of a test's own: started in a folder that goes away with it, killed, stopped, and
//! started again. Stands alone, so that the unit tests use it too.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to start on the slowest machine.
const SOON: Duration = Duration::from_secs(120);

/// A running server; killed when dropped.
pub struct RedisServer {
    child: Child,
    port: u16,
    folder: PathBuf,
    is_sentinel: bool,
}

impl RedisServer {
    /// Starts one on a free loopback port that forgets everything when it ends.
    pub fn start() -> RedisServer {
        RedisServer::start_with("")
    }

    /// The same with further lines in its configuration.
    pub fn start_with(lines: &str) -> RedisServer {
        let lines = format!("save \"\"\nappendonly no\n{lines}");
        RedisServer::launched(&lines, false)
    }

    /// A sentinel that watches over a server under the name `main`.
    pub fn sentinel_of(server: &RedisServer) -> RedisServer {
        RedisServer::sentinel_with(server, "")
    }

    /// The same with further lines in its configuration.
    pub fn sentinel_with(server: &RedisServer, lines: &str) -> RedisServer {
        let port = server.port;
        let lines = format!(
            "sentinel monitor main 127.0.0.1 {port} 1\nsentinel down-after-milliseconds main 2000\n\
             sentinel failover-timeout main 6000\n{lines}"
        );
        RedisServer::launched(&lines, true)
    }

    fn launched(lines: &str, is_sentinel: bool) -> RedisServer {
        // Somebody else may take the port first.
        for _ in 0..10 {
            let (port, folder) = (free_port(), new_folder());
            let text = format!(
                "port {port}\nbind 127.0.0.1\ndir {}\n{lines}",
                folder.display()
            );
            std::fs::write(folder.join("redis.conf"), text).expect("a file");
            let mut server = RedisServer {
                child: launch(&folder, is_sentinel),
                port,
                folder,
                is_sentinel,
            };
            if server.answers() {
                return server;
            }
        }
        panic!("no Redis server could be started");
    }

    /// What `REDIS_URL` is for it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().expect("a process");
        self.child.wait().expect("an end");
    }

    /// Starts it again where it was, with nothing in it.
    pub fn restart(&mut self) {
        self.child = launch(&self.folder, self.is_sentinel);
        assert!(self.answers(), "the server starts again");
    }

    /// Lets it hang: connections stay, answers do not come.
    pub fn hang(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    /// Says a command and returns the answer as it comes over the wire.
    pub fn say(&self, command: &str) -> String {
        say(self.port, command).unwrap_or_else(|error| panic!("no answer to {command}: {error}"))
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(status.expect("kill").success());
    }

    /// Waits until it answers; false if it ended instead.
    fn answers(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < SOON {
            if self.child.try_wait().expect("a process").is_some() {
                return false;
            }
            if say(self.port, "PING").is_ok_and(|answer| answer.starts_with(['+', '-'])) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the Redis server does not answer");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn new_folder() -> PathBuf {
    let name = format!("openai-relay-redis-{}", uuid::Uuid::new_v4().simple());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn launch(folder: &Path, is_sentinel: bool) -> Child {
    let mut command = Command::new("redis-server");
    command.arg(folder.join("redis.conf"));
    if is_sentinel {
        command.arg("--sentinel");
    }
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn();
    child.expect("redis-server, of the Debian package of that name")
}

fn say(port: u16, command: &str) -> io::Result<String> {
    let mut stream = loop {
        // A child that ends interrupts it.
        match TcpStream::connect(("127.0.0.1", port)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            connected => break connected?,
        }
    };
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 65_536];
    while !is_whole(&answer) {
        let read = match stream.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&piece[..read]);
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Whether an answer has come to its end; of lists only flat ones of texts.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((first, _)) = text.split_once("\r\n") else {
        return false;
    };
    let number = first.get(1..).and_then(|rest| rest.parse::<usize>().ok());
    let lines = text.matches("\r\n").count();
    match (first.chars().next(), number) {
        (Some('$'), Some(length)) => answer.len() >= first.len() + length + 4,
        (Some('*'), Some(items)) => lines > 2 * items,
        _ => true,
    }
}
