//! Why an object could not be read or written.

use std::time::Duration;

use crate::error_class::{Classify, ErrorClass};

/// Which way an object was to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Out of the bucket.
    Read,
    /// Into the bucket.
    Write,
}

impl Direction {
    /// The word in metrics and traces.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Why an object could not be fetched or stored. Messages are fit for users: no secrets, no local paths.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such object.
    #[error("`{key}` is not in {bucket}")]
    NotFound {
        /// Key of the object.
        key: String,
        /// Where it should be.
        bucket: String,
    },
    /// The credentials do not suffice.
    #[error("{bucket} denies access to `{key}` ({reason})")]
    PermissionDenied {
        /// Key of the object.
        key: String,
        /// Where it is.
        bucket: String,
        /// The answer of the store.
        reason: String,
        /// Which way it was to go.
        direction: Direction,
    },
    /// The object is larger than the settings allow.
    #[error("`{key}` in {bucket} has {size_bytes} bytes, more than the limit of {limit_bytes}")]
    TooLarge {
        /// Key of the object.
        key: String,
        /// Where it is.
        bucket: String,
        /// Its size.
        size_bytes: u64,
        /// The largest that is allowed.
        limit_bytes: u64,
    },
    /// The same for an object of which the store does not tell the size.
    #[error("`{key}` in {bucket} has more bytes than the limit of {limit_bytes}")]
    LongerThanLimit {
        /// Key of the object.
        key: String,
        /// Where it is.
        bucket: String,
        /// The largest that is allowed.
        limit_bytes: u64,
    },
    /// The object was replaced while it was read piece by piece.
    #[error("`{key}` in {bucket} changed while it was being read")]
    ChangedWhileReading {
        /// Key of the object.
        key: String,
        /// Where it is.
        bucket: String,
    },
    /// The text does not name an object that can be in the bucket.
    #[error("`{reference}` does not name an object in {bucket}: {reason}")]
    InvalidReference {
        /// The key or URL, without its query and at most 200 characters of it.
        reference: String,
        /// The bucket of the settings.
        bucket: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A transient error has lasted longer than the settings allow.
    #[error("gave up on `{key}` in {bucket} after {attempts} attempts in {} s: {reason}", elapsed.as_secs())]
    Unavailable {
        /// Key of the object.
        key: String,
        /// Where it is or should go.
        bucket: String,
        /// How often it was attempted.
        attempts: u32,
        /// How long that took.
        elapsed: Duration,
        /// What the last attempt met.
        reason: String,
        /// Which way it was to go.
        direction: Direction,
    },
    /// The store refuses for another reason.
    #[error("request for `{key}` in {bucket} failed: {reason}")]
    Other {
        /// Key of the object.
        key: String,
        /// Where it is or should go.
        bucket: String,
        /// The answer of the store.
        reason: String,
        /// Which way it was to go.
        direction: Direction,
    },
    /// The settings do not make a client. For operators: the reason may name a local file.
    #[error("{bucket} cannot be opened: {reason}")]
    Open {
        /// The bucket of the settings.
        bucket: String,
        /// What is wrong.
        reason: String,
    },
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            // What was never there, or has been cleaned away, does not come back by itself.
            Self::NotFound { .. } | Self::InvalidReference { .. } => ErrorClass::InvalidInput,
            Self::TooLarge { .. } | Self::LongerThanLimit { .. } => ErrorClass::TooLarge,
            Self::ChangedWhileReading { .. } => ErrorClass::StorageRead,
            Self::PermissionDenied { direction, .. }
            | Self::Unavailable { direction, .. }
            | Self::Other { direction, .. } => match direction {
                Direction::Read => ErrorClass::StorageRead,
                Direction::Write => ErrorClass::StorageWrite,
            },
            Self::Open { .. } => ErrorClass::Internal,
        }
    }
}

/// Why one attempt did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may succeed later; the text says what was seen.
    Transient(String),
    /// It will fail again.
    Permanent(Error),
}
