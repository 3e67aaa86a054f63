//! The stand-in as a process: prints one JSON line when ready, and serves until it is told to stop.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use fake_openai::{Certificate, FakeOpenAi, Options};
use tokio::signal::unix::{SignalKind, signal};

/// A strict stand-in for OpenAI's API.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The project key that it takes
    #[arg(long, default_value = fake_openai::DEFAULT_KEY)]
    key: String,
    /// Speak TLS, with an authority of its own
    #[arg(long)]
    tls: bool,
    /// Where to write that authority, in PEM
    #[arg(long)]
    ca_file: Option<PathBuf>,
    /// Pause between the chunks of a stream, in milliseconds
    #[arg(long, default_value_t = 0)]
    chunk_delay_ms: u64,
    /// Time between two pings on a WebSocket, in milliseconds; 0 for none
    #[arg(long, default_value_t = 20_000)]
    ping_interval_ms: u64,
    /// The longest life of a session on a WebSocket, in milliseconds
    #[arg(long, default_value_t = 3_600_000)]
    session_length_ms: u64,
    /// How much sound makes a turn of the user, in milliseconds
    #[arg(long, default_value_t = 1000)]
    turn_length_ms: u64,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let fake = FakeOpenAi::start(Options {
        listen: arguments.listen,
        server_key: arguments.key,
        tls: arguments.tls.then_some(Certificate::Good),
        chunk_delay: Duration::from_millis(arguments.chunk_delay_ms),
        ping_interval: Duration::from_millis(arguments.ping_interval_ms),
        session_length: Duration::from_millis(arguments.session_length_ms),
        turn_length: Duration::from_millis(arguments.turn_length_ms),
    })
    .await?;
    if let (Some(path), Some(pem)) = (&arguments.ca_file, fake.ca_pem()) {
        std::fs::write(path, pem)?;
    }
    let ready = serde_json::json!({
        "base_url": fake.base_url(),
        "key": fake.server_key(),
        "ca_file": arguments.ca_file,
    });
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{ready}")?;
    stdout.flush()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
