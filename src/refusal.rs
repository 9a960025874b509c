//! Why something that an operator wants is not done.

use std::fmt::Display;

/// What is asked for cannot be, for instance as nothing has the name: exit status 64 of a command.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misuse(pub(crate) String);

/// Refused for now, and nothing was changed: exit status 75 of a command.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

impl Misuse {
    /// Nothing is under the key that is named.
    pub(crate) fn no_job(key: impl Display) -> Self {
        Self(format!(
            "there is no job `{key}`: it has expired, was deleted, or the key is mistyped"
        ))
    }
}
