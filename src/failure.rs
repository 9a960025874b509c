//! What kind of failure an error is, for every layer: it decides whether a job is tried again.

use std::fmt::{self, Display};

/// The kinds of failure, as the job's hash and the metrics name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The job or its file is wrong.
    InvalidInput,
    /// The file or the job asks for something that is not built.
    Unsupported,
    /// The file or the work on it is larger than allowed.
    TooLarge,
    /// The server does not have the model.
    ModelMissing,
    /// The model server is absent or overloaded.
    ModelUnavailable,
    /// Something took longer than it may.
    Deadline,
    /// The input could not be fetched.
    StorageRead,
    /// The result could not be stored.
    StorageWrite,
    /// A consumer panicked, or died while it worked the job.
    Crash,
    /// Anything else.
    Internal,
}

impl Class {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::Unsupported => "unsupported",
            Self::TooLarge => "too_large",
            Self::ModelMissing => "model_missing",
            Self::ModelUnavailable => "model_unavailable",
            Self::Deadline => "deadline",
            Self::StorageRead => "storage_read",
            Self::StorageWrite => "storage_write",
            Self::Crash => "crash",
            Self::Internal => "internal",
        }
    }

    /// Whether the same job may well succeed later, with nothing changed about it.
    pub fn is_passing(self) -> bool {
        match self {
            Self::ModelMissing
            | Self::ModelUnavailable
            | Self::Deadline
            | Self::StorageRead
            | Self::StorageWrite
            | Self::Crash => true,
            Self::InvalidInput | Self::Unsupported | Self::TooLarge | Self::Internal => false,
        }
    }
}

impl Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The user asked for something that cannot be done; the text says what and why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidInput(pub String);

/// The user asked for something that is not built; the text says what there is instead.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unsupported(pub String);

/// The user's image, or the work on it, is larger than the operator allows.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TooLarge(pub String);
