//! Why a file is not an image that can be used.

/// Why a file is not an image that can be used. The messages do not repeat the file's name.
///
/// Exhaustive, so that whoever sorts errors hears of a new one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The content is not an image at all.
    #[error("cannot identify image file: {0}")]
    NotAnImage(&'static str),

    /// The file began well, but is damaged, contradicts itself or ends too early.
    #[error("image is corrupt or truncated: {0}")]
    Corrupt(String),

    /// A sound file that uses something not built here.
    #[error("image uses an unsupported feature: {0}")]
    Unsupported(String),

    /// The pixels would take more memory than allowed.
    #[error("image is too large: needs {needed_bytes} bytes, allowed are {limit_bytes}")]
    TooLarge {
        /// Bytes that the file's header asks for.
        needed_bytes: u64,
        /// [`Limits::max_decoded_bytes`](crate::Limits::max_decoded_bytes).
        limit_bytes: u64,
    },
}

impl Error {
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt(what.into())
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported(what.into())
    }
}
