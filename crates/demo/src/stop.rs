//! When to stop: SIGTERM or SIGINT.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that the first signal cancels; the second one ends the process.
pub(crate) fn on_signals() -> CancellationToken {
    let stop = CancellationToken::new();
    tokio::spawn(cancel_on_signals(stop.clone()));
    stop
}

async fn cancel_on_signals(stop: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return;
    };
    loop {
        let status = tokio::select! {
            _ = terminate.recv() => 143,
            _ = interrupt.recv() => 130,
        };
        if stop.is_cancelled() {
            std::process::exit(status);
        }
        stop.cancel();
    }
}
