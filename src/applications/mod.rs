//! A model together with the steps it was trained with: which pixels go in, and what becomes of the answers.
//!
//! Knows the model server's client and the pure code in `analysis/` and `tracking/`, but no job, no bucket and no queue.

/// Cutting an image into tiles, asking the model batch by batch, and joining the answers.
pub mod tiled;

/// Segmentation of single cells in culture and in tissue.
pub mod cells;

/// Tracking of cells through a movie.
pub mod cell_tracking;

/// Spots of single molecules.
pub mod spots;

/// A model that takes several tensors by name, asked in batches.
pub mod tensors;

/// A model that the job names, with functions chosen by name.
pub mod named;

/// Scale and kind of an image, as a model sees them.
pub mod detect;

pub use cell_tracking::{Tracked, Tracker};
pub use cells::{Application, Compartment};
pub use spots::SpotDetection;
pub use tensors::TensorModel;
pub use tiled::Model;
