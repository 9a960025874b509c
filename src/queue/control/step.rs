//! How much one step does.

/// Jobs that one step looks at or changes.
pub(crate) const STEP: usize = 200;
