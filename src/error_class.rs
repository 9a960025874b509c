//! What kind of failure an error is, for every layer: it decides whether a job is retried.

use std::fmt::{self, Display};

/// The kinds of failure, as the job's hash and the metrics name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The job or its file is wrong.
    InvalidInput,
    /// The file or the job asks for something that is not built.
    Unsupported,
    /// The file or the work on it is larger than allowed.
    TooLarge,
    /// The server does not have the model.
    ModelMissing,
    /// The model, or its server, takes something else than it is given.
    ModelMismatch,
    /// The model server is absent or overloaded.
    ModelUnavailable,
    /// Something that a command needs is absent or overloaded.
    Unavailable,
    /// Something took too long.
    Deadline,
    /// The input could not be fetched.
    StorageRead,
    /// The result could not be stored.
    StorageWrite,
    /// A consumer panicked, or died while it worked the job.
    Crash,
    /// An operator wanted the job to end.
    Cancelled,
    /// Anything else.
    Internal,
}

impl ErrorClass {
    /// The word in the job's hash and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::Unsupported => "unsupported",
            Self::TooLarge => "too_large",
            Self::ModelMissing => "model_missing",
            Self::ModelMismatch => "model_mismatch",
            Self::ModelUnavailable => "model_unavailable",
            Self::Unavailable => "unavailable",
            Self::Deadline => "deadline",
            Self::StorageRead => "storage_read",
            Self::StorageWrite => "storage_write",
            Self::Crash => "crash",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }

    /// Whether the same job may well succeed later, with nothing changed about it.
    pub fn is_transient(self) -> bool {
        match self {
            Self::ModelMissing
            | Self::ModelUnavailable
            | Self::Unavailable
            | Self::Deadline
            | Self::StorageRead
            | Self::StorageWrite
            | Self::Crash => true,
            Self::InvalidInput
            | Self::Unsupported
            | Self::TooLarge
            | Self::ModelMismatch
            | Self::Cancelled
            | Self::Internal => false,
        }
    }
}

impl Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error that knows its class. The match stands beside the variants, so that a forgotten one does not compile.
pub(crate) trait Classify {
    /// What kind of failure it is.
    fn class(&self) -> ErrorClass;
}

/// Gives an error of a consumer's own a class.
pub trait WithClass<T> {
    /// The same result; its error has this class, whatever caused it.
    ///
    /// # Errors
    ///
    /// The same error.
    fn with_class(self, class: ErrorClass) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> WithClass<T> for Result<T, E> {
    fn with_class(self, class: ErrorClass) -> anyhow::Result<T> {
        self.map_err(|error| Classified(class, error.into()).into())
    }
}

/// An error of this class.
pub(crate) fn error_of(class: ErrorClass, text: String) -> anyhow::Error {
    Classified(class, anyhow::Error::msg(text)).into()
}

/// An error with a class that a consumer has given it.
#[derive(Debug)]
pub(crate) struct Classified(ErrorClass, anyhow::Error);

impl Display for Classified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.1, f)
    }
}

impl std::error::Error for Classified {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.1.chain().nth(1)
    }
}

impl Classify for Classified {
    fn class(&self) -> ErrorClass {
        self.0
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

impl Classify for InvalidInput {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl Classify for Unsupported {
    fn class(&self) -> ErrorClass {
        ErrorClass::Unsupported
    }
}

impl Classify for TooLarge {
    fn class(&self) -> ErrorClass {
        ErrorClass::TooLarge
    }
}
