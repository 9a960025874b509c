//! Why a command did nothing.

use crate::queue::JobKey;

/// The command line asks for something that cannot be: exit status 64.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misuse(pub(crate) String);

/// Refused for now, and nothing was changed: exit status 75.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

impl Misuse {
    /// Nothing is under the key that is named.
    pub(crate) fn no_job(key: &JobKey) -> Self {
        Self(format!(
            "there is no job {key}: it has expired, was deleted, or the key is mistyped"
        ))
    }
}
