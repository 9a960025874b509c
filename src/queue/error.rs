//! What Redis refuses, and for how long.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// An error that waiting does not cure, such as a queue name that holds another type.
#[derive(Debug, thiserror::Error)]
#[error("redis refused to {operation}: {cause}")]
pub struct Error {
    operation: &'static str,
    cause: RedisError,
}

impl Error {
    /// Says what was attempted when Redis refused.
    pub(super) fn refused(operation: &'static str) -> impl FnOnce(RedisError) -> Self {
        move |cause| Self { operation, cause }
    }
}

/// Codes of answers that say "not now".
const NOT_NOW: [&str; 11] = [
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "NOSCRIPT", // flushed between loading it and the call
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "UNBLOCKED",
];

/// Whether the same command may well succeed later, on a fresh connection.
pub(super) fn is_transient(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, NoScript, ReadOnly, TryAgain};
    match error.kind() {
        ErrorKind::Io => true,
        ErrorKind::Server(
            BusyLoading | ClusterDown | MasterDown | NoScript | ReadOnly | TryAgain,
        ) => true,
        _ if error.is_connection_dropped() => true,
        _ if error.code().is_some_and(|code| NOT_NOW.contains(&code)) => true,
        // Before Redis 7, what a command inside a script answered came in the text: `… @user_script: 12: -READONLY You …`.
        _ => error.detail().is_some_and(|text| {
            NOT_NOW
                .iter()
                .any(|code| text.contains(&format!("-{code} ")))
        }),
    }
}
