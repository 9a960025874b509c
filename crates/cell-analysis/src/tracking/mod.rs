//! Cell tracking: from the label images of single frames to tracks, divisions and a lineage.
//!
//! Two models judge the cells: an encoder describes each, an inference model says how probably two are the same. Both are
//! run by the caller, with the inputs that [`Movie`] makes. Movies are `[frame, row, column]`, label images hold `i32` with
//! 0 for the background. Results equal those of deepcell-tracking: each function says which roundings and ties decide.
//!
//! In the order in which a movie passes them:
//!
//! ```text
//! cells ─► features ─► neighbors ─► [encoder] ─► per frame: [inference] ─► cost ─► assignment ─► tracks
//!   └───────── movie holds what is known of the cells ──────────┘                                  │
//!                                                                                    lineage ◄─────┘
//! ```

/// The cells of a frame, their sizes and shapes.
mod cells;

/// What a model sees of a cell: centroid, morphology, appearance.
mod features;

/// Which cells are neighbors.
mod neighbors;

/// The cells of a whole movie, and what the models are given of them.
mod movie;

/// The cost of linking tracks to cells.
mod cost;

/// The cheapest assignment of rows to columns.
mod assignment;

/// Tracks as they grow, divide and end.
mod tracks;

/// Finished tracks as data and as text.
mod lineage;

/// Finished tracks for the Cell Tracking Challenge.
mod challenge;

mod error;

pub use assignment::{AssignmentError, linear_sum_assignment};
pub use cells::{Cell, LabelError, number_cells};
pub use challenge::ChallengeTracks;
pub use cost::{BirthDeathCost, cost_matrix};
pub use error::TrackingError;
pub use features::{CropMode, CropOptions, Features, frame_features};
pub use lineage::{Lineage, LineageEntry};
pub use movie::{EmptyFrames, EncoderInputs, InferenceInputs, Movie, MovieCells};
pub use neighbors::{adjacency, normalize_adjacency};
pub use tracks::{Observation, Track, Tracks};
