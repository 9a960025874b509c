//! How long a peer may think about a question of `check`.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

/// Longest time for one question to a peer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The answer, or what is to be said if there is none in time.
pub(crate) async fn asked<T, E: Display>(
    question: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, question).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
