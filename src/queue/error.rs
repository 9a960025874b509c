//! What Redis refuses.

use redis::RedisError;

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
