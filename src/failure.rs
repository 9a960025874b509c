//! The error that is the user's to mend, for every layer to use.

/// The user asked for something that cannot be done; the text says what and why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidInput(pub String);
