//! The one door from async to the CPU.
//!
//! Decoding, arrays, zip and encoding run here, on threads that may be busy for as long as it takes, so that the
//! threads which keep leases alive and talk to peers never are. Inside, pure code uses rayon.

use tracing::Span;

/// Runs `work` on a thread that may block, inside the caller's log span.
///
/// Dropping the future does not stop the work. A panic in `work` is passed on to the caller.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let span = Span::current();
    let task = tokio::task::spawn_blocking(move || span.in_scope(work));
    match task.await {
        Ok(value) => value,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Only a runtime that is shutting down cancels blocking work, and then nobody waits for the value.
        Err(_) => std::future::pending().await,
    }
}
