//! `serve`: the relay itself.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{runtime, supervisor};
use crate::app::App;
use crate::config::Loaded;
use crate::telemetry;
use crate::telemetry::LogWriter;

pub(super) fn run(loaded: &Loaded) -> Result<ExitCode> {
    let log = telemetry::init(&loaded.config.log)?;
    let runtime = runtime()?;
    runtime.block_on(async {
        for note in &loaded.notes {
            tracing::warn!("{note}");
        }
        let mut signals = Signals::listen()?;
        if loaded.config.log.file.is_none() && io::stderr().is_terminal() {
            signals.leave_with_terminal()?;
        }
        let hangup = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
        let app = App::build(&loaded.config).await?;
        tracing::info!(
            address = %app.local_addr()?,
            upstream = %loaded.config.upstream.base,
            version = env!("CARGO_PKG_VERSION"),
            "listening"
        );
        if let Some(address) = app.monitoring_addr()? {
            tracing::info!(%address, "listening for monitoring");
        }
        supervisor::ready();
        let stop = async {
            signals.first().await;
            supervisor::stopping();
        };
        tokio::select! {
            () = app.run(stop) => {}
            never = reopen_on_hangup(hangup, &log) => never,
            () = supervisor::alive() => {}
        }
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    })
}

/// SIGHUP opens `LOG_FILE` anew, as those who move log files away expect.
async fn reopen_on_hangup(mut hangup: Signal, log: &LogWriter) {
    while hangup.recv().await.is_some() {
        log.reopen();
        tracing::info!("SIGHUP: LOG_FILE is opened anew");
    }
    std::future::pending::<()>().await;
}

async fn hung_up(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => _ = hangup.recv().await,
        None => std::future::pending().await,
    }
}

/// SIGTERM and SIGINT, and SIGHUP where it comes from the terminal: the first asks to drain, the second
/// ends the process at once.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// Takes the signals over from their default, which is to die.
    pub(super) fn listen() -> Result<Signals> {
        let terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
        Ok(Signals {
            terminate,
            interrupt,
            hangup: None,
        })
    }

    /// The terminal's end is one more reason to stop.
    fn leave_with_terminal(&mut self) -> Result<()> {
        self.hangup = Some(signal(SignalKind::hangup()).context("listening for SIGHUP")?);
        Ok(())
    }

    /// Ends with the first signal; a second one exits with 130, as a shell would report it.
    pub(super) async fn first(mut self) {
        self.any().await;
        // Ends with the process; there is nothing to wait for.
        #[allow(clippy::disallowed_methods)]
        tokio::spawn(async move {
            self.any().await;
            std::process::exit(130);
        });
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = hung_up(&mut self.hangup) => {}
        }
    }
}
