//! When somebody wants a command to end.

use tokio::signal::unix::{SignalKind, signal};

/// Ends with the first Ctrl-C or SIGTERM from now on.
pub async fn asked() {
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        // Then the signals do what they do without us.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
