//! What a supervisor such as systemd hears of the relay (sd_notify(3)). Without one nobody is told.

use std::io;

use sd_notify::NotifyState;

/// It serves.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// It was asked to stop, and drains.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says again and again that the runtime turns, where somebody wants to hear it. Never ends.
pub(super) async fn alive() {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    // Half of the time, as sd_watchdog_enabled(3) advises.
    let mut beat = tokio::time::interval(patience / 2);
    loop {
        beat.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    let told: io::Result<()> = sd_notify::notify(states);
    if let Err(error) = told {
        tracing::warn!("the supervisor at NOTIFY_SOCKET was not told: {error}");
    }
}
