//! A model together with the steps it was trained with: which pixels go in, and what becomes of the answers.
//!
//! Knows the model server's client and the pure code in `analysis/`, but no job, no bucket and no queue.

/// Cutting an image into tiles, asking the model batch by batch, and joining the answers.
pub mod tiled;

/// Segmentation of single cells in culture and in tissue.
pub mod cells;

/// A model that the job names, with functions chosen by name.
pub mod named;

/// Scale and kind of an image, as a model sees them.
pub mod detect;

pub use cells::{Application, Compartment};
pub use tiled::Model;
