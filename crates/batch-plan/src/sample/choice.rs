//! What a sample is to have, and why it cannot be made.

use crate::job::RenderError;
use crate::problem::PlanError;
use crate::source::ListError;

/// The most items of a stage in a sample: their numbers are stored in the plan.
pub const MAX_SAMPLE: u64 = 10_000;

/// Which items a sample has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// So many of each stage that has items of its own: members of the middle group, and of those around it; without groups,
    /// of grids those around the center, of lists some that are spread evenly.
    Count(u64),
    /// The members of a group, by the identity that it has in the first stage that groups items of the first one.
    Group(String),
}

/// Why a sample cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// What was asked for does not exist.
    #[error("{0}")]
    Choice(String),
    /// The plan does not fit together any more.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A list of the plan cannot be read again.
    #[error(transparent)]
    List(#[from] ListError),
    /// The identity of a group cannot be rendered.
    #[error(transparent)]
    Render(#[from] RenderError),
}
