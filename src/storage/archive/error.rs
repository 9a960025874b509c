//! Why an archive could not be written or read.

use crate::error_class::{Classify, ErrorClass};

/// Why an archive could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// An entry cannot be read without a password.
    #[error("`{0}` in the archive is encrypted")]
    Encrypted(String),

    /// An entry cannot be unpacked.
    #[error("`{path}` in the archive cannot be unpacked: {reason}")]
    Damaged {
        /// The entry.
        path: String,
        /// What is wrong with it.
        reason: String,
    },

    /// Images take more bytes of the archive than it has, so some of them take the same.
    #[error("images in the archive overlap")]
    Overlap,

    /// The list of entries is larger than one of so many images can be.
    #[error("the archive's list of entries takes more than {limit} bytes")]
    LongList {
        /// How many bytes it may have.
        limit: u64,
    },

    /// There are more images than allowed.
    #[error("the archive holds {entries} images, more than the limit of {limit}")]
    TooMany {
        /// Images in the archive.
        entries: usize,
        /// How many are allowed.
        limit: usize,
    },

    /// An entry unpacks to more than allowed, by itself or with those before it.
    #[error("`{path}` in the archive unpacks to more than its limit of {limit} bytes")]
    TooLarge {
        /// The entry.
        path: String,
        /// How many bytes it may have.
        limit: u64,
    },

    /// The bytes are not a zip archive, or a damaged one.
    #[error("File is not a zip file")]
    NotAnArchive,

    /// An archive could not be written.
    #[error("cannot write the zip archive")]
    Zip(#[from] zip::result::ZipError),
}

impl Classify for ArchiveError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::TooMany { .. } | Self::TooLarge { .. } | Self::LongList { .. } => {
                ErrorClass::TooLarge
            }
            Self::Encrypted(_) => ErrorClass::Unsupported,
            Self::Damaged { .. } | Self::Overlap | Self::NotAnArchive | Self::Zip(_) => {
                ErrorClass::InvalidInput
            }
        }
    }
}
