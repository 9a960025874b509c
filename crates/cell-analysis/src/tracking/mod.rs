//! Cell tracking: from the label images of single frames to tracks, divisions and a lineage.
//!
//! Everything here is synchronous and knows arrays only; the two models that judge cells are asked by `applications`.
//! Movies are `[frame, row, column]`, label images hold `i32` with 0 for the background. Results equal those of the
//! Python library of the predecessor: each function says which roundings and ties decide.
//!
//! In the order in which a movie passes them:
//!
//! ```text
//! cells ─► features ─► neighbors ─► [encoder] ─► per frame: [inference] ─► cost ─► assignment ─► tracks
//!   └───────── movie holds what is known of the cells ──────────┘                                  │
//!                                                                                    lineage ◄─────┘
//! ```

/// The cells of a frame, their sizes and shapes.
pub mod cells;

/// What a model sees of a cell: centroid, morphology, appearance.
pub mod features;

/// Which cells are neighbors.
pub mod neighbors;

/// The cells of a whole movie, and what the models are given of them.
pub mod movie;

/// The cost of linking tracks to cells.
pub mod cost;

/// The cheapest assignment of rows to columns.
pub mod assignment;

/// Tracks as they grow, divide and end.
pub mod tracks;

/// Finished tracks as data and as text.
pub mod lineage;

mod error;

pub use assignment::{AssignmentError, linear_sum_assignment};
pub use cells::{Cell, LabelError, number_cells};
pub use cost::{BirthDeathCost, cost_matrix};
pub use error::TrackingError;
pub use features::{CropMode, CropOptions, Features, frame_features};
pub use lineage::{Lineage, LineageEntry, isbi_masks};
pub use movie::{EncoderInputs, InferenceInputs, Movie};
pub use neighbors::{adjacency, normalize_adjacency};
pub use tracks::{Observation, Track, Tracks};
