//! The command line at a real terminal.

use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::support::people::{Home, People};
use crate::support::relay::SOON;

/// A shell that runs this line at a terminal of its own.
fn terminal(line: &str, variables: &[(&str, &str)]) -> Child {
    Command::new("script")
        .args(["--quiet", "--return", "--command", line, "/dev/null"])
        .envs(variables.iter().copied())
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("util-linux")
}

/// The next of what the terminal shows, up to and including this.
async fn until(terminal: &mut (impl AsyncReadExt + Unpin), wanted: &str) -> String {
    let mut shown = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&shown).contains(wanted) {
            let byte = terminal.read_u8().await;
            shown.push(byte.unwrap_or_else(|_| panic!("the end, before {wanted:?}")));
        }
    };
    let read = tokio::time::timeout(SOON, reading).await;
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert!(read.is_ok(), "{shown:?} instead of {wanted:?}");
    shown
}

#[tokio::test]
async fn a_password_that_is_given_up_leaves_the_terminal_as_it_was() {
    let people = People::start(Home::Sqlite).await;
    people.register("alice").await;
    let binary = env!("CARGO_BIN_EXE_openai-relay");
    // The shell goes on after what Ctrl-C ends.
    let line = format!("trap : INT; '{binary}' user passwd alice; stty -a; echo END");
    let mut script = terminal(&line, &[("DATABASE_URL", &people.database.url)]);
    let mut keys = script.stdin.take().expect("piped");
    let mut screen = script.stdout.take().expect("piped");
    until(&mut screen, "Password: ").await;
    keys.write_all(b"half a pass\x03")
        .await
        .expect("a terminal");
    let shown = until(&mut screen, "END").await;
    assert!(!shown.contains("half a pass"), "{shown}");
    assert!(
        shown.contains(" echo ") && !shown.contains(" -echo "),
        "{shown}"
    );
    people.log_in("alice").await;
}

#[tokio::test]
async fn a_relay_without_a_log_file_leaves_with_its_terminal() {
    let binary = env!("CARGO_BIN_EXE_openai-relay");
    let line = format!("'{binary}' serve & echo PID=$!.; wait $!; echo CODE=$?.");
    let mut script = terminal(&line, &[("HOST", "127.0.0.1"), ("PORT", "0")]);
    let mut screen = script.stdout.take().expect("piped");
    until(&mut screen, "PID=").await;
    let pid = until(&mut screen, ".").await;
    until(&mut screen, "listening").await;
    let mut hangup = Command::new("kill");
    hangup.args(["-HUP", pid.trim_end_matches('.')]);
    assert!(hangup.status().await.expect("kill").success());
    until(&mut screen, "CODE=0.").await;
}
