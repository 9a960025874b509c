//! Why a movie cannot be tracked or a lineage cannot be used.

/// What is wrong with a movie or a lineage. The fault is always in the input: trying again does not help.
///
/// Exhaustive, so that whoever sorts errors hears of a new one.
#[derive(Debug, thiserror::Error)]
pub enum TrackingError {
    /// Movie and labels are not `[frame, row, column, 1]` of the same size.
    #[error("{0}")]
    Shape(String),

    /// One frame has labels or pixels that cannot be used.
    #[error("frame {frame} of the movie cannot be tracked: {reason}")]
    Frame {
        /// Its place in the movie, from 0.
        frame: usize,
        /// What is wrong with it.
        reason: String,
    },

    /// A text does not hold a lineage.
    #[error("the lineage cannot be read: {0}")]
    UnreadableLineage(String),

    /// A label of the images has no entry in the lineage.
    #[error("label {0} is not in the lineage")]
    MissingLabel(i32),

    /// A label is too large for an image of 16 bits.
    #[error("label {0} does not fit into the 16 bits of a mask")]
    LabelTooLarge(i32),
}
