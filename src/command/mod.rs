//! The command line: what each command does, and the exit codes (0 done, 1 failed, 2 configuration).

mod allowed;
mod check;
mod csv;
mod demo;
mod healthcheck;
mod import;
mod invite;
mod key;
mod person;
mod serve;
mod settings;
mod supervisor;
mod user;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::config::{self, ConfigErrors, Loaded, Sources};

/// Exit code for a configuration that cannot be used.
const EXIT_CONFIG: u8 = 2;

/// A relay between your clients and OpenAI: lends the server's key without showing it.
///
/// Configured by environment variables, `.env` and `.env.local`; see docs/configuration.md, or run
/// `openai-relay config` for what is in effect.
#[derive(Debug, Parser)]
#[command(name = "openai-relay", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or Ctrl-C (the default)
    Serve,
    /// Serve in front of a stand-in for OpenAI: no key, no network, nothing to install
    Demo,
    /// Read the configuration, dial OpenAI, and say in words what works and who may do what
    Check,
    /// Ask a running relay for /health; the exit code is the answer (for containers without a shell)
    Healthcheck,
    /// Print every setting, its value (secrets masked) and where it came from
    Config,
    /// Look after users, beside a running relay or without one
    User(user::Arguments),
    /// Look after invites, for REGISTRATION=invite
    Invite(invite::Arguments),
    /// Look after relay keys: credentials with rules, one for each client
    Key(key::Arguments),
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let command = Arguments::parse().command.unwrap_or(Command::Serve);
    let done = match command {
        Command::Demo => demo::run(),
        Command::Serve => load().and_then(|loaded| serve::run(&loaded)),
        Command::Check => load().and_then(|loaded| check::run(&loaded)),
        Command::Healthcheck => load().and_then(|loaded| healthcheck::run(&loaded.config)),
        Command::Config => load().and_then(|loaded| settings::run(&loaded)),
        Command::User(arguments) => load().and_then(|loaded| user::run(arguments, &loaded.config)),
        Command::Key(arguments) => load().and_then(|loaded| key::run(arguments, &loaded.config)),
        Command::Invite(arguments) => {
            load().and_then(|loaded| invite::run(arguments, &loaded.config))
        }
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "openai-relay: {error:#}");
            if error.is::<ConfigErrors>() {
                ExitCode::from(EXIT_CONFIG)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn load() -> Result<Loaded> {
    let directory = std::env::current_dir().context("the working directory")?;
    let sources = Sources::from_process(&directory)?;
    Ok(config::load(&sources)?)
}

/// A command's runtime: one thread. A server starts more of them, one for each core.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")
}

/// Writes to standard output; a closed pipe is not an error worth a word.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
